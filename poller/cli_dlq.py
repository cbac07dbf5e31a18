"""`poller dlq`: arguments in, tables and exit codes out. What is done is in poller/operate/dlq.py."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from poller.cli_parts import as_json as _as_json
from poller.cli_parts import config_file, json_text, run_giving_back, settings_of, tell

if TYPE_CHECKING:
    from poller.core.mapping import SourceArn
    from poller.core.model import JsonObject
    from poller.operate.dead_letters import DeadLetterQueue, NotSeen
    from poller.sources import Sources

_mapping = click.argument("mapping", required=False)
_queue = click.option("--queue", metavar="ARN", help="This queue, whatever it is the dead-letter queue of.")


@dataclass(frozen=True, slots=True)
class _Redrive:
    """What `redrive` was asked for, as click names and reads its arguments."""

    mapping: str | None
    path: Path
    queue: str | None
    to: str | None
    patterns: tuple[str, ...]
    most: int | None
    rate: float | None
    dry: bool
    as_json: bool


@click.group()
def dlq() -> None:
    """Dead-letter queues: what is in them, and its way back to work.

    That of a mapping is the one that its queue's RedrivePolicy names. SQS shows messages to those who receive them
    only: `ls`, `show` and `redrive --dry-run` receive, which hides a message from its readers until the command
    ends and raises its receive count by one for good, and give back. Of a FIFO queue they see the first ones of
    each group, ten at most.

    Beyond the daemon's permissions: sqs:ReceiveMessage, sqs:GetQueueAttributes and sqs:ChangeMessageVisibility on
    the dead-letter queue (without the last, messages come back after two minutes); for redrive sqs:DeleteMessage
    on it, sqs:SendMessage and sqs:GetQueueAttributes where they go, and for encrypted queues kms:Decrypt and
    kms:GenerateDataKey.
    """


@dlq.command("ls")
@_mapping
@config_file
@_queue
@click.option(
    "--n", "most", type=click.IntRange(0), default=10, show_default=True, help="Look at so many messages."
)
@_as_json
def ls(mapping: str | None, path: Path, queue: str | None, most: int, *, as_json: bool) -> None:
    """Count and list messages: age, receives, size, group. Of MAPPING, or of all mappings of queues.

    With --n 0 it only counts, which receives nothing.

    Exit code 0, or 1 when a queue could not be looked at: what it is of says why, and the others are shown.
    """
    told = run_giving_back(_look(mapping, path, queue, most))
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        from poller.operate.shown import queue_table

        console = Console()
        for one in told:
            console.print(queue_table(one))
    if any(one["problem"] for one in told):
        raise SystemExit(1)


@dlq.command("show")
@click.argument("identifier", metavar="ID")
@_mapping
@config_file
@_queue
def show(identifier: str, mapping: str | None, path: Path, queue: str | None) -> None:
    """Print one message, JSON: body, attributes, all. ID is its MessageId, or the beginning of it."""
    found = run_giving_back(_find(identifier, mapping, path, queue))
    click.echo(json_text(found, 2))


@dlq.command("redrive")
@_mapping
@config_file
@_queue
@click.option("--to", metavar="ARN", help="Send them to this queue, not back to the mapping's.")
@click.option(
    "--filter", "patterns", metavar="PATTERN", multiple=True,
    help="Only messages that match, as in FilterCriteria: '{\"body\": {\"type\": [\"order\"]}}'. Several: any.",
)  # fmt: skip
@click.option("--max", "most", type=click.IntRange(1), help="So many at most.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Messages a second, on average.")
@click.option("--dry-run", "dry", is_flag=True, help="Only say how many would go.")
@_as_json
def redrive(**asked: Any) -> None:
    """Send messages back to the queue of MAPPING, body, attributes and FIFO group as they were.

    Each is sent first and deleted after. When it ends in between, also by kill -9, a message is in both queues
    and is handled twice; none is ever in neither. On FIFO queues the same redrive, done again within five
    minutes, does not double it. A message gets a new id, receive count and retention, and on FIFO queues a new
    deduplication id: with the old one SQS could swallow it. Of a group it comes after what was sent there since.

    Messages that another queue's RedrivePolicy brought are left, unless --to says where they go. What --filter
    does not want is held until the end, and on FIFO queues it holds back the rest of its group.

    Exit code 0, or 1 when a message that should go could not.
    """
    code = run_giving_back(_redrive(_Redrive(**asked)))
    if code:
        raise SystemExit(code)


async def _look(name: str | None, path: Path, queue: str | None, most: int) -> "list[JsonObject]":
    from poller.clock import SystemClock
    from poller.operate.dead_letters import told_queue

    clock = SystemClock()
    async with _opened(name, path, queue) as (_, meant):
        return [await told_queue(one, most, clock.now().wall, tell) for one in meant]


async def _find(identifier: str, name: str | None, path: Path, queue: str | None) -> "JsonObject":
    from poller.errors import ConfigurationError
    from poller.operate.borrowed import borrowing
    from poller.operate.dead_letters import NotSeen
    from poller.operate.dlq import MOST_LOOKED_AT, VISIBILITY, peek, refuse_to_peek, whole_message

    looked = 0
    async with _opened(name, path, queue) as (_, meant):
        for one in meant:
            if isinstance(one, NotSeen):
                tell(f"That of {one.mapping.name} is not looked at: {one.why}")
                continue
            if why := refuse_to_peek(one.arn, one.facts):
                tell(f"{why}. It is not looked at.")
                continue
            async with borrowing(one.queue, VISIBILITY, tell) as borrowed:
                async for wire in peek(borrowed, MOST_LOOKED_AT):
                    looked += 1
                    if wire["MessageId"].startswith(identifier):
                        return whole_message(wire)
    raise ConfigurationError(
        f"There is no message {identifier!r} among the {looked} that could be received; one that another reader"
        " holds is not shown to us."
    )


async def _redrive(asked: _Redrive) -> int:
    from poller.core.filter import make_filter
    from poller.core.model import SourceKind
    from poller.errors import ConfigurationError
    from poller.operate.borrowed import borrowing
    from poller.operate.dead_letters import DeadLetterQueue
    from poller.operate.dlq import VISIBILITY, refuse_to_peek
    from poller.operate.places import bare_mapping
    from poller.operate.redrive import Redrive, unseen
    from poller.operate.shown import progress, redriven_lines

    if asked.queue is None and asked.mapping is None:
        raise click.UsageError("Say of which mapping: poller dlq redrive MAPPING, or --queue ARN and --to ARN.")
    if asked.to is None and asked.mapping is None:
        raise click.UsageError("--queue needs --to ARN, or the MAPPING whose queue they go to.")
    async with _opened(asked.mapping, asked.path, asked.queue) as (sources, (one, *_)):
        assert isinstance(one, DeadLetterQueue), "of one that is named, what is wrong has been raised"
        wanted = None
        if asked.patterns:
            wanted = make_filter(bare_mapping(one.arn.text, asked.patterns, "--queue").filters, SourceKind.SQS)
        target = _target(one, asked.to)
        if (why := refuse_to_peek(one.arn, one.facts)) and asked.dry:
            raise ConfigurationError(f"{why}: there is no dry run for it.")
        if why:
            tell(f"{why}: those that stay come one nearer to that.")
        sending, _ = await sources.queue_at(target)
        source = None if asked.to is not None else target.text
        console = Console(stderr=True)
        async with borrowing(one.queue, VISIBILITY, tell) as borrowed:
            work = Redrive(
                borrowed, sending, arn=one.arn, wanted=wanted, source=source, dry=asked.dry, rate=asked.rate
            )
            try:
                with progress(
                    console, one.facts.visible if asked.most is None else min(asked.most, one.facts.visible)
                ) as bar:
                    async for counts in work.run(asked.most):
                        bar(counts.looked_at)
            finally:  # also of one that was interrupted: what has been done is done
                if asked.as_json:
                    click.echo(json.dumps(work.counts.to_json(dry=asked.dry), indent=2))
                else:
                    for line in redriven_lines(work.counts, target.text, dry=asked.dry):
                        click.echo(line)
        if asked.most is None and (rest := unseen(work.counts, one.facts, one.arn)):
            tell(rest)
        return 1 if work.counts.problems or work.counts.held_back else 0


def _target(one: "DeadLetterQueue", to: str | None) -> "SourceArn":
    """Where its messages go: to the queue that the user says, else back to the mapping's."""
    from poller.operate.dlq import queue_arn
    from poller.operate.redrive import check_target

    if to is not None:
        target = queue_arn(to, "--to")
    else:
        assert one.mapping is not None, "there is one without --to"
        target = one.mapping.arn
    check_target(one.arn, target)
    return target


