"""`poller replay`: arguments in, lines and an exit code out. What is done is in poller/operate/."""

from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
from rich.console import Console

from poller.cli_parts import config_file, json_text, results_apart, run_giving_back, tell
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from poller.config import Configuration
    from poller.core.mapping import EventSourceMapping
    from poller.operate.failures import FailurePlace
    from poller.sources import Sources

_DOCUMENTS = "aws/lambda/"  # what the keys of failure documents begin with (DST-11)


@click.command()
@config_file
@click.option(
    "--mapping", "name", metavar="NAME",
    help="Only this mapping's: also documents of its stream that name a function which no mapping has.",
)  # fmt: skip
@click.option("--queue", metavar="ARN", help="Read documents from this queue.")
@click.option("--bucket", metavar="NAME", help="Read documents from this bucket.")
@click.option("--prefix", metavar="KEY", help=f"Of --bucket: only keys that begin so.  [default: {_DOCUMENTS}]")
@click.option(
    "--file", "file", type=click.File("r", encoding="utf-8"), help="Read documents from a file; - is stdin."
)
@click.option("--dry-run", "dry", is_flag=True, help="Only say what would be done: are the records still there?")
@click.option("--keep", is_flag=True, help="Leave documents in their place whatever became of them.")
@click.option(
    "--whole-range", "whole", is_flag=True,
    help="Take all records between a document's first and last that pass the filter.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each document.")
def replay(
    path: Path,
    name: str | None,
    queue: str | None,
    bucket: str | None,
    prefix: str | None,
    file: IO[str] | None,
    *,
    dry: bool,
    keep: bool,
    whole: bool,
    as_json: bool,
) -> None:
    """Handle again what was given up: the records of failure documents.

    The documents are in the mapping's on-failure destination, unless an option names another place; a file may
    also hold what a topic sent. For each, the records are read from the stream, or taken from the payload that
    S3 has, and the mapping's handler gets the event that Lambda would give it. A partial response is honoured:
    the rest follows at once, as long as it gets shorter. A document is removed only when all of its records are
    done; of one that is partly done the rest takes its place. Killed at any point, it loses nothing, and a batch
    under way is handled again the next time. Of tumbling windows only the end is replayed, from a bucket: in the
    middle nobody would take the state that the function returns.

    Between a document's ends are the records of other keys too, where ParallelizationFactor is above 1. They are
    told apart as the daemon does it. How AWS does is not known: for documents that AWS itself wrote for such a
    mapping, and for those of which a part has been trimmed, there is --whole-range.

    Beyond the daemon's permissions: sqs:ReceiveMessage, DeleteMessage, ChangeMessageVisibility, GetQueueAttributes
    and SendMessage on the queue of documents; s3:ListBucket, GetObject, PutObject and DeleteObject on the bucket.

    Exit code 0 when all is done, 1 when something is left, 2 for wrong use.
    """
    if sum(one is not None for one in (queue, bucket, file)) > 1:
        raise click.UsageError("One place at a time: --queue, --bucket or --file.")
    if prefix is not None and bucket is None:
        raise click.UsageError("--prefix is for --bucket.")
    with results_apart() as out:
        left = run_giving_back(
            _replay(path, name, queue, bucket, prefix, file, out, dry=dry, keep=keep, whole=whole, as_json=as_json)
        )
    if left:
        raise SystemExit(1)


