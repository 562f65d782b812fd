"""API keys: what a secret looks like, what of it may be shown, and what is stored of it."""

import hashlib
import secrets
import string

_BASE62 = string.digits + string.ascii_letters
_PREFIX = "inft_"
_RANDOM_CHARACTERS = 32
_SHOWN_CHARACTERS = 9


def new_secret() -> str:
    """A new key: `inft_` and 32 random base62 characters, about 190 bits."""
    return _PREFIX + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM_CHARACTERS))


def secret_hash(secret: str) -> str:
    """What is stored of a key, and what it is looked up by: the SHA-256 of the whole secret, in hex.

    A plain fast hash is right here: a slow, salted one protects secrets that can be guessed, and 190 random
    bits cannot. It also lets a key be found by one indexed look-up.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def visible_prefix(secret: str) -> str:
    """The beginning of a key, by which its owner recognises it. Never more than a quarter of the secret."""
    return secret[: min(_SHOWN_CHARACTERS, len(secret) // 4)]
