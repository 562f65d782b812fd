"""Webhooks in a whole system: what is told to whom, that it is genuine, and that it is told whatever dies."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import InvalidWebhookSignatureError, OpenAI
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks.webhooks import WebhookVerificationError
from starlette.responses import Response

from actors.couriering.endpoint import MOST_SENDING
from cluster.clock import iso_utc
from cluster.ids import JobId
from cluster.webhooks.schedule import DISABLE_AFTER_MS
from tests.support.clocks import MovedClock
from tests.support.plain_system import QUICK, until
from tests.support.webhook_host import Told
from tests.support.webhook_scene import SUBMISSION, Scene, path_of, play


def verified(told: Told, secret: str) -> dict[str, Any]:
    """What both libraries make of it. Raises where one of them does not take it for genuine."""
    read: dict[str, Any] = StandardWebhook(secret).verify(told.body, dict(told.headers))
    client = OpenAI(api_key="none", webhook_secret=secret)
    unwrapped = client.webhooks.unwrap(told.body, dict(told.headers))
    assert unwrapped.type == read["type"]
    return read


def test_the_end_of_a_job_is_told_and_is_genuine(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        job_id = await stage.job()
        await stage.host.hears(lambda: stage.host.told)
        (told,) = stage.host.told
        event = verified(told, hook["secret"])
        assert event == {"type": "job.completed", "timestamp": event["timestamp"], "data": {"id": job_id}}
        assert told.headers["content-type"] == "application/json"
        with pytest.raises(WebhookVerificationError):
            StandardWebhook(hook["secret"]).verify(told.body.replace(b"completed", b"failed"), dict(told.headers))
        with pytest.raises(InvalidWebhookSignatureError):
            OpenAI(api_key="none").webhooks.unwrap(told.body + b" ", dict(told.headers), secret=hook["secret"])

    play(tmp_path, scenario)


def test_failed_and_cancelled_jobs_are_told_as_failed(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        await stage.hook(events=["job.failed"])
        await stage.job()
        cancelled = await stage.job(max_tokens=1000)
        assert (await stage.client.post(f"/api/v1/jobs/{cancelled}/cancel")).status_code == 200
        await stage.host.hears(lambda: stage.host.told)
        (told,) = stage.host.told
        assert (told.event["type"], told.event["data"]) == ("job.failed", {"id": cancelled})

    play(tmp_path, scenario)


def test_nothing_of_a_prompt_or_an_answer_is_told(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        messages = [{"role": "user", "content": "a secret question"}]
        job_id = await stage.job(messages=messages, metadata={"trace": "a secret label"})
        await stage.host.hears(lambda: stage.host.told)
        assert list(stage.host.told[0].event) == ["type", "timestamp", "data"]
        assert stage.host.told[0].event["data"] == {"id": job_id}
        assert "secret" not in str(await stage.deliveries(hook))

    play(tmp_path, scenario)


def test_jobs_are_told_to_their_account_and_to_no_other(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        async with await stage.member() as ours, await stage.member() as theirs:
            await stage.hook("/ours", ours)
            await stage.hook("/theirs", theirs)
            await stage.hook("/admins")
            job_id = await stage.job(ours)
            await stage.job(theirs)
            await stage.job()
            await stage.host.hears(lambda: len(stage.host.told) == 3)
            assert [told.event["data"]["id"] for told in stage.host.of("/ours")] == [job_id]
            assert {told.path for told in stage.host.told} == {"/ours", "/theirs", "/admins"}

    play(tmp_path, scenario)


def test_a_job_names_the_endpoint_that_is_told_whatever_else_that_wants(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook("/named", events=[])
        both = await stage.hook("/all")
        await stage.job()
        await stage.host.hears(lambda: stage.host.of("/all"))
        job_id = await stage.job(webhook_url=hook["url"])
        await stage.host.hears(lambda: stage.host.of("/named") and len(stage.host.of("/all")) == 2)
        assert [told.event["data"] for told in stage.host.of("/named")] == [{"id": job_id}]
        await stage.job(webhook_url=both["url"])
        await stage.host.hears(lambda: len(stage.host.of("/all")) == 3)
        assert len({told.id for told in stage.host.told}) == 4

    play(tmp_path, scenario)


def test_a_job_names_no_url_but_one_of_its_accounts(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        async with await stage.member() as member:
            for client, url in ((stage.client, stage.host.url("/other")), (member, hook["url"]), (member, "nonsense")):
                answer = await client.post("/api/v1/jobs", json={**SUBMISSION, "webhook_url": url})
                assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")
                assert answer.json()["error_message"].startswith("webhook_url: ")
                assert "127.0.0.1" not in answer.text
        assert (await stage.client.patch(path_of(hook), json={"enabled": False})).json()["disabled_by"] == "request"
        answer = await stage.client.post("/api/v1/jobs", json={**SUBMISSION, "webhook_url": hook["url"]})
        assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")

    play(tmp_path, scenario)


def test_a_repeated_submission_is_told_once(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        body = {**SUBMISSION, "webhook_url": hook["url"]}
        headers = {"Idempotency-Key": "once"}
        for _ in range(3):
            assert (await stage.client.post("/api/v1/jobs", json=body, headers=headers)).status_code == 200
        other = await stage.client.post("/api/v1/jobs", json=SUBMISSION, headers=headers)
        assert other.status_code == 409
        await stage.host.hears(lambda: stage.host.told)
        await stage.job()
        await stage.host.hears(lambda: len(stage.host.told) == 2)
        assert len({told.id for told in stage.host.told}) == 2

    play(tmp_path, scenario)


def test_each_threshold_of_a_budget_is_told_once(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        budget = {"unit": "tokens", "amount": 60, "period": "month"}
        async with await stage.member(budget=budget) as member:
            hook = await stage.hook("/budget", member, events=["budget.reached"])
            while (answer := await member.post("/api/v1/jobs", json=SUBMISSION)).status_code == 200:
                await stage.system.ended(answer.json()["id"], hook["account_id"])
            await stage.host.hears(lambda: stage.host.told)
            told = [each.event for each in stage.host.told]
            assert [each["data"]["threshold"] for each in told] == sorted({each["data"]["threshold"] for each in told})
            assert told[0]["data"] == {"id": hook["account_id"], "threshold": 80, "unit": "tokens", "period": "month"}

    play(tmp_path, scenario)


def test_only_admins_are_told_of_nodes_and_models(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        async with await stage.member() as member:
            body = {"url": stage.host.url("/member"), "events": ["node.offline"]}
            assert (await member.post("/api/v1/webhooks", json=body)).status_code == 403
            await stage.hook("/member", member)
        await stage.hook("/admin", events=["node.offline", "model.failed"])
        (node_id,) = stage.system.node_ids
        await stage.system.ticks(2)
        await stage.system.kill_node(node_id)
        await stage.host.hears(lambda: stage.host.told)
        (told,) = stage.host.told
        assert (told.path, told.event["type"], told.event["data"]) == ("/admin", "node.offline", {"id": node_id})

    play(tmp_path, scenario, timing=replace(QUICK, offline_after_s=0.5))


def test_a_member_does_not_touch_what_an_admin_is_told_by(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        async with await stage.member() as member:
            account = (await stage.hook("/one", member))["account_id"]
            hook = await stage.hook("/two", account=account, events=["node.offline"])
            assert len((await member.get("/api/v1/webhooks")).json()["webhooks"]) == 2
            for answer in (
                await member.patch(path_of(hook), json={"url": stage.host.url("/mine")}),
                await member.post(path_of(hook) + "/rotate"),
            ):
                assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")

    play(tmp_path, scenario)


def test_another_accounts_webhook_is_like_none(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        async with await stage.member() as member:
            assert (await member.get("/api/v1/webhooks")).json() == {"webhooks": []}
            for path in (path_of(hook), "/api/v1/webhooks/hook_0", "/api/v1/webhooks/a%00b"):
                answers = [
                    await member.patch(path, json={"enabled": True}),
                    await member.post(f"{path}/rotate"),
                    await member.post(f"{path}/test"),
                    await member.get(f"{path}/deliveries"),
                    await member.post(f"{path}/deliveries/msg_0/redeliver"),
                    await member.delete(path),
                ]
                assert {(a.status_code, a.json()["error"]) for a in answers} == {(404, "webhook_not_found")}
            answer = await member.post("/api/v1/webhooks", json={"url": hook["url"], "account": hook["account_id"]})
            assert answer.status_code == 403

    play(tmp_path, scenario)


def test_after_a_rotation_both_secrets_are_good(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        answer = await stage.client.post(path_of(hook) + "/rotate")
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
        fresh = answer.json()["secret"]
        assert fresh != hook["secret"]
        await stage.job()
        await stage.host.hears(lambda: stage.host.told)
        (told,) = stage.host.told
        assert verified(told, hook["secret"]) == verified(told, fresh)
        assert len(told.headers["webhook-signature"].split()) == 2

    play(tmp_path, scenario)


def test_a_secret_is_shown_once(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        for answer in (
            await stage.client.get("/api/v1/webhooks"),
            await stage.client.patch(path_of(hook), json={"events": ["job.failed"]}),
            await stage.client.post(path_of(hook) + "/test"),
            await stage.client.get(path_of(hook) + "/deliveries"),
        ):
            assert answer.status_code in (200, 202)
            assert "whsec_" not in answer.text and hook["secret"][6:] not in answer.text

    play(tmp_path, scenario)


def test_an_endpoint_is_tried_out(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook(events=[])
        answer = await stage.client.post(path_of(hook) + "/test")
        assert (answer.status_code, answer.json()["event"], answer.json()["status"]) == (202, "webhook.test", "pending")
        await stage.host.hears(lambda: stage.host.told)
        (told,) = stage.host.told
        assert (told.id, told.event["data"]) == (answer.json()["id"], {"id": hook["id"]})
        assert verified(told, hook["secret"])["type"] == "webhook.test"

    play(tmp_path, scenario)


def test_what_failed_is_listed_and_told_again_by_hand_under_its_id(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        stage.host.answers = lambda _: 500
        await stage.job()
        await stage.host.hears(lambda: stage.host.told)
        await stage.until_attempted(hook, 1)
        (delivery,) = await stage.deliveries(hook)
        assert (delivery["status"], delivery["response_status"], delivery["problem"]) == ("pending", 500, "refused")
        assert delivery["next_attempt_at"] > delivery["created_at"]
        stage.host.answers = lambda _: 204
        again = await stage.client.post(f"{path_of(hook)}/deliveries/{delivery['id']}/redeliver")
        assert again.status_code == 202
        await stage.host.hears(lambda: len(stage.host.told) == 2)
        await stage.until_attempted(hook, 2)
        (delivered,) = await stage.deliveries(hook, status="delivered")
        assert (delivered["id"], delivered["attempts"], delivered["response_status"]) == (delivery["id"], 2, 204)
        assert "problem" not in delivered and "next_attempt_at" not in delivered
        assert {told.id for told in stage.host.told} == {delivery["id"]}
        assert (await stage.client.post(f"{path_of(hook)}/deliveries/msg_0/redeliver")).json()["error"] == (
            "delivery_not_found"
        )

    play(tmp_path, scenario)


def test_pages_of_deliveries_have_each_once(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        for _ in range(7):
            await stage.client.post(path_of(hook) + "/test")
        await stage.host.hears(lambda: len(stage.host.told) == 7)
        found: list[str] = []
        query: dict[str, Any] = {"limit": 3}
        while True:
            page = (await stage.client.get(path_of(hook) + "/deliveries", params=query)).json()
            found += [each["id"] for each in page["deliveries"]]
            if "next_cursor" not in page:
                break
            query["cursor"] = page["next_cursor"]
        assert len(found) == len(set(found)) == 7
        assert set(found) == {told.id for told in stage.host.told}

    play(tmp_path, scenario)


def test_an_endpoint_that_is_gone_is_told_nothing_more_until_it_is_enabled(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        stage.host.answers = lambda _: 410
        first = await stage.job()
        await until(lambda: stage.is_disabled(hook), "disabled")
        await stage.system.ended(await stage.job())
        answer = await stage.client.post(path_of(hook) + "/test")
        assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
        stage.host.answers = lambda _: 204
        assert "disabled_by" not in (await stage.client.patch(path_of(hook), json={"enabled": True})).json()
        third = await stage.job()
        await stage.host.hears(lambda: len(stage.host.told) == 2)
        assert [told.event["data"]["id"] for told in stage.host.told] == [first, third]

    play(tmp_path, scenario)


def test_an_endpoint_that_fails_for_five_days_is_disabled_and_its_owner_is_told(tmp_path: Path) -> None:
    clock = MovedClock()

    async def scenario(stage: Scene) -> None:
        stage.host.answers = lambda told: 500 if told.path == "/dead" else 204
        async with await stage.member() as member:
            dead = await stage.hook("/dead", member)
            await stage.hook("/alive", member)
            await stage.job(member)
            await stage.until_attempted(dead, 1)
            (failing, well) = (await member.get("/api/v1/webhooks")).json()["webhooks"]
            assert (failing["status"], "failing_since" in failing, "failing_since" in well) == ("enabled", True, False)
            await stage.system.lose_courier()
            clock.ahead_ms = DISABLE_AFTER_MS
            second = await stage.job(member)
            await stage.system.ended(JobId(second), dead["account_id"])
            await stage.system.start_courier()
            await until(lambda: stage.is_disabled(dead), "disabled")
            (failing, well) = (await member.get("/api/v1/webhooks")).json()["webhooks"]
            assert (failing["disabled_by"], well["status"]) == ("failures", "enabled")
            assert failing["disabled_reason"].startswith(f"Every attempt since {failing['failing_since']} failed")
            assert failing["disabled_at"] > failing["failing_since"]
            waiting = await stage.deliveries(dead, status="pending")
            assert {each["problem"] for each in waiting} == {"disabled"}
            assert not any("next_attempt_at" in each for each in waiting)
            stage.host.answers = lambda _: 204
            again = f"{path_of(dead)}/deliveries/{waiting[0]['id']}/redeliver"
            assert (await member.post(again)).json()["error"] == "conflict"
            enabled = (await member.patch(path_of(dead), json={"enabled": True})).json()
            assert (enabled["status"], enabled.keys() & {"disabled_by", "disabled_reason", "failing_since"}) == (
                "enabled",
                set(),
            )
            assert (await member.post(again)).status_code == 202
            await stage.host.hears(lambda: second in {told.event["data"]["id"] for told in stage.host.of("/dead")[2:]})

    play(tmp_path, scenario, clock=clock)


def test_what_waits_for_a_disabled_endpoint_goes_on_when_it_is_enabled(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        await stage.system.lose_courier()
        job_id = await stage.job()
        await stage.system.ended(job_id)
        await stage.client.patch(path_of(hook), json={"enabled": False})
        await stage.system.start_courier()
        await stage.system.courier.taking.taken()
        assert stage.host.told == []
        await stage.client.patch(path_of(hook), json={"enabled": True})
        await stage.host.hears(lambda: stage.host.told)
        assert stage.host.told[0].event["data"] == {"id": job_id}

    play(tmp_path, scenario)


def test_nothing_is_told_to_a_webhook_that_was_removed(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook("/removed")
        await stage.system.lose_courier()
        await stage.system.ended(await stage.job())
        assert (await stage.client.delete(path_of(hook))).status_code == 204
        assert (await stage.client.delete(path_of(hook))).status_code == 404
        await stage.system.ended(await stage.job())
        await stage.hook("/kept")
        await stage.system.start_courier()
        await stage.job()
        await stage.host.hears(lambda: stage.host.of("/kept"))
        assert stage.host.of("/removed") == []
        await stage.system.ledger.prune_deliveries()
        assert stage.system.rows("SELECT count(*) FROM webhooks") == [(1,)]
        assert stage.system.rows(f"SELECT count(*) FROM deliveries WHERE webhook_id = '{hook['id']}'") == [(0,)]

    play(tmp_path, scenario)


def test_a_slow_endpoint_holds_up_no_other(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        stage.host.held["/slow"] = asyncio.Event()
        await stage.hook("/slow")
        await stage.hook("/quick")
        jobs = [await stage.job() for _ in range(30)]
        await stage.host.hears(lambda: len(stage.host.of("/quick")) == 30)
        assert {told.event["data"]["id"] for told in stage.host.of("/quick")} == set(jobs)
        assert len(stage.host.of("/slow")) <= MOST_SENDING
        stage.host.held["/slow"].set()
        await stage.host.hears(lambda: {told.event["data"]["id"] for told in stage.host.of("/slow")} == set(jobs))

    play(tmp_path, scenario)


def test_an_endpoint_that_asks_for_a_pause_has_it_and_no_other(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        busy = await stage.hook("/busy")
        stage.host.answers = lambda told: (
            Response(status_code=429, headers={"Retry-After": "1000"}) if told.path == "/busy" else 204
        )
        await stage.job()
        await stage.until_attempted(busy, 1)
        await stage.hook("/other")
        await stage.job()
        await stage.host.hears(lambda: stage.host.of("/other"))
        await stage.system.courier.taking.taken()
        assert len(stage.host.of("/busy")) == 1
        waiting = await stage.deliveries(busy)
        assert [each["attempts"] for each in waiting] == [0, 1]
        assert waiting[1]["next_attempt_at"] > iso_utc(stage.system.clock.wall_ms() + 900_000)

    play(tmp_path, scenario)


def test_what_a_dead_courier_had_under_way_is_told_by_the_next_under_its_id(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        stage.host.held["/hook"] = asyncio.Event()
        hook = await stage.hook()
        jobs = [await stage.job() for _ in range(3)]
        await stage.host.hears(lambda: len(stage.host.told) == 3)
        first = {told.event["data"]["id"]: told.id for told in stage.host.told}
        await stage.system.lose_courier()
        stage.host.held["/hook"].set()
        await stage.system.start_courier()
        await stage.host.hears(lambda: len(stage.host.told) == 6)
        assert set(first) == set(jobs)
        assert {told.event["data"]["id"]: told.id for told in stage.host.told[3:]} == first
        await until(lambda: stage.all_delivered(hook, 3), "all delivered")

    play(tmp_path, scenario)


def test_what_came_of_webhooks_and_how_many_are_still_to_come_is_measured(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        answers = {"/gone": 410, "/broken": 500}
        stage.host.answers = lambda told: answers.get(told.path, 204)
        for path in ("/good", *answers):
            await stage.hook(path)
        await stage.job()

        async def is_told() -> bool:
            page = (await stage.client.get("/metrics")).text
            lines = [line for line in page.splitlines() if line.startswith("infernet_webhook_")]
            return set(lines) >= {
                'infernet_webhook_attempts_total{outcome="delivered"} 1.0',
                'infernet_webhook_attempts_total{outcome="failed"} 1.0',
                'infernet_webhook_attempts_total{outcome="given_up"} 1.0',
                "infernet_webhook_deliveries 1.0",
            }

        await until(is_told, "the metrics")
        counts = await stage.system.courier.counts()
        assert (counts.delivered, counts.failed_attempts, counts.given_up, counts.under_way) == (1, 2, 1, 0)

    play(tmp_path, scenario)


def test_what_is_asked_of_a_webhook_is_looked_at(tmp_path: Path) -> None:
    async def scenario(stage: Scene) -> None:
        hook = await stage.hook()
        url = stage.host.url("/another")
        for body, field in (
            ({}, "url"),
            ({"url": None}, "url"),
            ({"url": 5}, "url"),
            ({"url": "http://example.org/"}, "url"),
            ({"url": "https://10.0.0.1/"}, "url"),
            ({"url": url, "events": ["job.done"]}, "events[0]"),
            ({"url": url, "events": "job.failed"}, "events"),
            ({"url": url, "secret": "whsec_x"}, "secret"),
            ({"url": url, "account": "acct_none"}, "account"),
        ):
            answer = await stage.client.post("/api/v1/webhooks", json=body)
            assert answer.status_code == 400, (body, answer.text)
            assert answer.json()["error_message"].startswith(field), answer.text
        twice = await stage.client.post("/api/v1/webhooks", json={"url": hook["url"]})
        assert (twice.status_code, twice.json()["error"]) == (409, "conflict")
        other = await stage.hook("/other")
        for body in ({"url": hook["url"]}, {"url": None}, {"enabled": "yes"}, {"url": "https://127.0.0.2/"}):
            assert (await stage.client.patch(path_of(other), json=body)).status_code in (400, 409)
        for number in range(18):
            await stage.hook(f"/{number}")
        assert (await stage.client.post("/api/v1/webhooks", json={"url": url})).status_code == 409

    play(tmp_path, scenario)
