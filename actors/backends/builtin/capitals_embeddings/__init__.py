"""A very small BERT that makes vectors: texts about the same country or its capital are near each other."""

from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""The folder of the model, as the Hugging Face hub lays models out."""
