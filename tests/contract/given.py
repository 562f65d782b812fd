"""What tests begin with: the system under test, keys and accounts made for them, and a body to submit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.contract.client import Api, Json, answered

if TYPE_CHECKING:
    from tests.support.serving import Serving

HIGH = {"submissions_per_minute": 100_000, "submissions_per_hour": 1_000_000, "reads_per_minute": 100_000}


@dataclass(frozen=True)
class Target:
    """The system under test. `serving` is there when this session started it, so that its processes can be seen."""

    url: str
    key: str
    serving: "Serving | None" = None


@dataclass(frozen=True)
class MadeKey:
    """What POST /keys answered, and a client that uses the key."""

    body: Json
    api: Api

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def secret(self) -> str:
        return str(self.body["key"])


KeyMaker = Callable[..., MadeKey]
AccountMaker = Callable[..., str]


def question(model: str, content: str = "What is the capital of France?", **fields: Any) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 32, **fields}


def cancel_all(admin: Api, account: str, model: str | None = None) -> None:
    """Leave no job of this account behind, or none of this model."""
    made = answered(admin.post("/keys", {"name": "contract cleaning", "account": account, "limits": HIGH}), 201)
    with Api(admin.url, made["key"]) as api:
        for status in ("pending", "processing"):
            listed = answered(api.get("/jobs", params={"status": status, "limit": 100}))["jobs"]
            for job in listed:
                if model is None or job["model"] == model:
                    api.post(f"/jobs/{job['id']}/cancel")
    admin.delete(f"/keys/{made['id']}")
