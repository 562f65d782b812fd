"""A very small Llama that answers one kind of question: what is the capital of a country."""

from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""The folder of the model, as the Hugging Face hub lays models out."""
