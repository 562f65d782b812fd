"""Who may ask, and what everybody else is told."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.client import UNAUTHORIZED, Api, answered, refused
from tests.contract.given import HIGH, AccountMaker, KeyMaker, question

UNKNOWN = "inft_" + "0" * 40
NOT_TOKENS = {
    "missing": None,
    "empty": "",
    "scheme alone": "Bearer",
    "unknown": f"Bearer {UNKNOWN}",
    "malformed": "Bearer not-a-key",
    "two words": f"Bearer {UNKNOWN} {UNKNOWN}",
    "basic": "Basic dXNlcjpwYXNz",
    "another scheme": f"Token {UNKNOWN}",
    "no scheme": UNKNOWN,
    "not ascii": b"Bearer \xff\xfe\xc3\xa9",
    "very long": "Bearer " + "x" * 4000,
    "quotes": "Bearer ' OR 1=1 --",
}
GUARDED = [
    ("GET", "/api/v1/jobs"),
    ("POST", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/job_0000000000000000"),
    ("GET", "/api/v1/jobs/job_0000000000000000/stream"),
    ("POST", "/api/v1/jobs/job_0000000000000000/cancel"),
    ("DELETE", "/api/v1/jobs/job_0000000000000000"),
    ("GET", "/api/v1/jobs/job_0000000000000000/placement"),
    ("GET", "/api/v1/jobs/job_0000000000000000/timeline"),
    ("GET", "/api/v1/models"),
    ("GET", "/api/v1/models/sim"),
    ("PATCH", "/api/v1/models/sim"),
    ("POST", "/api/v1/models/sim/restart"),
    ("POST", "/api/v1/models/sim/adapters"),
    ("DELETE", "/api/v1/models/sim/adapters/german"),
    ("GET", "/api/v1/nodes"),
    ("GET", "/api/v1/nodes/node_0000000000000000"),
    ("POST", "/api/v1/nodes/node_0000000000000000/drain"),
    ("POST", "/api/v1/nodes/node_0000000000000000/undrain"),
    ("GET", "/api/v1/keys"),
    ("POST", "/api/v1/keys"),
    ("GET", "/api/v1/keys/key_0"),
    ("PATCH", "/api/v1/keys/key_0"),
    ("DELETE", "/api/v1/keys/key_0"),
    ("GET", "/api/v1/accounts"),
    ("POST", "/api/v1/accounts"),
    ("GET", "/api/v1/accounts/acct_0"),
    ("PATCH", "/api/v1/accounts/acct_0"),
    ("GET", "/api/v1/usage"),
    ("GET", "/api/v1/history"),
    ("GET", "/api/v1/webhooks"),
    ("POST", "/api/v1/webhooks"),
    ("PATCH", "/api/v1/webhooks/hook_0"),
    ("DELETE", "/api/v1/webhooks/hook_0"),
    ("POST", "/api/v1/webhooks/hook_0/rotate"),
    ("POST", "/api/v1/webhooks/hook_0/test"),
    ("GET", "/api/v1/webhooks/hook_0/deliveries"),
    ("POST", "/api/v1/webhooks/hook_0/deliveries/msg_0/redeliver"),
    ("GET", "/api/v1/nowhere"),
    ("PATCH", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/"),
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("POST", "/v1/embeddings"),
    ("POST", "/score"),
    ("POST", "/v1/score"),
    ("POST", "/rerank"),
    ("POST", "/v1/rerank"),
    ("POST", "/v2/rerank"),
    ("GET", "/v1/nowhere"),
]
PUBLIC = ["/healthz", "/readyz", "/health", "/ping", "/metrics", "/docs", "/openapi.json"]


def unauthorized(api: Api, method: str, path: str, authorization: str | bytes | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = api.request(method, path, headers=headers)
    assert response.status_code == 401, (method, path, response.text)
    if path.startswith("/api"):
        assert response.json() == UNAUTHORIZED
    else:
        assert response.json()["error"]["code"] == "invalid_api_key"
        assert response.json()["error"]["message"] == UNAUTHORIZED["error_message"]


@pytest.mark.parametrize("authorization", NOT_TOKENS.values(), ids=NOT_TOKENS.keys())
def test_anything_but_a_valid_key_gets_the_same_401(anonymous: Api, authorization: str | bytes | None) -> None:
    for method, path in (("GET", "/api/v1/jobs"), ("POST", "/api/v1/jobs"), ("GET", "/v1/models")):
        unauthorized(anonymous, method, path, authorization)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_nothing_is_said_about_a_path_before_the_key_is_known(anonymous: Api, method: str, path: str) -> None:
    unauthorized(anonymous, method, path, None)
    unauthorized(anonymous, method, path, f"Bearer {UNKNOWN}")


@pytest.mark.parametrize("path", PUBLIC)
def test_public_paths_need_no_key(anonymous: Api, path: str) -> None:
    assert anonymous.request("GET", path).status_code == 200


def test_a_nodes_status_needs_no_key(anonymous: Api, admin: Api) -> None:
    node = answered(admin.get("/nodes"))["nodes"][0]["id"]
    assert answered(anonymous.get(f"/nodes/{node}/status")) == {"status": "online"}


def test_the_schemes_name_is_matched_in_any_case(anonymous: Api, new_key: KeyMaker) -> None:
    secret = new_key().secret
    for scheme in ("Bearer", "bearer", "BEARER", "bEaReR"):
        answered(anonymous.get("/models", headers={"Authorization": f"{scheme} {secret}"}))


def test_a_key_with_a_character_more_or_less_is_unknown(anonymous: Api, new_key: KeyMaker) -> None:
    secret = new_key().secret
    for wrong in (secret[:-1], secret + "0", secret.swapcase(), secret.removeprefix("inft_")):
        unauthorized(anonymous, "GET", "/api/v1/jobs", f"Bearer {wrong}")


def test_keys_have_160_random_bits(new_key: KeyMaker) -> None:
    secrets = [new_key().secret for _ in range(4)]
    assert all(re.fullmatch(r"inft_[0-9A-Za-z]{32,}", secret) for secret in secrets)
    # Two random keys of 62 characters have few in common at the same place.
    pairs = [(one, other) for one in secrets for other in secrets if one < other]
    assert all(sum(a == b for a, b in zip(one[5:], other[5:], strict=True)) < 12 for one, other in pairs)


def test_revocation_holds_on_every_replica_within_5_s(admin: Api, new_key: KeyMaker) -> None:
    key = new_key(limits=HIGH)

    def statuses() -> set[int]:
        # Each on a connection of its own, so that every replica answers some.
        def status(_: int) -> int:
            with key.api.another() as another:
                return another.get("/models").status_code

        with ThreadPoolExecutor(8) as pool:
            return set(pool.map(status, range(16)))

    assert statuses() == {200}  # every replica knows the key by now
    assert admin.delete(f"/keys/{key.id}").status_code == 204
    revoked_s = time.monotonic()
    while statuses() != {401}:
        assert time.monotonic() - revoked_s < 5
    assert statuses() == {401}
    assert key.api.get("/models").json() == UNAUTHORIZED


def test_an_expired_key_is_unknown(new_key: KeyMaker) -> None:
    expires = datetime.now(UTC) + timedelta(seconds=2)
    key = new_key(expires_at=expires.strftime("%Y-%m-%dT%H:%M:%SZ"))
    while True:
        response = key.api.get("/models")
        if response.status_code == 401:
            break
        assert datetime.now(UTC) < expires + timedelta(seconds=1)
        time.sleep(0.1)
    assert response.json() == UNAUTHORIZED
    assert datetime.now(UTC) >= expires.replace(microsecond=0)


JOB_ROUTES = (
    ("GET", ""),
    ("GET", "/stream"),
    ("POST", "/cancel"),
    ("GET", "/placement"),
    ("GET", "/timeline"),
    ("DELETE", ""),
)


def test_another_accounts_job_is_indistinguishable_from_none(
    api: Api, fast: str, new_key: KeyMaker, new_account: AccountMaker
) -> None:
    job = api.run(question(fast))
    stranger = new_key(account=new_account(limits=HIGH)).api
    nobodys = "job_" + "0" * len(job["id"].removeprefix("job_"))
    for method, path in JOB_ROUTES:
        told = {}
        for job_id in (job["id"], nobodys):
            response = stranger.request(method, f"/api/v1/jobs/{job_id}{path}")
            told[job_id] = refused(response, 404, "job_not_found").replace(job_id, "JOB")
        assert told[job["id"]] == told[nobodys]
    assert answered(stranger.get("/jobs"))["jobs"] == []


def test_an_admin_reads_every_accounts_jobs(api: Api, admin: Api, account: str, fast: str) -> None:
    job = api.run(question(fast))
    (key,) = {key["id"] for key in answered(api.get("/keys"))["keys"]} & {admin.job(job["id"])["key_id"]}
    assert admin.job(job["id"]) == {**job, "account_id": account, "key_id": key}
    assert admin.read(job["id"]).text == job["result"]["content"]
    assert answered(admin.get(f"/jobs/{job['id']}/placement")) == answered(api.get(f"/jobs/{job['id']}/placement"))
    assert admin.delete(f"/jobs/{job['id']}").status_code == 204
    refused(api.get(f"/jobs/{job['id']}"), 404, "job_not_found")


def test_an_admin_cancels_every_accounts_jobs(api: Api, admin: Api, account: str, slow: str) -> None:
    job = api.submit(question(slow, max_tokens=1000))
    api.read_some(job["id"])
    cancelled = answered(admin.post(f"/jobs/{job['id']}/cancel"))
    assert (cancelled["error"], cancelled["account_id"]) == ("cancelled", account)
    assert api.job(job["id"])["error"] == "cancelled"


def test_an_account_sees_the_jobs_of_all_its_keys(api: Api, fast: str, new_key: KeyMaker) -> None:
    job = api.run(question(fast))
    assert new_key().api.job(job["id"]) == job


def test_a_member_on_an_admin_route_is_forbidden(api: Api, admin: Api) -> None:
    node = answered(admin.get("/nodes"))["nodes"][0]["id"]
    refused(api.get("/accounts"), 403, "forbidden")
    refused(api.post("/accounts", {"name": "mine"}), 403, "forbidden")
    refused(api.get("/accounts/acct_0"), 403, "forbidden")
    refused(api.patch("/accounts/acct_0", {"weight": 2}), 403, "forbidden")
    refused(api.patch("/models/nothing", {"replicas": None}), 403, "forbidden")
    refused(api.post("/models/nothing/restart"), 403, "forbidden")
    refused(api.post("/models/nothing/adapters", {"id": "a"}), 403, "forbidden")
    refused(api.delete("/models/nothing/adapters/a"), 403, "forbidden")
    refused(api.post(f"/nodes/{node}/drain"), 403, "forbidden")
    refused(api.post(f"/nodes/{node}/undrain"), 403, "forbidden")
    assert answered(admin.get(f"/nodes/{node}"))["status"] == "online"
