"""The control API below HTTP: mappings made, read, changed and deleted while the daemon runs.

Beside a reload it is the only one that changes mappings at run time. Those of the configuration file can be read
through it and not changed; its own are kept in the state store and outlive the process.

Coroutines run on the main event loop; `get`, `list` and `list_tags` may be called from any thread.
"""

from collections.abc import Mapping, Sequence

from poller.core.api_answers import Answer, not_found, refused
from poller.service import Service


class Control:
    """What Lambda's operations on event source mappings do here; every answer is a value, nothing is raised."""

    def __init__(self, service: Service, *, account: str | None = None) -> None:
        """`account` is Settings.AccountId, for the ARNs of mappings; without it that of the source is taken."""
        self._service = service
        self._account = account

    async def create(self, fields: object) -> Answer:
        """CreateEventSourceMapping; `fields` is the request's body, any JSON value."""
        del fields
        return refused("ServiceException", "This is not built yet.")

    def get(self, uuid: str) -> Answer:
        """GetEventSourceMapping."""
        del uuid
        return not_found()

    async def update(self, uuid: str, fields: object) -> Answer:
        """UpdateEventSourceMapping; `fields` is the request's body, any JSON value."""
        del uuid, fields
        return not_found()

    async def delete(self, uuid: str) -> Answer:
        """DeleteEventSourceMapping."""
        del uuid
        return not_found()

    def list(self, query: Mapping[str, str]) -> Answer:
        """ListEventSourceMappings; `query` is that of the URL: EventSourceArn, FunctionName, Marker, MaxItems."""
        del query
        return refused("ServiceException", "This is not built yet.")

    def list_tags(self, arn: str) -> Answer:
        """ListTags of a mapping's ARN."""
        del arn
        return not_found()

    async def tag(self, arn: str, tags: object) -> Answer:
        """TagResource; `tags` is the value of the body's Tags, any JSON value."""
        del arn, tags
        return not_found()

    async def untag(self, arn: str, keys: Sequence[str]) -> Answer:
        """UntagResource; `keys` are the values of the query's tagKeys."""
        del arn, keys
        return not_found()

    async def pause(self, name: str) -> Answer:
        """Receives no more: a mapping of the file until the next start, one made here until it is resumed."""
        del name
        return not_found()

    async def resume(self, name: str) -> Answer:
        """Receives again."""
        del name
        return not_found()
