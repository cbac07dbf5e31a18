"""What the control API tells: GetEventSourceMapping, the lists, the tags, of all mappings that there are.

Everything here may be called from any thread: what is read is replaced as a whole, and never changed.
"""

from collections.abc import Iterator, Mapping

from poller.control_book import Book, Held, Unusable
from poller.core.api_answers import Answer, Done, Refused, not_found, refused
from poller.core.api_lists import page
from poller.core.api_shapes import Standing, configuration, mapping_arn, processing_result, uuid_of_arn
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_shapes import quote
from poller.metrics_stats import MappingStats
from poller.runtime.coordinator import Coordinator
from poller.service import Service


class Reading:
    """The operations that change nothing; every answer is a value, nothing is raised."""

    def __init__(self, service: Service, account: str | None) -> None:
        """`account` stands in the ARNs of mappings; without it that of the source is taken."""
        self._service = service
        self._account = account
        self._book = Book()
        self._unusable: dict[str, Unusable] = {}
        self._coming: tuple[EventSourceMapping, ...] = ()
        """Of the file, on the way by a reload."""
        self._away = "The daemon is starting, and does not know all of its mappings yet: try again in a moment."
        """Why nothing can be told now, which is not the same as that there is no such mapping; empty: it can."""

    def get(self, uuid: str) -> Answer:
        """GetEventSourceMapping."""
        if self._away:
            return refused("ServiceException", self._away)
        for mapping, standing in self._all():
            if mapping.uuid == uuid:
                return Done(200, configuration(mapping, standing, self._account))
        return self._nothing(uuid)

    def held(self) -> dict[str, Held]:
        """Which do not run although they shall, and why: what the live status has beside its numbers, by UUID."""
        return self._book.held()

    def list(self, query: Mapping[str, str]) -> Answer:
        """ListEventSourceMappings; `query` is that of the URL: EventSourceArn, FunctionName, Marker, MaxItems."""
        if self._away:
            return refused("ServiceException", self._away)
        standings = {mapping.uuid: (mapping, standing) for mapping, standing in self._all()}
        part = page(query, [mapping for mapping, _ in standings.values()])
        if isinstance(part, Refused):
            return part
        told = [configuration(*standings[mapping.uuid], self._account, listed=True) for mapping in part.mappings]
        more = {} if part.marker is None else {"NextMarker": part.marker}
        return Done(200, {"EventSourceMappings": told, **more})

    def list_tags(self, arn: str) -> Answer:
        """ListTags of a mapping's ARN; those of the file have tags, too."""
        uuid = self._uuid(arn)
        if isinstance(uuid, Refused):
            return uuid
        return next(
            (Done(200, {"Tags": dict(mapping.tags)}) for mapping, _ in self._all() if mapping.uuid == uuid),
            not_found(),
        )

    def _nothing(self, uuid: str) -> Refused:
        """Why there is no mapping with this UUID. What cannot run is not gone: Terraform would make it again."""
        unusable = self._unusable.get(uuid)
        if unusable is None:
            return not_found()
        text = f"This mapping is kept, and this version of poller cannot run it: {unusable.why.removesuffix('.')}."
        return refused("ServiceException", f"{text} Run the version that made it, or delete the mapping.")

    def _others(self, uuid: str) -> Iterator[EventSourceMapping]:
        """What there is or will be beside this one, of the API and of the file."""
        for entry in self._book:
            if entry.kept.mapping.uuid != uuid:
                yield from entry.mappings
        for coordinator in self._of_file():
            yield coordinator.mapping
        yield from self._coming

    def _of_file(self) -> Iterator[Coordinator]:
        book = self._book
        return (one for one in tuple(self._service.coordinators.values()) if one.mapping.uuid not in book)

    def _all(self) -> Iterator[tuple[EventSourceMapping, Standing]]:
        running = {one.mapping.uuid: one for one in tuple(self._service.coordinators.values())}
        for entry in self._book:
            coordinator = running.pop(entry.mapping.uuid, None)
            yield entry.mapping, entry.standing(None if coordinator is None else coordinator.stats)
        for coordinator in running.values():
            yield coordinator.mapping, standing_of(coordinator)

    def _stats(self, uuid: str) -> MappingStats | None:
        coordinator = self._service.coordinator(uuid)
        return None if coordinator is None else coordinator.stats

    def _uuid(self, arn: str) -> str | Refused:
        """That of a mapping's ARN, which names our region and account."""
        if self._away:
            return refused("ServiceException", self._away)
        uuid = uuid_of_arn(arn)
        if uuid is None:
            text = f"{quote(arn)} is not the ARN of an event source mapping, and only those have tags here."
            return refused("ValidationException", text)
        mapping = next((mapping for mapping, _ in self._all() if mapping.uuid == uuid), None)
        if mapping is None or mapping_arn(mapping, self._account) != arn:
            return not_found()
        return uuid


def standing_of(coordinator: Coordinator) -> Standing:
    """Of a mapping of the file."""
    stats = coordinator.stats
    result = processing_result(stats.last_result, stats.last_problem)
    return Standing(stats.state, coordinator.added_at, result)
