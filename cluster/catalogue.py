"""The models a system serves, as its settings list them."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from msgspec import Struct, field

from cluster.conversation import ContentFormat, Conversation, reasoning_parser, tool_call_parser
from cluster.errors import BadRequest, ModelNotFound

MAX_NAME_CHARACTERS = 128

_MOST_NUMBER = 2**31 - 1

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


class Adapter(Struct, frozen=True):
    """A LoRA adapter of a model: weights that an engine adds to the model's own for the jobs that ask for it by its id.

    `source` is as a model's. Without a `price` of its own its tokens cost what the model's cost. One that an admin has
    added while the system runs was `added_ms`; those of the settings were not.
    """

    id: str
    source: str = ""
    price: Price | None = None
    added_ms: int = 0

    @property
    def number(self) -> int:
        """What engines know it by: the same in all of them, and whatever else the catalogue lists. At least 1.

        From another source, or added anew, it is another one: what an engine has of it may be of other weights.
        """
        told = f"{self.id}\0{self.source}\0{self.added_ms}"
        return int.from_bytes(blake2b(told.encode(), digest_size=4).digest()) % _MOST_NUMBER + 1


class Model(Struct, frozen=True):
    """One entry of the catalogue. A replica takes `gpus` and `cpus` on each of `machines` machines; `engine` goes to
    the backend as it is.

    `source` is a hub id, a folder, or `builtin:` and the name of a model that comes with this project.
    `env` is set for the processes of its engines. One that has not loaded within `load_timeout_s` has failed. They run
    on machines with these `labels` of Ray's, each a value or a selector such as `in(H100,A100)`. An answer has
    `default_max_tokens` at most where a client of `/v1` names no number, or as many as the context leaves. The fields
    of its chat template are what `Conversation` says. Its engines have its `adapters`, too.
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
    adapters: tuple[Adapter, ...] = ()

    @property
    def books(self) -> bool:
        """Whether its engines hold anything of a machine that others could need."""
        return self.gpus > 0 or self.cpus > 0

    @property
    def of_engine(self) -> tuple[object, ...]:
        """All that an engine of this model is made of: where none of it changes, a running engine stays.

        Its adapters are none of it: one that runs is told of others.
        """
        booked = self.gpus, self.cpus, self.machines
        made = self.id, self.backend, self.source, *booked, self.engine, self.env, self.labels
        return *made, self.conversation

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


CAPITALS = Model(id="capitals", source=f"{BUILTIN_PREFIX}capitals", gpus=0, engine={"tool_call_parser": "hermes"})
"""The model that is served when nothing else is asked for."""


def is_local(source: str) -> bool:
    """Whether a model's source is a folder, or built in, rather than a hub id."""
    return source.startswith(_LOCAL_PREFIXES)


class Choice(NamedTuple):
    """What a client may name as the model of a job: one of the catalogue, or an adapter of one."""

    model: Model
    adapter: Adapter | None = None

    @property
    def id(self) -> str:
        """What answers, records and usage call it."""
        return self.model.id if self.adapter is None else self.adapter.id

    @property
    def adapter_id(self) -> str:
        """Nothing where it is the model itself."""
        return "" if self.adapter is None else self.adapter.id

    @property
    def price(self) -> Price:
        own = None if self.adapter is None else self.adapter.price
        return self.model.price if own is None else own


class Catalogue:
    """Models by id, by alias, and by the ids of their adapters."""

    def __init__(self, models: tuple[Model, ...]) -> None:
        self.models = models
        self._by_name = {name: Choice(model) for model in models for name in (model.id, *model.aliases)}
        self._by_name |= {adapter.id: Choice(model, adapter) for model in models for adapter in model.adapters}

    def find(self, name: str) -> Model | None:
        """The model with this id or alias, or an adapter of this id."""
        choice = self._by_name.get(name)
        return None if choice is None else choice.model

    def choice(self, name: str | None) -> Choice:
        """What this name stands for, or the only model. Raises ModelNotFound, and BadRequest where a name is needed."""
        if name is None:
            if len(self.models) > 1:
                raise BadRequest("model: is required where there are several")
            return Choice(self.models[0])
        choice = self._by_name.get(name)
        if choice is None:
            raise ModelNotFound(f"Model {name} is not registered on the network")
        return choice

    def id_of(self, name: str) -> str:
        """The id that jobs of this model or adapter have; a name that is none of the catalogue's stands for itself."""
        choice = self._by_name.get(name)
        return name if choice is None else choice.id

    def model(self, name: str) -> Model:
        """The model with this id or alias, or an adapter of this id. Raises ModelNotFound."""
        return self.choice(name).model
