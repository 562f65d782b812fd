"""How the German adapter was made and is measured. Nothing of this runs where it is served."""
