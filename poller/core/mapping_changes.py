"""What differs between the mappings that run and those of a configuration read anew."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from poller.core.mapping import EventSourceMapping


@dataclass(frozen=True, slots=True)
class Changes:
    """What has to stop, and then to start, so that the new configuration runs. A mapping that is the same but for
    some of its fields is in both; all others go on untouched.
    """

    stop: tuple[EventSourceMapping, ...]
    start: tuple[EventSourceMapping, ...]

    def __bool__(self) -> bool:
        return bool(self.stop or self.start)


def find_changes(running: Iterable[EventSourceMapping], wanted: Sequence[EventSourceMapping]) -> Changes:
    """Compares field by field. The places of mappings in the file do not count."""
    present = {mapping.uuid: mapping for mapping in running}
    future = {mapping.uuid: mapping for mapping in wanted}
    return Changes(
        stop=tuple([mapping for uuid, mapping in present.items() if future.get(uuid) != mapping]),
        start=tuple([mapping for uuid, mapping in future.items() if present.get(uuid) != mapping]),
    )
