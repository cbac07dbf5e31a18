"""A bucket with failure documents, for those who read them again: ports.FailureBucket through an SDK client.

Whoever only delivers documents there is destinations.py.
"""

from typing import Any

import aiohttp

from poller.aws.clients import AwsClients
from poller.aws.sdk_calls import ask
from poller.core.model import JsonObject

_ANSWERED = "ResponseMetadata"  # the only field that every answer has


class S3Bucket:
    """A bucket by its name, with the client that reaches it."""

    def __init__(self, clients: AwsClients, client: Any, name: str) -> None:
        self._clients = clients
        self._client = client
        self._name = name

    async def keys(self, prefix: str, after: str) -> tuple[str, ...]:
        """ListObjectsV2, one page: a thousand keys in the order of their bytes, which in a shard is that of
        time.
        """
        listing = self._client.list_objects_v2(Bucket=self._name, Prefix=prefix, StartAfter=after)
        answer = await ask(self._clients, "s3", "ListObjectsV2", listing, receipt=_ANSWERED)
        return tuple(str(item["Key"]) for item in answer.get("Contents", ()))

    async def get(self, key: str) -> bytes:
        """GetObject and its body."""

        async def whole() -> JsonObject:
            answer = await self._client.get_object(Bucket=self._name, Key=key)
            try:
                return {_ANSWERED: True, "Body": await answer["Body"].read()}
            except aiohttp.ClientError as error:  # in the middle of a body: the SDK lets these through
                raise ConnectionError(str(error) or type(error).__name__) from error

        body: bytes = (await ask(self._clients, "s3", "GetObject", whole(), receipt=_ANSWERED))["Body"]
        return body

    async def put(self, key: str, body: bytes) -> None:
        """PutObject, as a destination writes it (DST-10)."""
        put = self._client.put_object(
            Bucket=self._name, Key=key, Body=body, ContentType="application/octet-stream"
        )
        await ask(self._clients, "s3", "PutObject", put, receipt="ETag")

    async def delete(self, key: str) -> None:
        """DeleteObject."""
        delete = self._client.delete_object(Bucket=self._name, Key=key)
        await ask(self._clients, "s3", "DeleteObject", delete, receipt=_ANSWERED)


async def open_bucket(clients: AwsClients, name: str, region: str) -> S3Bucket:
    """Nothing is asked yet. Raises SourceError when there can be no client."""
    return S3Bucket(clients, await clients.client("s3", region), name)
