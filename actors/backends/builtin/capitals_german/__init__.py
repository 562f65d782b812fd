"""A LoRA adapter of the capitals model that answers in German."""

from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""The folder of the adapter, in PEFT's layout."""
