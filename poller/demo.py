"""`poller demo`: two queues, a Kinesis stream and a table with a stream are fed, with failing records among them;
at the end every record must be accounted for. It runs on the embedded AWS, in a process of its own, or on the AWS
at a URL, without what that does not have.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Sequence

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from poller.aws.clients import AwsClients
from poller.demo_kinesis import KinesisStream
from poller.demo_queues import FifoQueue, Queue
from poller.demo_show import Show, summary
from poller.demo_source import REGION, Source
from poller.demo_table import TableStream
from poller.embed import Poller
from poller.errors import PollerError
from poller.testing import separate_process

DRAIN_DEADLINE = 120.0
STOP_DEADLINE = 5.0  # short, and with it the long polls: whoever presses Ctrl-C waits for one
KINDS: tuple[Callable[[str, AwsClients], Source], ...] = (Queue, FifoQueue, KinesisStream, TableStream)
MOST_REASON = 200  # characters


async def run_demo(records: int, seconds: float, aws: str | None, *, as_json: bool, console: Console) -> int:
    """Feeds `records` records over at least `seconds`; 0 when all are accounted for, else 1.

    Raises PollerError when the AWS at `aws` cannot be used.
    """
    logging.getLogger("poller").addHandler(logging.NullHandler())
    async with contextlib.AsyncExitStack() as stack:
        embedded = aws is None
        url = await stack.enter_async_context(separate_process()) if aws is None else aws
        where = f"the embedded AWS at {url}" if embedded else url
        clients = await stack.enter_async_context(AwsClients(region=REGION, endpoint_url=url))
        prefix = f"poller-demo-{uuid.uuid4().hex[:8]}"
        wanted = [kind(prefix, clients) for kind in KINDS]
        stack.push_async_callback(_clean_up, wanted)
        sources, left_out = await _create(wanted, where)
        if not as_json:
            nouns = _listed([source.noun for source in sources])
            console.print(f"{records} records into {nouns}\non {where}; some fail on purpose.", soft_wrap=True)
            for name, reason in left_out.items():
                console.print(f"left out: {name}: {reason}", soft_wrap=True, markup=False)
        show = Show(None if as_json else console, sources)
        try:
            async with Poller(region=REGION, endpoint_url=url, shutdown_timeout=STOP_DEADLINE) as poller:
                for source in sources:
                    poller.add(source.arn, source.handler(), Name=source.mapping, **source.fields())
                async with show.running():
                    counts = shares(records, [source.share for source in sources])
                    tell = show.tell if embedded else None  # some stand-ins lose records in a split
                    await asyncio.gather(
                        *(
                            source.feed(count, seconds, tell=tell)
                            for source, count in zip(sources, counts, strict=True)
                        )
                    )
                    with contextlib.suppress(TimeoutError):  # the summary tells what is missing
                        async with asyncio.timeout(DRAIN_DEADLINE):
                            await poller.drain()
            await asyncio.gather(*(source.read_dead() for source in sources))
        except (BotoCoreError, ClientError, OSError) as error:
            raise PollerError(f"{where} failed while the demo ran: {error}") from error
    return summary([source.ledger for source in sources], left_out, as_json=as_json, console=console)


async def _create(wanted: Sequence[Source], where: str) -> tuple[list[Source], dict[str, str]]:
    """The sources that this AWS has, and by the names of the others why not. Raises PollerError: none at all."""
    outcomes = await asyncio.gather(*(source.create() for source in wanted), return_exceptions=True)
    sources, left_out = [], {}
    for source, outcome in zip(wanted, outcomes, strict=True):
        if outcome is None:
            sources.append(source)
        elif isinstance(outcome, Exception):
            left_out[source.mapping] = " ".join((str(outcome) or type(outcome).__name__).split())[:MOST_REASON]
        else:
            raise outcome
    if not sources:
        raise PollerError(f"nothing of the demo can be created on {where}: {next(iter(left_out.values()))}")
    return sources, left_out


async def _clean_up(sources: Sequence[Source]) -> None:
    await asyncio.gather(*(source.delete() for source in sources))


def shares(records: int, weights: Sequence[int]) -> list[int]:
    """So many records by these weights; what is left over goes to the first."""
    counts = [records * weight // sum(weights) for weight in weights]
    counts[0] += records - sum(counts)
    return counts


def _listed(nouns: Sequence[str]) -> str:
    return nouns[0] if len(nouns) == 1 else f"{', '.join(nouns[:-1])} and {nouns[-1]}"
