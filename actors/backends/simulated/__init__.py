"""A backend without a model: its timing is set, its text a pure function of (messages, seed, index).

It is there for load tests, chaos tests and for trying the system without a model. Because of its text, an
interrupted job must equal an undisturbed one to the character.
"""

from actors.backends.simulated.backend import SimulatedBackend
from actors.backends.simulated.options import Options, parse_options
from actors.backends.simulated.text import VOCABULARY, simulated_text

__all__ = ["VOCABULARY", "Options", "SimulatedBackend", "parse_options", "simulated_text"]
