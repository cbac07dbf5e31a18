"""The exposition of /metrics: byte for byte prometheus_client's, with our own families written row by row.

With 200 mappings there are 50,000 lines. As objects they take the side thread half a second, in which the event
loop waits for the interpreter at each of its calls. Here the lines of a mapping in a family are one text with gaps
for its name and its numbers. Most mappings share that text, and nothing of it is kept from one scrape to the next.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from itertools import accumulate
from typing import Any, Final, Generic, TypeAlias, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from poller.metrics_numbers import Histogram

Encode: TypeAlias = Callable[[CollectorRegistry], bytes]

Owner: TypeAlias = tuple[str, ...]
"""Whose a row is: the values of its family's first labels, `mapping` before the others; none for the process."""

_T = TypeVar("_T", float, Histogram)
_Series: TypeAlias = tuple[str, dict[str, str]]

_NAME: Final = "\ud800"
"""Stands where the name of the mapping belongs: half a character, which is in no text that can be encoded."""


class _Family(ABC, Metric, Generic[_T]):
    """A family in rows: the series of one mapping, or of the process. Its samples, of which prometheus_client has
    an object each, are made when somebody asks for them.
    """

    def __init__(self, kind: str, name: str, documentation: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name.removesuffix("_total"), documentation, kind)
        self._labels = labels
        self._rows: list[tuple[Owner, dict[Any, _T]]] = []

    def add(self, owner: Owner, values: _T | Mapping[Any, _T] | None) -> None:
        """A row. `values` is one value, or one by each value of the label that is left, by a tuple where several
        are left. None is no row.
        """
        if values is None:
            return
        if isinstance(values, (int, float, Histogram)):
            self._rows.append((owner, {(): values}))
        else:
            self._rows.append((owner, dict(values)))  # as it is now: another thread counts

    @property
    def samples(self) -> list[Sample]:
        """As prometheus_client has them."""
        samples = []
        for owner, values in self._rows:
            exemplars = self._exemplars(values)
            row = zip(self._series(owner, values), self._points(values), strict=True)
            for place, ((name, labels), value) in enumerate(row):
                samples.append(Sample(name, labels, value, None, exemplars.get(place)))
        return samples

    @samples.setter
    def samples(self, value: list[Sample]) -> None:
        """Metric begins with none."""

    def text(self, *, exemplars: bool) -> str:
        """Its lines, but for those that begin with #."""
        rows: list[str] = []
        pieces: list[str] = []
        before: object = None
        for owner, values in self._rows:
            alike = owner[1:], tuple(values)
            if alike != before:
                before, pieces = alike, self._pieces(owner, values)
            numbers = list(map(_number, self._points(values)))
            for place, seen in self._exemplars(values).items() if exemplars else ():
                numbers[place] += f" # {_shown('', seen.labels)} {_number(seen.value)} {seen.timestamp}"
            name = _escaped(owner[0]).replace("%", "%%") if owner else ""
            rows.append(name.join(pieces) % tuple(numbers))
        return "".join(rows)

    def _pieces(self, owner: Owner, values: dict[Any, _T]) -> list[str]:
        """The text of a row, cut where the name of the mapping belongs, with %s for each number."""
        if owner:
            owner = (_NAME, *owner[1:])
        lines = [f"{_shown(*series)} ".replace("%", "%%") + "%s\n" for series in self._series(owner, values)]
        return "".join(lines).split(_NAME)

    def _series(self, owner: Owner, values: dict[Any, _T]) -> Iterator[_Series]:
        """The name and the labels of each."""
        for key, value in values.items():
            own: tuple[object, ...] = key if isinstance(key, tuple) else (key,)
            # the worst of all shards has no `shard`
            yield from self._series_of(value, dict(zip(self._labels, (*owner, *map(str, own)), strict=False)))

    @abstractmethod
    def _series_of(self, value: _T, labels: dict[str, str]) -> Iterator[_Series]:
        """Those of one value."""

    @abstractmethod
    def _points(self, values: dict[Any, _T]) -> list[float]:
        """What the series of a row have to show."""

    def _exemplars(self, values: dict[Any, _T]) -> dict[int, Exemplar]:
        """By the place of the series in its row."""
        return {}


class NumberFamily(_Family[float]):
    """Counters or gauges."""

    def _series_of(self, value: float, labels: dict[str, str]) -> Iterator[_Series]:
        yield f"{self.name}_total" if self.type == "counter" else self.name, labels

    def _points(self, values: dict[Any, float]) -> list[float]:
        return list(values.values())


class DistributionFamily(_Family[Histogram]):
    """Histograms, all with the same bounds. Without `buckets` all observations are in the one bucket that every
    histogram must have.
    """

    def __init__(self, name: str, documentation: str, labels: Sequence[str] = (), *, buckets: bool = True) -> None:
        super().__init__("histogram", name, documentation, labels)
        self._buckets = buckets

    def _series_of(self, value: Histogram, labels: dict[str, str]) -> Iterator[_Series]:
        for bound in (*value.bounds, "+Inf") if self._buckets else ("+Inf",):
            yield f"{self.name}_bucket", {**labels, "le": str(bound)}
        yield f"{self.name}_count", labels
        yield f"{self.name}_sum", labels

    def _points(self, values: dict[Any, Histogram]) -> list[float]:
        points: list[float] = []
        for histogram in values.values():
            if self._buckets:
                points += accumulate(histogram.counts)
            else:
                points.append(sum(histogram.counts))
            # the event loop's thread goes on counting: the count is taken from the last bucket, so both agree
            points += points[-1], histogram.total
        return points

    def _exemplars(self, values: dict[Any, Histogram]) -> dict[int, Exemplar]:
        exemplars = {}
        for number, histogram in enumerate(values.values() if self._buckets else ()):
            first = number * (len(histogram.bounds) + 3)
            for place, seen in dict(histogram.exemplars).items():
                exemplars[first + place] = Exemplar({"trace_id": seen.trace_id}, seen.value, seen.at)
        return exemplars


class _These:
    """Families as a registry has them."""

    def __init__(self, *families: Metric) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


_PROBE: Final = GaugeMetricFamily("a_b", "", labels=["c_d"])
_PROBE.add_metric([""], 0)


def exposition(registry: CollectorRegistry, encode: Encode) -> bytes:
    """What `encode`, one of prometheus_client's, makes of the registry."""

    def encoded(*families: Metric) -> bytes:
        return encode(_These(*families))  # type: ignore[arg-type]  # it only needs collect()

    end = encoded()  # is there in OpenMetrics, the format with exemplars
    plain = b'\na_b{c_d=""} 0.0\n' in encoded(_PROBE)  # not with names escaped in another way
    written = BytesIO()  # a join of so many bytes gives the interpreter away
    for family in registry.collect():
        if plain and isinstance(family, _Family):
            head = Metric(family.name, family.documentation, family.type)
            written.write(encoded(head).removesuffix(end))
            written.write(family.text(exemplars=bool(end)).encode())
        else:
            written.write(encoded(family).removesuffix(end))
    written.write(end)
    return written.getvalue()


@lru_cache(maxsize=1024)  # most are 0, or what the bucket before has
def _number(value: float) -> str:
    # theirs takes four times as long, and says the same of what is below a million
    return repr(float(value)) if -math.inf < value < 1_000_000 else str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _shown(name: str, labels: Mapping[str, str]) -> str:
    """A series as it is written."""
    if not labels:
        return name
    written = ",".join([f'{label}="{_escaped(value)}"' for label, value in sorted(labels.items())])
    return f"{name}{{{written}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
