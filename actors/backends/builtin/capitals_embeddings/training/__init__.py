"""How the embedding model was made and is measured. Nothing of this runs where the model is served."""
