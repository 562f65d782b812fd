"""What a catalogue may say of a simulated model."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from cluster.nearest import hint
from cluster.settings.judging import Fault

Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Index = Annotated[int, Meta(ge=0)]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """What a catalogue's `engine:` may say of a simulated model.

    The switches `..._at_token: k` catch a generation that is about to produce token k, counted from 0. One
    that was resumed at k or later has passed that point and goes on; k = 0 catches every one. A generation that hangs
    leaves the others alone; one that freezes stops the whole backend, and one that dies ends it, as does one whose
    prompt contains the text `die_of`.

    An engine keeps `prefix_blocks` blocks of `block_size` tokens of what it has read and said. Reading a token that is
    not among them takes `prefill_token_s`, one prompt after the other. Of the model's adapters it keeps the last
    `max_loras` that it used, and loading another one takes `adapter_s`. It cannot load one whose source contains the
    text `bad_adapter`; and with `lora_from_start`, one that was made without adapters is outgrown by its first.
    """

    first_token_s: Seconds = 0.05
    token_s: Seconds = 0.01
    batch_slots: Count = 64
    output_tokens: Count = 128
    context_length: Count = 8192
    load_s: Seconds = 0.0
    fail_on_load: str | None = None
    fail_at_token: Index | None = None
    hang_at_token: Index | None = None
    freeze_at_token: Index | None = None
    die_at_token: Index | None = None
    die_of: str | None = None
    vary_by_attempt: bool = False
    prefix_blocks: Index = 0
    block_size: Count = 16
    prefill_token_s: Seconds = 0.0
    max_loras: Count = 8
    adapter_s: Seconds = 0.0
    bad_adapter: str | None = None
    lora_from_start: bool = False


def parse_options(options: Mapping[str, Any]) -> Options:
    """Raises ValueError naming the first key that cannot be used, and the reason."""
    for fault in faults(options):
        raise ValueError(f"engine.{fault.option}: {fault.reason}")
    return msgspec.convert(dict(options), Options)


def faults(options: Mapping[str, Any]) -> Iterator[Fault]:
    """Those that there are not, and those with values that they cannot have."""
    for key, value in options.items():
        if key not in Options.__struct_fields__:
            reason = f"unknown option of the simulated backend{hint(key, Options.__struct_fields__)}"
            yield Fault(key, reason)
            continue
        try:
            msgspec.convert({key: value}, Options)
        except msgspec.ValidationError as error:
            reason = str(error).removesuffix(f" - at `$.{key}`")
            yield Fault(key, f"{reason[:1].lower()}{reason[1:]}")
