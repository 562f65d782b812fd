"""People at the dashboard's pages, without a browser: clients that keep cookies and follow where they are sent."""

import re

import httpx

from api.app import create_app
from api.replica.gateway import Gateway


def visitor(gateway: Gateway, url: str = "http://infernet") -> httpx.AsyncClient:
    """Somebody who has not signed in."""
    transport = httpx.ASGITransport(create_app(gateway), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=url, follow_redirects=True)


async def sign_in(client: httpx.AsyncClient, key: str) -> str:
    """Sign in, which has to succeed. The token of the session, which changes must bring."""
    response = await client.post("/signin", data={"key": key})
    assert response.status_code == 200, response.text
    token = re.search(r'"X-CSRF-Token": "([^"]+)"', response.text)
    assert token is not None
    return token[1]
