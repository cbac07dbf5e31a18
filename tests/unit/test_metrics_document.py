"""deploy/docs/metrics.md is the list of what a daemon shows, row for row: name, type, labels with values, help."""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from poller.core.model import SourceKind
from poller.metrics import Metrics
from poller.metrics_stats import NO_GAUGES
from tests.unit.test_metrics import make_mapping, make_stream, shard_gauges, standing

DOCUMENT = Path(__file__).resolve().parents[2] / "deploy" / "docs" / "metrics.md"
SECTIONS = {
    frozenset({"fifo", "plain", "kinesis", "dynamodb"}): "Of each mapping",
    frozenset({"fifo", "plain"}): "Of queues",
    frozenset({"fifo"}): "Of FIFO queues",
    frozenset({"kinesis", "dynamodb"}): "Of streams",
    frozenset({"kinesis"}): "Of Kinesis streams",
    frozenset[str](): "Of the process",
}
OPEN = {"service", "operation", "uuid", "function", "source_arn", "version"}
"""Labels whose values are not ours to list."""


def shown() -> str:
    """What a daemon shows that has just begun, with a mapping of each kind."""
    metrics = Metrics()
    metrics.add(make_mapping("fifo", "1"), lambda: NO_GAUGES)
    metrics.add(make_mapping("plain", "2", fifo=False), lambda: NO_GAUGES)
    shards = {"s-1": shard_gauges()}
    metrics.add(make_stream("kinesis", "3"), lambda: standing(shards))
    metrics.add(make_stream("dynamodb", "4", source=SourceKind.DYNAMODB), lambda: standing(shards))
    return generate_latest(metrics.registry).decode()


def rows() -> Iterator[tuple[str, str]]:
    """Section and row of each family of ours."""
    for family in text_string_to_metric_families(shown()):
        if not family.name.startswith("esm_"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        owners, values = set(), dict[str, list[str]]()
        for sample in family.samples:
            owners |= {sample.labels["mapping"]} if "mapping" in sample.labels else set()
            for label in sample.labels.keys() - {"mapping", "source", "le"}:
                known = values.setdefault(label, [])
                known += [sample.labels[label]] if sample.labels[label] not in known else []
        labels = "; ".join(_told(label, values[label]) for label in sorted(values))
        yield SECTIONS[frozenset(owners)], f"| `{name}` | {family.type} | {labels} | {family.documentation} |"


def _told(label: str, values: list[str]) -> str:
    if label in OPEN or label == "shard":
        return f"`{label}`"
    return f"`{label}`: {', '.join(values)}"


def test_the_document_is_what_a_daemon_shows() -> None:
    """MET-1, MET-9: every name, its labels, their values, in its section; and nothing that is not there."""
    wanted: dict[str, list[str]] = {section: [] for section in SECTIONS.values()}
    for section, row in rows():
        wanted[section].append(row)
    text = DOCUMENT.read_text(encoding="utf-8")
    told = {
        part.partition("\n")[0]: [line for line in part.splitlines() if line.startswith("| `")]
        for part in text.split("\n## ")[1:]
    }
    lines = "\n\n".join("\n".join([f"## {section}", *found]) for section, found in wanted.items())
    assert {section: told.get(section) for section in wanted} == wanted, f"its rows are to be:\n{lines}"
