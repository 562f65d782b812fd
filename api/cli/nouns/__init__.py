"""Groups of commands, one for each noun of the API."""
