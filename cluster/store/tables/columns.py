"""What columns of several tables share."""

from typing import Final

NOTHING: Final = {"server_default": "0"}
"""For columns that rows of an older version have nothing for."""
