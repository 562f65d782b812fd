"""The addresses of all pages, and jobs, keys and whatever else there is to be seen on them."""

import httpx

from tests.support.own_system import OwnSystem

FIXED = (
    "/",
    "/jobs",
    "/models",
    "/nodes",
    "/playground",
    "/usage",
    "/settings",
    "/settings/keys",
    "/settings/accounts",
    "/settings/webhooks",
)


def addresses(system: OwnSystem) -> list[str]:
    """All of them, for an admin: those that are always there, and one of each kind that names a thing."""
    webhook = f"/settings/webhooks/{_webhook(system)}/deliveries"
    return [*FIXED, f"/jobs/{_ended_job(system)}", "/models/sim", f"/nodes/{system.plain.node_ids[0]}", webhook]


def _webhook(system: OwnSystem) -> str:
    """One that has been sent a test, or is about to be."""
    with httpx.Client(base_url=f"{system.url}/api/v1", headers={"Authorization": f"Bearer {system.key}"}) as api:
        known = api.get("/webhooks").json()["webhooks"]
        if not known:
            known = [api.post("/webhooks", json={"url": "https://hooks.example/told"}).json()]
            api.post(f"/webhooks/{known[0]['id']}/test")
    return str(known[0]["id"])


def _ended_job(system: OwnSystem) -> str:
    with httpx.Client(base_url=f"{system.url}/api/v1", headers={"Authorization": f"Bearer {system.key}"}) as api:
        body = {"model": "sim", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
        job_id = api.post("/jobs", json=body).json()["id"]
        assert api.get(f"/jobs/{job_id}?wait=10").json()["status"] == "completed"
    return str(job_id)
