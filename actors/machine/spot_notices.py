"""The clouds' word that a spot machine will be taken away, as the machine itself can ask for it.

AWS: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html>, about two minutes
ahead. Google Cloud: <https://cloud.google.com/compute/docs/instances/create-use-spot>, half a minute ahead.
"""

from datetime import datetime
from typing import Protocol

import httpx

from cluster.clock import wall_ms
from cluster.settings.schema import SpotNoticesOf

_ANSWER_S = 2.0
_AWS_URL = "http://169.254.169.254"
_GCP_URL = "http://metadata.google.internal"
_TOKEN_S = 21_600
_GCP_NOTICE_MS = 30_000


class SpotNotices(Protocol):
    """Where this machine hears of its end."""

    async def leaves_at_ms(self) -> int | None:
        """When the machine will be taken away; None while nothing is known of that.

        Raises httpx.HTTPError when the cloud does not answer.
        """
        ...


class AwsNotices:
    """Of EC2's metadata, version 2: each question wants a token that was asked for before."""

    def __init__(self, url: str = _AWS_URL) -> None:
        self._url = url
        self._token = ""

    async def leaves_at_ms(self) -> int | None:
        async with httpx.AsyncClient(base_url=self._url, timeout=_ANSWER_S) as cloud:
            answer = await self._ask(cloud)
            if answer.status_code == httpx.codes.UNAUTHORIZED:  # the token has had its time, or there is none yet
                self._token = await _new_token(cloud)
                answer = await self._ask(cloud)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        time = answer.raise_for_status().json()["time"]
        return round(datetime.fromisoformat(time).timestamp() * 1000)

    async def _ask(self, cloud: httpx.AsyncClient) -> httpx.Response:
        headers = {"X-aws-ec2-metadata-token": self._token}
        return await cloud.get("/latest/meta-data/spot/instance-action", headers=headers)


class GcpNotices:
    """Of Compute Engine's metadata. They tell that the machine is preempted, not when it ends."""

    def __init__(self, url: str = _GCP_URL) -> None:
        self._url = url
        self._leaves_at_ms: int | None = None

    async def leaves_at_ms(self) -> int | None:
        if self._leaves_at_ms is None:
            async with httpx.AsyncClient(base_url=self._url, timeout=_ANSWER_S) as cloud:
                headers = {"Metadata-Flavor": "Google"}
                answer = await cloud.get("/computeMetadata/v1/instance/preempted", headers=headers)
            if answer.raise_for_status().text.strip() == "TRUE":
                self._leaves_at_ms = wall_ms() + _GCP_NOTICE_MS
        return self._leaves_at_ms


def notices_of(cloud: SpotNoticesOf) -> SpotNotices:
    """The notices of this cloud."""
    return AwsNotices() if cloud == "aws" else GcpNotices()


async def _new_token(cloud: httpx.AsyncClient) -> str:
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_S)}
    return (await cloud.put("/latest/api/token", headers=headers)).raise_for_status().text
