"""What an engine of a model is made of, by which one that is of settings before is known. Pure."""

from cluster.catalogue import Model
from cluster.messages.machines import Make
from cluster.release import fingerprint


def make_of(model: Model) -> Make:
    """What an engine that starts now is made of."""
    adapters = tuple(adapter.number for adapter in model.adapters)
    return Make(fingerprint(*model.of_engine), fingerprint(*model.of_vocabulary), model.gpus, model.cpus, adapters)
