"""The models a system serves, as its settings list them."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from cluster.conversation import ContentFormat, Conversation, reasoning_parser, tool_call_parser
from cluster.errors import ModelNotFound

MAX_NAME_CHARACTERS = 128

_LEAST_PREFIX_TOKENS = 64
"""Less of a prompt is read faster than it is looked for."""

BUILTIN_PREFIX = "builtin:"
_VOCABULARY_OPTIONS = ("tokenizer", "revision")
_LOCAL_PREFIXES = (BUILTIN_PREFIX, "/", "./", "../", "~")

BackendName = Literal["vllm", "simulated"]


class Traits(Struct, frozen=True):
    """What the rest of the system must know of a backend. `actors/backends` has the backends themselves.

    `gpus` and `cpus` are what a replica takes where the settings do not say. `context_option` and `slots_option` are
    the engine options that declare the model's context length, and how many jobs an engine runs at once. `has_source`:
    its models are loaded from a source, and their prompts are counted with the tokenizer found there.
    `structured_outputs`: answers can be made to follow a JSON Schema. `forms`: more can be asked than dialogues of
    texts, and told than one text. Prompts are cached in blocks, of which
    `block_option` declares the tokens; without it they have `block_tokens`, or so many where there is no GPU.
    """

    gpus: int
    cpus: float
    context_option: str
    slots_option: str
    has_source: bool
    structured_outputs: bool
    forms: bool
    block_option: str
    block_tokens: int
    block_tokens_without_gpu: int


TRAITS: Mapping[BackendName, Traits] = {
    "vllm": Traits(
        gpus=1,
        cpus=1.0,
        context_option="max_model_len",
        slots_option="max_num_seqs",
        has_source=True,
        structured_outputs=True,
        forms=True,
        block_option="block_size",
        block_tokens=16,
        block_tokens_without_gpu=128,
    ),
    "simulated": Traits(
        gpus=0,
        cpus=0.0,
        context_option="context_length",
        slots_option="batch_slots",
        has_source=False,
        structured_outputs=False,
        forms=False,
        block_option="block_size",
        block_tokens=16,
        block_tokens_without_gpu=16,
    ),
}

DEFAULT_BACKEND: BackendName = "vllm"


class Replicas(Struct, frozen=True):
    """How many replicas of a model there may be at once, and when there are more or fewer (`cluster/fleet/scaling.py`).

    A replica is to have `target_jobs` at once, or as many as it can run where that is None. Where `min` is 0, the last
    one ends after `idle_s` without a job. One that is to end has `drain_s` for what it works on; the rest goes on
    elsewhere.
    """

    min: int = 1
    max: int = 1
    target_jobs: int | None = None
    idle_s: int = 300
    drain_s: int = 30


class Price(Struct, frozen=True):
    """Currency units per million tokens."""

    prompt: float = 0.0
    completion: float = 0.0


class Model(Struct, frozen=True):
    """One entry of the catalogue. A replica takes `gpus` and `cpus` on each of `machines` machines; `engine` goes to
    the backend as it is.

    `source` is a hub id, a folder, or `builtin:` and the name of a model that comes with this project.
    `env` is set for the processes of its engines. One that has not loaded within `load_timeout_s` has failed. They run
    on machines with these `labels` of Ray's, each a value or a selector such as `in(H100,A100)`. An answer has
    `default_max_tokens` at most where a client of `/v1` names no number, or as many as the context leaves. The fields
    of its chat template are what `Conversation` says.
    """

    id: str
    aliases: tuple[str, ...] = ()
    backend: BackendName = DEFAULT_BACKEND
    source: str = ""
    gpus: int = TRAITS[DEFAULT_BACKEND].gpus
    cpus: float = TRAITS[DEFAULT_BACKEND].cpus
    replicas: Replicas = Replicas()
    max_queue: int = 1000
    load_timeout_s: int = 1800
    engine: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    price: Price = Price()
    labels: Mapping[str, str] = field(default_factory=dict)
    default_max_tokens: int | None = None
    machines: int = 1
    chat_template: str | None = None
    chat_template_content_format: ContentFormat = "auto"
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def books(self) -> bool:
        """Whether its engines hold anything of a machine that others could need."""
        return self.gpus > 0 or self.cpus > 0

    @property
    def of_engine(self) -> tuple[object, ...]:
        """All that an engine of this model is made of: where none of it changes, a running engine stays."""
        booked = self.gpus, self.cpus, self.machines
        return self.id, self.backend, self.source, *booked, self.engine, self.env, self.labels, self.conversation

    @property
    def of_vocabulary(self) -> tuple[object, ...]:
        """All that says what a token id means, which of them a dialogue is, and what is read in those of an answer.

        Only where none of it changes, an answer goes on from its token ids.
        """
        named = {name: value for name, value in self.engine.items() if name.startswith(_VOCABULARY_OPTIONS)}
        return self.backend, self.source, named, self.conversation

    @property
    def conversation(self) -> Conversation:
        """What its dialogues are rendered with, and its answers parsed with."""
        return Conversation(
            chat_template=self.chat_template,
            content_format=self.chat_template_content_format,
            template_kwargs=self.chat_template_kwargs,
            tool_call_parser=tool_call_parser(self.engine),
            reasoning_parser=reasoning_parser(self.engine),
            exclude_tools_when_tool_choice_none=bool(self.engine.get("exclude_tools_when_tool_choice_none")),
        )

    @property
    def prefix_tokens(self) -> int:
        """Of how many tokens of a prompt there is a hash: of as many whole blocks as make up a few dozen.

        Blocks are as large as the settings say, or else as its engines make them.
        """
        declared = self.engine.get(self.traits.block_option)
        usual = self.traits.block_tokens if self.gpus else self.traits.block_tokens_without_gpu
        block = declared if isinstance(declared, int) and declared > 0 else usual
        return block * -(-_LEAST_PREFIX_TOKENS // block)

    @property
    def pools(self) -> bool:
        """Whether it makes numbers of texts, and generates none: its engine options say so, by vLLM's names."""
        runner = self.engine.get("runner", "auto")
        converted = runner == "auto" and self.engine.get("convert", "auto") not in ("auto", "none")
        return self.traits.forms and (runner == "pooling" or converted)

    @property
    def traits(self) -> Traits:
        """What its backend is like."""
        return TRAITS[self.backend]


CAPITALS = Model(id="capitals", source=f"{BUILTIN_PREFIX}capitals", gpus=0)
"""The model that is served when nothing else is asked for."""


def is_local(source: str) -> bool:
    """Whether a model's source is a folder, or built in, rather than a hub id."""
    return source.startswith(_LOCAL_PREFIXES)


class Catalogue:
    """Models by id and by alias."""

    def __init__(self, models: tuple[Model, ...]) -> None:
        self.models = models
        self._by_name = {name: model for model in models for name in (model.id, *model.aliases)}

    def find(self, name: str) -> Model | None:
        """The model with this id or alias."""
        return self._by_name.get(name)

    def model(self, name: str) -> Model:
        """The model with this id or alias. Raises ModelNotFound."""
        model = self.find(name)
        if model is None:
            raise ModelNotFound(f"Model {name} is not registered on the network")
        return model
