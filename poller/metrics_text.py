"""The exposition of /metrics: prometheus_client's, but for the histograms, which are nine tenths of the lines.

With 200 mappings there are 50,000 of them. As objects they take the side thread half a second, in which the event
loop waits for the interpreter at each of its calls. Here a histogram is written in one piece, and remembers what
it wrote until something was observed.
"""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from poller.metrics_numbers import Histogram

Encode = Callable[[CollectorRegistry], bytes]


class DistributionFamily(Metric):
    """A family of histograms whose samples are made when somebody asks for them. Without `buckets` all
    observations are in the one bucket that every histogram must have.
    """

    def __init__(self, name: str, documentation: str, labels: Sequence[str], *, buckets: bool = True) -> None:
        super().__init__(name, documentation, "histogram")
        self._labels = labels
        self._buckets = buckets
        self._rows: list[tuple[Sequence[str], Histogram]] = []

    def add(self, values: Sequence[str], histogram: Histogram) -> None:
        """One histogram, with the values of the family's labels."""
        self._rows.append((values, histogram))

    @property
    def traced(self) -> bool:
        """Whether any of them has an exemplar to show."""
        return self._buckets and any(histogram.exemplars for _, histogram in self._rows)

    @property
    def samples(self) -> list[Sample]:
        """As prometheus_client has them."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self._labels)
        for values, histogram in self._rows:
            family.add_metric(values, self._points(histogram), histogram.total)
        return family.samples

    @samples.setter
    def samples(self, value: list[Sample]) -> None:
        """Metric begins with none."""

    def text(self) -> str:
        """Its lines, without exemplars."""
        parts = [f"# HELP {self.name} {self.documentation}\n# TYPE {self.name} histogram\n"]
        parts += [self._lines(values, histogram) for values, histogram in self._rows]
        return "".join(parts)

    def _points(self, histogram: Histogram) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
        # the event loop's thread goes on counting: the count is taken from the last bucket, so both agree
        if not self._buckets:
            return [("+Inf", histogram.count)]
        total = 0
        points: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        for place, count in enumerate(histogram.counts):
            total += count
            bound = str(histogram.bounds[place]) if place < len(histogram.bounds) else "+Inf"
            if (traced := histogram.exemplars.get(place)) is None:
                points.append((bound, total))
            else:
                points.append((bound, total, Exemplar({"trace_id": traced.trace_id}, traced.value, traced.at)))
        return points

    def _lines(self, values: Sequence[str], histogram: Histogram) -> str:
        counts, total = tuple(histogram.counts), histogram.total
        key = (self.name, self._buckets, *values)
        written = histogram.written
        if written is not None and written[0] == (key, counts, total):
            return written[1]
        labels = sorted(f'{name}="{_escaped(value)}"' for name, value in zip(self._labels, values, strict=True))
        before = "".join(f"{label}," for label in labels if label < "le=")
        after = "".join(f",{label}" for label in labels if label >= "le=")
        bounds = (*map(str, histogram.bounds), "+Inf") if self._buckets else ("+Inf",)
        lines, reached = [], 0
        for bound, count in zip(bounds, counts if self._buckets else (sum(counts),), strict=True):
            reached += count
            lines.append(f'{self.name}_bucket{{{before}le="{bound}"{after}}} {_number(reached)}\n')
        shown = f"{{{','.join(labels)}}}" if labels else ""
        lines.append(f"{self.name}_count{shown} {_number(reached)}\n")
        lines.append(f"{self.name}_sum{shown} {_number(total)}\n")
        text = "".join(lines)
        histogram.written = ((key, counts, total), text)
        return text


class _Rest:
    """What prometheus_client writes itself."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def exposition(registry: CollectorRegistry, encode: Encode) -> bytes:
    """What `encode`, one of prometheus_client's, makes of the registry; the order of the families is another."""
    quick, rest = [], []
    for family in registry.collect():
        if isinstance(family, DistributionFamily) and not family.traced:
            quick.append(family.text())
        else:
            rest.append(family)
    return "".join(quick).encode() + encode(_Rest(rest))  # type: ignore[arg-type]  # it only needs collect()


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]  # theirs says no types


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
