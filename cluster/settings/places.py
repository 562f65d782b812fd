"""Where a value stands among settings, in words: `models[1].engine`, in a file or elsewhere."""

import json


def placed(origin: str, path: str) -> str:
    return f"{origin}: {path}" if path else origin


def key_path(path: str, key: str) -> str:
    shown = key if key.isprintable() else json.dumps(key)
    return f"{path}.{shown}" if path else shown


def item_path(path: str, index: int) -> str:
    return f"{path}[{index}]"
