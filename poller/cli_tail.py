"""`poller tail`: arguments in, lines and an exit code out. What is done is in poller/operate/."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from poller.cli_parts import config_file, json_text, run_giving_back, settings_of, tell
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from poller.core.mapping import EventSourceMapping
    from poller.core.records import Record


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments, as click names and reads them."""

    source: str
    path: Path
    most: int | None
    since: str | None
    patterns: tuple[str, ...]
    steal: bool
    as_json: bool


@click.command()
@click.argument("source")
@config_file
@click.option("--n", "most", type=click.IntRange(1), help="End after so many records.")
@click.option("--since", metavar="TIME", help="Begin so far back (30s, 10m, 2h, 1d) or at an ISO 8601 time.")
@click.option(
    "--filter", "patterns", metavar="PATTERN", multiple=True,
    help="Only records that match, as in FilterCriteria. Several: any of them.",
)  # fmt: skip
@click.option("--steal", is_flag=True, help="Of a queue: receive messages and give them back.")
@click.option("--json", "as_json", is_flag=True, help="Print records as a function gets them, one a line.")
def tail(**asked: Any) -> None:
    """Show records as they come. SOURCE is a mapping's name or the ARN of a queue or stream.

    A stream is read beside everybody else, and nobody's position moves. The reads count against the shard's
    limits: one a second of Kinesis's five, and DynamoDB has room for two readers. Records of a shard come in
    order, those of several as they are read. Without --since it begins with what is written from now on. What does
    not answer or is throttled is tried again, and told on standard error.

    A queue shows its messages to those who receive them only. With --steal it shows up to --n of those that are
    there (10 unless said), each received once, and gives them back: meanwhile its consumers do not get them, and
    their receive counts stay one higher, which may be the one that sends them to the dead-letter queue.
    """
    run_giving_back(_tail(_Asked(**asked)))


async def _tail(asked: _Asked) -> None:
    from poller.clock import SystemClock
    from poller.core.model import SourceKind
    from poller.operate.places import bare_mapping, loaded, mapping_named
    from poller.operate.tail import Tail, event_record, line_of, parse_since
    from poller.sources import opened_sources

    named = asked.source.startswith("arn:")
    arn = asked.source if named else mapping_named(loaded(asked.path), asked.source).arn.text
    mapping = bare_mapping(arn, asked.patterns)
    if mapping.source is SourceKind.SQS:
        if not asked.steal:
            raise ConfigurationError(
                f"{arn} is a queue, which cannot be looked at without receiving: that hides its messages from"
                " their"
                " consumers for a moment and raises their receive counts for good; --steal does it all the same."
            )
        if asked.since is not None:
            raise ConfigurationError("--since is for streams: a queue shows what it has.")
        await _steal(mapping, asked)
        return
    if asked.steal:
        raise ConfigurationError("--steal is for queues: nothing has to be taken from a stream to show it.")
    start = None if asked.since is None else parse_since(asked.since, SystemClock().now().wall)

    def show(shard_id: str, record: "Record") -> None:
        if asked.as_json:
            click.echo(json_text(event_record(record, mapping, shard_id)))
        else:
            _show_line(line_of(record, mapping.source, shard_id))

    async with opened_sources(settings_of(asked.path)) as sources:
        await Tail(sources.stream(mapping), mapping, show, tell, since=start, most=asked.most).run()


async def _steal(mapping: "EventSourceMapping", asked: _Asked) -> None:
    from poller.core.filter import make_filter
    from poller.operate.borrowed import borrowing
    from poller.operate.dlq import VISIBILITY, event_record, peek
    from poller.operate.tail import message_line
    from poller.sources import opened_sources

    wanted = make_filter(mapping.filters, mapping.source)
    async with opened_sources(settings_of(asked.path)) as sources:
        queue, _ = await sources.queue_at(mapping.arn)
        async with borrowing(queue, VISIBILITY, tell) as borrowed:
            async for wire in peek(borrowed, asked.most or 10):
                record = event_record(wire, mapping.arn).record
                if not wanted.passes_message(record):
                    continue
                del record["receiptHandle"]  # it is good for nobody else
                if asked.as_json:
                    click.echo(json_text(record))
                else:
                    _show_line(message_line(record))


def _show_line(line: str) -> None:
    """Cut at the edge of a terminal, whole anywhere else."""
    console = Console()
    click.echo(beginning(line, console.width) if console.is_terminal else line)


def beginning(line: str, width: int) -> str:
    """What of the line has room in so many columns."""
    line = line[:width]  # it may be a megabyte
    return set_cell_size(line, min(cell_len(line), width))