@asynccontextmanager
async def _opened(
    name: str | None, path: Path, queue: str | None
) -> "AsyncIterator[tuple[Sources, Sequence[DeadLetterQueue | NotSeen]]]":
    """The dead-letter queues that are meant, at least one; NotSeen is none that somebody has named."""
    from poller.core.model import SourceKind
    from poller.errors import ConfigurationError
    from poller.operate.dead_letters import DeadLetterQueue, all_dead_letter_queues, dead_letter_queue
    from poller.operate.dlq import queue_arn
    from poller.operate.places import loaded, queue_mapping
    from poller.sources import opened_sources

    arn = None if queue is None else queue_arn(queue, "--queue")
    if arn is not None and name is None:
        async with opened_sources(settings_of(path)) as sources:
            dead, facts = await sources.queue_at(arn)
            yield sources, [DeadLetterQueue(arn, dead, facts, None)]
        return
    configuration = loaded(path)
    if name is not None:
        instead = "what it gave up is in its on-failure destination, for `poller replay`."
        mapping = queue_mapping(configuration, name, instead)
        async with opened_sources(configuration.settings) as sources:
            yield sources, [await dead_letter_queue(sources, mapping, arn)]
        return
    mappings = [one for one in configuration.mappings if one.source is SourceKind.SQS]
    if not mappings:
        raise ConfigurationError(f"{path} has no mapping of a queue: name a dead-letter queue with --queue.")
    async with opened_sources(configuration.settings) as sources:
        found = await all_dead_letter_queues(sources, mappings)
        if not found:
            raise ConfigurationError(f"None of the queues of {path} has a RedrivePolicy, so no dead-letter queue.")
        yield sources, found
