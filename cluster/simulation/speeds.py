"""How quick an engine is said to be: what a simulation has in the place of a model and a GPU."""

from msgspec import Struct

from cluster.catalogue import Model


class Speed(Struct, frozen=True):
    """An engine of one model, in the simplest terms that tell a busy engine from an idle one.

    A step makes one token for each of the jobs that run, and takes `step_s` and `step_s_per_job` for each of them: the
    weights are read once for all, the caches and the arithmetic are each job's own. A prompt is read at
    `prefill_tokens_per_s`. `load_s` is the time from the process's start until it is ready, on a machine that is there.

    The defaults are of the order of what vLLM is known to do with a model of 8 billion parameters on one GPU of the
    H100's generation: some ten milliseconds for a step, tens of thousands of tokens of prompt a second, one to two
    minutes to load and compile. Who knows better for a model says so.
    """

    slots: int = 32
    prefill_tokens_per_s: float = 20_000.0
    step_s: float = 0.010
    step_s_per_job: float = 0.0003
    load_s: float = 90.0

    def token_s(self, jobs: int) -> float:
        """The seconds between two tokens of a job, beside others, `jobs` in all."""
        return self.step_s + self.step_s_per_job * jobs

    def work(self, prompt_tokens: int, output_tokens: int) -> float:
        """The steps that a job is worth: one per token, and those that would take as long as its prompt alone."""
        return output_tokens + prompt_tokens / self.prefill_tokens_per_s / self.step_s

    def alone_s(self, prompt_tokens: int, output_tokens: int) -> float:
        """How long a job takes that has the engine for itself."""
        return self.work(prompt_tokens, output_tokens) * self.token_s(1)

    def full_s(self, prompt_tokens: int, output_tokens: int) -> float:
        """How long a job takes in an engine whose slots are all taken."""
        return self.work(prompt_tokens, output_tokens) * self.token_s(self.slots)


class Subject(Struct, frozen=True):
    """A model of the catalogue, with what its engines are said to be like."""

    model: Model
    speed: Speed
