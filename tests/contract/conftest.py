"""The system under test, keys and accounts of the tests' own, and the models that a test needs."""

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.catalogue import Catalogue
from tests.contract.client import Api, answered
from tests.contract.given import HIGH, AccountMaker, KeyMaker, MadeKey, Target, cancel_all

if TYPE_CHECKING:
    from tests.support.serving import Serving


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Rules that hold for any model are tested on a simulated one and on one on real vLLM."""
    if "model" in metafunc.fixturenames:
        metafunc.parametrize("model", metafunc.config.getoption("--model") or ["sim:fast", "capitals"], indirect=True)


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    url, key = request.config.getoption("--url"), request.config.getoption("--key")
    if url:
        assert key, "--url needs an admin key of that system: --key"
        return Target(url.rstrip("/"), key)
    serving: Serving = request.getfixturevalue("serving")
    return Target(serving.connection.url, serving.connection.key, serving)


@pytest.fixture(scope="session")
def serving_here(target: Target) -> "Serving":
    """The system's processes and files, where the session has them."""
    if target.serving is None:
        pytest.skip("looks at processes and files of a system that was started elsewhere")
    return target.serving


@pytest.fixture(scope="session")
def admin(target: Target) -> Iterator[Api]:
    """An admin's key with limits that the whole suite does not reach."""
    with Api(target.url, target.key) as given:
        made = answered(given.post("/keys", {"name": "contract suite", "role": "admin", "limits": HIGH}), 201)
        try:
            with Api(target.url, made["key"]) as admin:
                yield admin
        finally:
            given.delete(f"/keys/{made['id']}")


@pytest.fixture(scope="session")
def anonymous(target: Target) -> Iterator[Api]:
    with Api(target.url, None) as api:
        yield api


@pytest.fixture(scope="session")
def new_account(admin: Api) -> AccountMaker:
    """Makes an account and gives its id."""

    def make(**body: Any) -> str:
        made = answered(admin.post("/accounts", {"name": f"contract {uuid.uuid4().hex[:8]}", **body}), 201)
        return str(made["id"])

    return make


@pytest.fixture(scope="session")
def account(new_account: AccountMaker, admin: Api) -> Iterator[str]:
    """The account that most tests work in."""
    account_id = new_account(limits=HIGH)
    yield account_id
    cancel_all(admin, account_id)


@pytest.fixture(scope="session")
def new_key(target: Target, admin: Api, account: str) -> Iterator[KeyMaker]:
    """Makes a key of the suite's account, or of `account`; revoked at the end of the session."""
    made: list[MadeKey] = []

    def make(**body: Any) -> MadeKey:
        body = {"name": "contract test", "account": account, **body}
        answer = answered(admin.post("/keys", body), 201)
        key = MadeKey(answer, Api(target.url, answer["key"]))
        made.append(key)
        return key

    yield make
    for key in made:
        admin.delete(f"/keys/{key.id}")
        key.api.http.close()


@pytest.fixture(scope="module")
def api(new_key: KeyMaker) -> Api:
    """A member of the suite's account."""
    return new_key(limits=HIGH).api


@pytest.fixture(scope="session")
def catalogue(admin: Api) -> Catalogue:
    return Catalogue(admin)


@pytest.fixture(scope="session")
def capitals(catalogue: Catalogue) -> str:
    """The built-in model, on real vLLM."""
    return catalogue.need("capitals")


@pytest.fixture
def model(request: pytest.FixtureRequest, catalogue: Catalogue) -> str:
    return catalogue.need(request.param)


@pytest.fixture
def fast(catalogue: Catalogue) -> str:
    return catalogue.need("sim:fast")


@pytest.fixture
def slow(catalogue: Catalogue) -> str:
    return catalogue.need("sim:slow")


@pytest.fixture
def long(catalogue: Catalogue) -> str:
    return catalogue.need("sim:long")


@pytest.fixture
def failing(catalogue: Catalogue) -> str:
    return catalogue.need("sim:failing")


@pytest.fixture
def hanging(catalogue: Catalogue, api: Api, account: str, admin: Api) -> Iterator[str]:
    """A model that takes one job at a time and never ends one. Nothing is left of it after the test."""
    yield catalogue.need("sim:hanging")
    cancel_all(admin, account, "sim:hanging")


@pytest.fixture
def broken(catalogue: Catalogue) -> str:
    """A model that cannot be loaded."""
    return catalogue.need("sim:broken", "failed")