async def _replay(
    path: Path,
    name: str | None,
    queue: str | None,
    bucket: str | None,
    prefix: str | None,
    file: IO[str] | None,
    out: IO[str],
    *,
    dry: bool,
    keep: bool,
    whole: bool,
    as_json: bool,
) -> int:
    """The number of documents of which something is left."""
    from poller.operate.places import loaded, mapping_named
    from poller.operate.replay import Replay
    from poller.operate.shown import progress, replayed_line
    from poller.sources import opened_sources

    configuration = loaded(path)
    if name is not None and mapping_named(configuration, name).stream is None:
        raise ConfigurationError(
            f"The mapping {name!r} reads a queue, which has no failure documents: its failures are in its"
            " dead-letter"
            " queue, for `poller dlq`."
        )
    streams = [mapping for mapping in configuration.mappings if mapping.stream is not None]
    lines, left, done = Console(file=out), 0, 0
    takers: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        sources = await stack.enter_async_context(opened_sources(configuration.settings))
        if file is not None:
            place = _file_place(file)
        else:
            place = await _place(sources, stack, configuration, streams, name, queue, bucket, prefix)
        work = Replay(sources, streams, stack, name=name, dry=dry, keep=keep, whole=whole)
        errors = Console(stderr=True)
        with progress(errors, place.total) as bar:
            async for one in work.run(place):
                done += 1
                left += one.fate not in {"done", "would replay"} or bool(dry and one.detail)
                takers.update([one.taker] if one.taker else [])
                if as_json:
                    click.echo(json_text(one.to_json()), file=out)
                else:
                    (errors if lines.is_terminal and errors.is_terminal else lines).print(
                        replayed_line(one), soft_wrap=True
                    )
                bar(done)
    if not as_json:
        verb = "would be replayed" if dry else "done"
        click.echo(f"{done} document{'s' * (done != 1)}: {done - left} {verb}, {left} left", file=out)
    for taker, count in takers.items():
        names = "1 document names" if count == 1 else f"{count} documents name"
        tell(f"{names} another function than that of {taker}: --mapping {taker} takes them all the same.")
    return left


async def _place(
    sources: "Sources",
    stack: AsyncExitStack,
    configuration: "Configuration",
    streams: "list[EventSourceMapping]",
    name: str | None,
    queue: str | None,
    bucket: str | None,
    prefix: str | None,
) -> "FailurePlace":
    """Where the documents are, by the options or else by the mappings' own destination."""
    from poller.core.mapping import DestinationKind
    from poller.operate.borrowed import borrowing
    from poller.operate.dlq import queue_arn
    from poller.operate.failures import BucketPlace, QueuePlace
    from poller.operate.replay import seconds_held

    asked = [one for one in streams if name in {None, one.name}]
    region = configuration.settings.region or (asked[0].arn.region if asked else "us-east-1")
    if queue is None and bucket is None:
        places = {
            one.stream.destination.text: one for one in asked if one.stream is not None and one.stream.destination
        }
        if len(places) != 1:
            known = f": {', '.join(places)}" if places else ""
            raise ConfigurationError(
                f"{configuration.file} has {len(places)} on-failure destinations{known}. Say where the documents"
                " are,"
                " with --mapping, --queue, --bucket or --file."
            )
        ((text, owner),) = places.items()
        assert owner.stream is not None
        assert owner.stream.destination is not None
        match owner.stream.destination.kind:
            case DestinationKind.SQS:
                queue = text
            case DestinationKind.S3:
                bucket, region = owner.stream.destination.name, owner.arn.region
                same = [one for one in asked if one.stream and one.stream.destination == owner.stream.destination]
                prefix = f"{_DOCUMENTS}{owner.uuid}/" if len(same) == 1 else _DOCUMENTS
            case DestinationKind.SNS:
                raise ConfigurationError(
                    f"{text} is a topic, which keeps nothing: read what it delivered, with --queue for a queue"
                    " that"
                    " is subscribed to it, or --file."
                )
    if bucket is not None:
        return BucketPlace(await sources.bucket(bucket, region), _DOCUMENTS if prefix is None else prefix)
    assert queue is not None, "one of the three"
    opened, facts = await sources.queue_at(queue_arn(queue, "--queue"))
    longest = max(map(seconds_held, asked), default=120)
    return QueuePlace(opened, await stack.enter_async_context(borrowing(opened, longest, tell)), facts.visible)


def _file_place(file: IO[str]) -> "FailurePlace":
    from poller.core.failed_batch import documents_in
    from poller.operate.failures import FilePlace

    try:
        return FilePlace(file.name, list(documents_in(file.read())))
    except (OSError, ValueError) as error:  # UnicodeDecodeError is one
        raise ConfigurationError(f"--file {file.name}: {error}.") from error
