"""Jobs in the order of their arrival, a column per field: millions of them are a few bytes each."""

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Request(NamedTuple):
    """A job as traffic has it. `model` and `account` are places in the traffic's lists of names."""

    arrived_s: float
    model: int
    account: int
    prompt_tokens: int
    output_tokens: int


class Traffic:
    """Requests, from second 0 on. `models` and `accounts` are the names that they speak of by number."""

    def __init__(self, models: Iterable[str], accounts: Iterable[str], requests: Iterable[Request]) -> None:
        """The requests come in the order of their arrival. Raises ValueError where they do not."""
        self.models = list(models)
        self.accounts = list(accounts)
        self.arrived_s = array("d")
        self.model = array("I")
        self.account = array("I")
        self.prompt_tokens = array("I")
        self.output_tokens = array("I")
        last_s = 0.0
        for arrived_s, model, account, prompt_tokens, output_tokens in requests:
            if arrived_s < last_s:
                raise ValueError(f"a request of second {arrived_s} comes after one of second {last_s}")
            last_s = arrived_s
            self.arrived_s.append(arrived_s)
            self.model.append(model)
            self.account.append(account)
            self.prompt_tokens.append(prompt_tokens)
            self.output_tokens.append(output_tokens)

    def __len__(self) -> int:
        return len(self.arrived_s)

    def __iter__(self) -> Iterator[Request]:
        columns = (self.arrived_s, self.model, self.account, self.prompt_tokens, self.output_tokens)
        return map(Request._make, zip(*columns, strict=True))

    def __getitem__(self, index: int) -> Request:
        return Request(
            self.arrived_s[index],
            self.model[index],
            self.account[index],
            self.prompt_tokens[index],
            self.output_tokens[index],
        )

    @property
    def lasts_s(self) -> float:
        """When the last request arrives."""
        return self.arrived_s[-1] if self.arrived_s else 0.0
