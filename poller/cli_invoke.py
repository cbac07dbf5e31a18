"""`poller invoke`: arguments in, lines and an exit code out. What is done is in poller/operate/."""

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from poller.cli_parts import as_json as _as_json
from poller.cli_parts import config_file, json_text, results_apart, run_giving_back, tell
from poller.errors import ConfigurationError

if TYPE_CHECKING:
    from poller.core.mapping import EventSourceMapping
    from poller.core.model import JsonObject
    from poller.sources import Sources


@click.command()
@click.argument("name")
@config_file
@click.option("--n", "count", type=click.IntRange(1), default=1, show_default=True, help="Up to so many records.")
@click.option(
    "--ack/--no-ack", "acknowledge", default=False, help="Delete the messages that succeeded.  [default: no-ack]"
)
@click.option("--shard", metavar="ID", help="Of a stream: from this shard.  [default: the first that has records]")
@click.option(
    "--event", type=click.File("r", encoding="utf-8"), help="Take this event instead, a file; - is stdin."
)
@_as_json
def invoke(
    name: str,
    path: Path,
    count: int,
    shard: str | None,
    event: IO[str] | None,
    *,
    acknowledge: bool,
    as_json: bool,
) -> None:
    """Run the handler of the mapping NAME once, with records of its source, and show what came of it.

    The event is the one that Lambda would give, with those records that pass the mapping's filters (of a tumbling
    window's mapping: without the window). The answer is judged as the daemon would judge it.

    Messages of a queue are received, which hides them from others meanwhile and raises their receive count by one
    for good, and given back at the end. With --ack those that succeeded are deleted instead, and all others given
    back; what the filters do not want is never deleted here.

    Records of a stream are read from where the daemon goes on, as far as its state file tells, else from the
    oldest ones. The position never moves: it says that everything before it is resolved, and it is the daemon's.
    `poller checkpoint set` moves it.

    It needs the daemon's permissions, those that `poller iam` prints.

    Exit code 0 for success, 1 for anything else, 2 for wrong use.
    """
    with results_apart() as out:
        well = run_giving_back(_invoke(name, path, count, shard, event, out, ack=acknowledge, as_json=as_json))
    if not well:
        raise SystemExit(1)


async def _invoke(
    name: str,
    path: Path,
    count: int,
    shard: str | None,
    event: IO[str] | None,
    out: IO[str],
    *,
    ack: bool,
    as_json: bool,
) -> bool:
    from poller.operate import trial
    from poller.operate.calling import opened_handler
    from poller.operate.places import loaded, mapping_named
    from poller.sources import opened_sources

    configuration = loaded(path)
    mapping = mapping_named(configuration, name)
    trial.check_count(mapping, count)
    if mapping.stream is not None and ack:
        raise ConfigurationError(
            f"--ack: {name!r} reads a stream, whose position is the daemon's: it says that everything before it is"
            " resolved. `poller checkpoint set` moves it."
        )
    if event is not None and ack:
        raise ConfigurationError("--ack: an event of a file has nothing that could be acknowledged.")
    if shard is not None and mapping.stream is None:
        raise ConfigurationError(f"--shard: {name!r} reads a queue, which has no shards.")
    async with opened_sources(configuration.settings) as sources, opened_handler(mapping, sources) as call:
        if event is not None:
            given = _event(event)
            called = await call(given)
            judged = trial.judge_event(given, called, mapping)
            shown = len(judged.done) + len(judged.failed)
            _show_result(trial.to_json(called, judged, shown, ()), out, as_json=as_json)
            return judged.outcome == "success"
        if mapping.stream is None:
            return await _invoke_with_messages(mapping, sources, call, count, out, ack=ack, as_json=as_json)
        places = trial.stored_places(configuration, mapping)
        of, records = await trial.read_records(sources.stream(mapping), mapping, count, places, shard)
        if not records:
            raise _nothing(name)
        called = await call(trial.event_of_records(records, mapping, of))
        judged = trial.judge_records(records, called, mapping)
        _show_result(trial.to_json(called, judged, len(records), ()) | {"shard": of}, out, as_json=as_json)
        return judged.outcome == "success"


async def _invoke_with_messages(
    mapping: "EventSourceMapping",
    sources: "Sources",
    call: Any,
    count: int,
    out: IO[str],
    *,
    ack: bool,
    as_json: bool,
) -> bool:
    from poller.operate import trial
    from poller.operate.borrowed import TEN, borrowing, undisturbed

    queue, facts = await sources.queue(mapping)
    async with borrowing(queue, trial.visibility(mapping), tell) as borrowed:
        messages, passed_over = await trial.take_messages(borrowed, mapping, count)
        if passed_over:
            enough = " No more were taken." if passed_over >= trial.MOST_PASSED_OVER else ""
            tell(
                f"{passed_over} messages do not pass the filters of {mapping.name!r}: the daemon would delete"
                f" them.{enough}"
            )
        if not messages:
            raise _nothing(mapping.name)
        called = await call(trial.event_of_messages(messages))
        judged = trial.judge_messages(messages, called, mapping)
        acknowledged: list[str] = []
        if ack:
            for start in range(0, len(judged.done), TEN):
                some = judged.done[start : start + TEN]
                refused = await undisturbed(borrowed.delete(some))
                acknowledged += [one for one in some if one not in refused]
                for one, why in refused.items():
                    tell(f"{one} succeeded and could not be deleted, so it comes again: {why}")
        most = (facts.redrive or {}).get("maxReceiveCount")
        gone = set(acknowledged)
        if last := trial.received_too_often([one for one in messages if one.id not in gone], most):
            tell(f"{last} of the messages have now been received {most} times: the next receive moves them away.")
    _show_result(trial.to_json(called, judged, len(messages), acknowledged), out, as_json=as_json)
    return judged.outcome == "success"


def _event(file: IO[str]) -> "JsonObject":
    try:
        value = json.loads(file.read())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"--event {file.name}: this is not JSON ({error}).") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"--event {file.name}: an event is a JSON object.")
    return value


def _nothing(name: str) -> ConfigurationError:
    error = ConfigurationError(f"The source of {name!r} has no record for its handler now.")
    error.exit_code = 1
    return error


def _show_result(told: "JsonObject", out: IO[str], *, as_json: bool) -> None:
    from poller.operate.shown import table_of_ids

    if as_json:
        click.echo(json_text(told, 2), file=out)
        return
    click.echo(f"{told['outcome'].replace('_', ' ')} in {told['seconds']:.3f} s: {told['detail']}", file=out)
    click.echo(table_of_ids("the daemon would count as done", told["would_be_done"]), file=out)
    click.echo(table_of_ids("the daemon would try again", told["would_be_tried_again"]), file=out)
    if told["acknowledged"]:
        click.echo(table_of_ids("deleted", told["acknowledged"]), file=out)
    click.echo("response: " + json_text(told["response"], 2), file=out)
