"""What an engine of a model is made of, by which one that is of settings before is known. Pure."""

from cluster.catalogue import Model
from cluster.messages.machines import Make
from cluster.release import fingerprint


def make_of(model: Model, restarts: int = 0) -> Make:
    """What an engine that starts now is made of, after its model's engines have been restarted so many times."""
    of_engine = (*model.of_engine, restarts) if restarts else model.of_engine
    return Make(fingerprint(*of_engine), fingerprint(*model.of_vocabulary), model.gpus, model.cpus)
