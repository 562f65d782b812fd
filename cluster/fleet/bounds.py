"""How many replicas of a model there may be: what its settings say, and what admins have set since. Pure."""

from msgspec.structs import replace

from cluster.catalogue import Replicas
from cluster.errors import BadRequest
from cluster.messages.models import ModelSettings


def bounds_of(replicas: Replicas, admins: ModelSettings) -> Replicas:
    """The bounds in force. Where the settings have changed so that both do not go together, what admins set counts."""
    bounds = _together(replicas, admins)
    if bounds.min <= bounds.max:
        return bounds
    return replace(bounds, max=bounds.min) if admins.max is None else replace(bounds, min=bounds.max)


def check(replicas: Replicas, admins: ModelSettings) -> None:
    """Raises BadRequest for bounds that do not go together."""
    bounds = _together(replicas, admins)
    if bounds.min > bounds.max:
        wrong = "max" if admins.min is None else "min"
        raise BadRequest(f"replicas.{wrong}: min would be {bounds.min}, and max {bounds.max}")


def _together(replicas: Replicas, admins: ModelSettings) -> Replicas:
    asked = {"min": admins.min, "max": admins.max, "idle_s": admins.idle_s}
    return replace(replicas, **{name: value for name, value in asked.items() if value is not None})
