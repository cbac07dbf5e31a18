"""Which records pass the filters of a mapping: what a pattern sees of a message or record (FLT-30 to FLT-36).

The language of patterns is filter_pattern.py's, the search filter_match.py's.
"""

from binascii import a2b_base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import orjson

from poller.core.filter_alternatives import PatternProblem
from poller.core.filter_leaf import Bits
from poller.core.filter_match import MISSING, Node, make_tree
from poller.core.filter_pattern import TooDeepError, Way, parse_pattern, read_json
from poller.core.mapping import SourceArn
from poller.core.mapping_shapes import dotted
from poller.core.model import JsonObject, SourceKind
from poller.core.records import Record
from poller.core.stream_payload import kinesis_event

DATA_KEYS: Final = {SourceKind.SQS: "body", SourceKind.KINESIS: "data", SourceKind.DYNAMODB: "dynamodb"}
"""What patterns are for (FLT-30); other fields can be named too (FLT-32)."""

_UNREAD: Final = object()
"""For text that may be JSON and is too deep to be read. Nobody knows what a pattern would make of it, so its
record passes: to delete it would lose what may have been wanted, and the function can still pass it over."""

_BRACKETS: Final = frozenset({"{", "[", b"{", b"["})


class RecordFilter:
    """The filters of one mapping, compiled. It keeps nothing of a record, changes none, and never raises."""

    __slots__ = ("_data", "_everything", "_is_kinesis", "_json", "_rest", "_text", "_tree")

    def __init__(self, tree: Node, source: SourceKind) -> None:
        key = DATA_KEYS[source]
        self._tree = tree
        self._everything = tree.everything
        self._is_kinesis = source is SourceKind.KINESIS
        self._data = dict(tree.children).get(key)
        self._rest = tuple((name, child) for name, child in tree.children if name != key)
        # Text meets the rules for text, JSON those for JSON; a way with rules of the other kind is out (FLT-34).
        self._text = self._json = tree.everything
        if self._data is not None:
            self._text &= ~self._data.lists_below
            self._json &= ~self._data.lists

    def passes_message(self, record: JsonObject) -> bool:
        """Whether an SQS message passes; `record` is its event record, as payload.py makes it (FLT-34, FLT-35)."""
        ok = self._everything
        if self._data is not None:
            body = record.get("body")
            ok = self._data_bits(self._data, body, _json(body) if isinstance(body, str) else None)
        return self._rest_passes(record, ok)

    def passes_record(self, record: Record, arn: SourceArn, shard_id: str) -> bool:
        """Whether a record of a stream passes; stream and shard are part of what a pattern may name (FLT-36).

        Kinesis shows a record without the level `kinesis`, its data decoded (FLT-31).
        """
        if not self._is_kinesis:
            return self._tree.look_below(record.source)[0] != 0
        ok = self._everything
        if self._data is not None:
            ok = self._data_bits(self._data, None, _json(_decoded(record.source.get("Data"))))
        if not ok or not self._rest:
            return ok != 0
        event = kinesis_event(record, arn, shard_id)
        event.update(event.pop("kinesis"))
        return self._rest_passes(event, ok)

    def _data_bits(self, node: Node, text: object, parsed: object) -> Bits:
        if parsed is None:
            return node.look(text)[0] & self._text
        if parsed is _UNREAD:
            return self._everything
        return node.look(parsed)[0] & self._json

    def _rest_passes(self, record: JsonObject, ok: Bits) -> bool:
        for name, node in self._rest:
            if not ok:
                return False
            value = record.get(name, MISSING)
            ok &= node.absent if value is MISSING else node.look(value)[0]
        return ok != 0


def make_filter(patterns: Sequence[str], source: SourceKind) -> RecordFilter:
    """What passes any of these patterns (FLT-1); without any, all does (CFG-46).

    Each is as EventSourceMapping.filters has it. Raises ValueError for text that is no pattern: none of them is.
    The shards of a stream, of which there may be thousands, get the same one.
    """
    return _compiled(tuple(patterns), source)


@lru_cache(maxsize=64)
def _compiled(patterns: tuple[str, ...], source: SourceKind) -> RecordFilter:
    ways: list[Way] = []
    for text in patterns:
        pattern = parse_pattern(text)
        if isinstance(pattern, PatternProblem):
            raise ValueError(f"{dotted(pattern.path)}: {pattern.found}; {pattern.allowed}")  # noqa: TRY004 - no type is wrong
        ways += pattern.ways
    return RecordFilter(make_tree(ways if patterns else [()]), source)


def _json(text: str | bytes) -> Any:
    """The object or array that text is as JSON; None for all other text (FLT-35), and for bytes that are not UTF-8
    (FLT-30): left to itself, Python's reader would take UTF-16 too. _UNREAD where nobody can tell.
    """
    start = text.lstrip()[:1]
    if start not in _BRACKETS:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:  # JSON may have lone surrogates and numbers beyond any float, which orjson refuses
        return read_json(text if isinstance(text, str) else text.decode("utf-8", "surrogatepass"))
    except TooDeepError:
        return _UNREAD
    except ValueError:
        return None


def _decoded(data: Any) -> bytes:
    """The data of a Kinesis record, which comes as base64 text; empty for what is none."""
    try:
        return a2b_base64(data)
    except (TypeError, ValueError):
        return b""
