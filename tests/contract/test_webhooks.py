"""Webhooks: endpoints that are told when jobs end, signed, again and again until they take it."""

from collections.abc import Iterator

import pytest
from openai import InvalidWebhookSignatureError, OpenAI
from standardwebhooks import Webhook

from tests.contract.client import TIME, Api, Json, answered, refused
from tests.contract.given import HIGH, AccountMaker, KeyMaker, question
from tests.support.webhook_log import WebhookLog

SHAPE = {"id", "account_id", "url", "events", "status", "created_at"}


@pytest.fixture
def log() -> Iterator[WebhookLog]:
    with WebhookLog() as log:
        yield log


@pytest.fixture
def ours(new_key: KeyMaker, new_account: AccountMaker) -> Iterator[Api]:
    """A member of an account without webhooks; none is left after the test."""
    api = new_key(limits=HIGH, account=new_account(limits=HIGH)).api
    yield api
    for webhook in answered(api.get("/webhooks"))["webhooks"]:
        api.delete(f"/webhooks/{webhook['id']}")


def hook(api: Api, url: str, **fields: object) -> Json:
    """A webhook that was made. Skips where the system may not send to this machine."""
    response = api.post("/webhooks", {"url": url, **fields})
    if response.status_code == 400 and "private_hosts" in response.text:
        pytest.skip("the system does not name 127.0.0.1 in webhooks.private_hosts")
    return answered(response, 201)


def test_the_end_of_a_job_is_told_and_signed(ours: Api, log: WebhookLog, model: str) -> None:
    made = hook(ours, log.url())
    job = ours.run(question(model))
    log.wait_for(lambda: log.noted)
    (noted,) = log.noted
    event = Webhook(made["secret"]).verify(noted.body, noted.headers)
    assert event["type"] == f"job.{job['status']}"
    assert event["data"] == {"id": job["id"]}
    assert TIME.fullmatch(event["timestamp"])
    assert set(event) == {"type", "timestamp", "data"}
    client = OpenAI(api_key="none", webhook_secret=made["secret"])
    assert client.webhooks.unwrap(noted.body, noted.headers).type == event["type"]
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.unwrap(noted.body, noted.headers, secret="whsec_b3RoZXI=")


def test_a_webhook_and_its_secret(ours: Api, log: WebhookLog) -> None:
    made = hook(ours, log.url())
    assert set(made) == SHAPE | {"secret"}
    assert (made["events"], made["status"]) == (["job.completed", "job.failed"], "enabled")
    listed = answered(ours.get("/webhooks"))["webhooks"]
    assert listed == [{name: made[name] for name in SHAPE}]
    path = f"/webhooks/{made['id']}"
    changed = answered(ours.patch(path, {"events": ["job.failed"], "enabled": False}))
    assert (changed["events"], changed["status"], changed["disabled_by"]) == (["job.failed"], "disabled", "request")
    assert "secret" not in changed
    assert "disabled_by" not in answered(ours.patch(path, {"enabled": True}))
    rotated = answered(ours.post(f"{path}/rotate"))
    assert rotated["secret"] not in (None, made["secret"])
    assert ours.delete(path).status_code == 204
    refused(ours.delete(path), 404, "webhook_not_found")
    assert answered(ours.get("/webhooks")) == {"webhooks": []}


def test_a_job_names_one_of_its_accounts_endpoints(ours: Api, api: Api, log: WebhookLog, fast: str) -> None:
    made = hook(ours, log.url(), events=[])
    ours.run(question(fast))
    job = ours.run(question(fast, webhook_url=made["url"]))
    log.wait_for(lambda: log.noted)
    assert [noted.event["data"]["id"] for noted in log.noted] == [job["id"]]
    for caller, url in ((ours, log.url("/other")), (api, made["url"]), (ours, "")):
        refused(caller.post("/jobs", question(fast, webhook_url=url)), 400, "bad_request")


def test_what_is_refused_is_tried_again_under_its_id_and_can_be_told_by_hand(
    ours: Api, log: WebhookLog, fast: str
) -> None:
    answers = iter([500])
    log.status = lambda _: next(answers, 204)
    made = hook(ours, log.url())
    ours.run(question(fast))
    log.wait_for(lambda: len(log.noted) == 2)
    first, second = log.noted
    assert (first.id, first.body) == (second.id, second.body)
    path = f"/webhooks/{made['id']}/deliveries"
    again = answered(ours.post(f"{path}/{first.id}/redeliver"), 202)
    assert (again["id"], again["event"], again["status"]) == (first.id, "job.completed", "pending")
    log.wait_for(lambda: len(log.noted) == 3)
    assert log.noted[2].id == first.id
    refused(ours.post(f"{path}/msg_0000000000000000/redeliver"), 404, "delivery_not_found")


def test_a_test_is_sent_and_listed(ours: Api, log: WebhookLog) -> None:
    made = hook(ours, log.url(), events=[])
    path = f"/webhooks/{made['id']}"
    sent = {answered(ours.post(f"{path}/test"), 202)["id"] for _ in range(3)}
    log.wait_for(lambda: {noted.id for noted in log.noted} == sent)
    assert {noted.event["type"] for noted in log.noted} == {"webhook.test"}
    first = answered(ours.get(f"{path}/deliveries", params={"limit": 2}))
    rest = answered(ours.get(f"{path}/deliveries", params={"limit": 2, "cursor": first["next_cursor"]}))
    listed = [*first["deliveries"], *rest["deliveries"]]
    assert [each["id"] for each in listed if each["id"] in sent] == [each["id"] for each in listed]
    assert len(listed) == 3 and "next_cursor" not in rest
    for each in listed:
        assert each["event"] == "webhook.test" and each["status"] in ("pending", "delivered")
    refused(ours.get(f"{path}/deliveries", params={"cursor": "1.job_0"}), 400, "bad_request")


@pytest.mark.parametrize(
    "url",
    ["http://example.org/", "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data", "https://[::1]/",
     "https://[::ffff:192.168.0.1]/", "https://user:word@example.org/", "ftp://example.org/", "example.org", ""],
)  # fmt: skip
def test_urls_that_nothing_is_sent_to(ours: Api, url: str) -> None:
    assert refused(ours.post("/webhooks", {"url": url}), 400, "bad_request").startswith("url: ")


def test_members_have_their_accounts_webhooks_and_hear_of_their_accounts_alone(
    ours: Api, api: Api, admin: Api, log: WebhookLog, fast: str
) -> None:
    made = hook(ours, log.url())
    path = f"/webhooks/{made['id']}"
    for response in (
        api.patch(path, {"enabled": False}),
        api.delete(path),
        api.post(f"{path}/rotate"),
        api.post(f"{path}/test"),
        api.get(f"{path}/deliveries"),
    ):
        refused(response, 404, "webhook_not_found")
    refused(ours.post("/webhooks", {"url": log.url("/2"), "events": ["node.offline"]}), 403, "forbidden")
    refused(api.post("/webhooks", {"url": log.url("/3"), "account": made["account_id"]}), 403, "forbidden")
    refused(ours.post("/webhooks", {"url": made["url"]}), 409, "conflict")
    assert made["id"] in [each["id"] for each in answered(admin.get("/webhooks"))["webhooks"]]
    api.run(question(fast))
    job = ours.run(question(fast))
    log.wait_for(lambda: log.noted)
    assert [noted.event["data"]["id"] for noted in log.noted] == [job["id"]]
