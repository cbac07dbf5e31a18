"""The command line: arguments in, text and an exit code out. What a command does is in the module it calls.

Exit codes: 0 well, 1 failure, 2 bad configuration or arguments, 3 the stop deadline passed with work abandoned.
Errors are sentences on standard error; a traceback is a bug of ours.
"""

import errno
import json
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from poller import interrupt
from poller.cli_dlq import dlq
from poller.cli_invoke import invoke
from poller.cli_parts import as_json as _as_json
from poller.cli_parts import config_file as _file
from poller.cli_parts import run as _run
from poller.cli_replay import replay
from poller.cli_tail import tail
from poller.errors import PollerError
from poller.version import __version__

if TYPE_CHECKING:
    from poller.check import Finding
    from poller.importer.file import Imported

DEFAULT_STATUS_URL = "http://127.0.0.1:9465"
HINTS = """\
{url}
SQS, SNS, S3, Kinesis, DynamoDB and its streams, all in memory. For poller, the
aws command and any SDK, in another terminal:
  export AWS_ENDPOINT_URL={url} AWS_DEFAULT_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x
What you create there is, as EventSourceArn or as a destination of failures:
  queue    arn:aws:sqs:us-east-1:000000000000:NAME
  stream   arn:aws:kinesis:us-east-1:000000000000:stream/NAME
  table    the LatestStreamArn that CreateTable answers
  topic    arn:aws:sns:us-east-1:000000000000:NAME
  bucket   arn:aws:s3:::NAME
Ctrl-C ends it, and nothing is kept."""
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="poller")
def commands() -> None:
    """AWS Lambda's event source mapping on your own machines.

    Polls SQS queues and Kinesis and DynamoDB streams, hands batches to your handlers, and settles what becomes
    of them.
    """


@commands.command()
@_file
@click.option("--drain", is_flag=True, help="Work until every source is empty, then stop.")
def run(path: Path, *, drain: bool) -> None:
    """Run the daemon.

    SIGTERM or Ctrl-C stops it well, within Settings.ShutdownTimeoutInSeconds; a second one ends it at once. SIGHUP
    has it read the file again.

    Exit code 0 when it stopped well, 1 for a failure, 2 for a configuration that cannot be right, 3 when work was
    abandoned.
    """
    from poller.config import load
    from poller.settings import environment

    configuration = load(path, environment())
    from poller.daemon import run_daemon  # after the file: what is wrong with that need not wait for an AWS SDK
    from poller.ending import ending_soon
    from poller.output import forgiving

    with forgiving():
        _run(ending_soon(run_daemon(configuration, drain=drain, console=Console(stderr=True))))


@commands.command()
@_file
@click.option("--online", is_flag=True, help="Also look at the sources: do they exist, may we, do the times fit?")
@_as_json
def check(path: Path, *, online: bool, as_json: bool) -> None:
    """Validate the configuration; every error with file, line, field and what is allowed.

    It imports the handlers and looks at the place of the state, so it is best run where, and as whom, the daemon
    runs.

    Exit code 0 (warnings allowed) or 2.
    """
    from poller.check import check_file, check_handlers, check_online, check_state, to_json
    from poller.service import import_handler
    from poller.settings import environment
    from poller.sources import opened_sources
    from poller.store.sqlite_file import look as look_at

    report = check_file(path, environment())
    if report.configuration is not None:
        # as under `poller run`, handlers are looked for in the working directory too
        report = report.with_findings(
            [
                *check_state(report.configuration, look_at),
                *check_handlers(report.configuration, import_handler),
            ]
        )
    if online and report.configuration is not None:
        configuration = report.configuration

        async def look() -> "list[Finding]":
            async with opened_sources(configuration.settings) as sources:
                return await check_online(configuration, sources)

        report = report.with_findings(_run(look()))
    if as_json:
        click.echo(json.dumps(to_json(report), indent=2))
    else:
        for finding in report.findings:
            click.echo(finding.text, err=finding.level != "info")
        if not report.exit_code and report.configuration is not None:
            looked = "file, handlers and sources" if online else "file and handlers"
            count = len(report.configuration.mappings)
            click.echo(f"{path}: {count} mapping{'s' * (count != 1)}; {looked} are fine")
    if report.exit_code:
        raise SystemExit(report.exit_code)


@commands.command()
@click.option(
    "--seconds", type=click.FloatRange(0, 3600), default=6.0, show_default=True, help="Feed for so long."
)
@click.option("--records", type=click.IntRange(1, 1_000_000), default=3600, show_default=True, help="How many.")
@click.option(
    "--aws",
    metavar="URL",
    help="Use the AWS at this URL: AWS itself or a stand-in. What it does not have is left out. moto now and then "
    "breaks the order of FIFO queues.",
)
@_as_json
def demo(*, seconds: float, records: int, aws: str | None, as_json: bool) -> None:
    """Feed two queues, a Kinesis stream and a table, fail some on purpose, account for every record."""
    from poller.demo import run_demo

    _credentials_for_play(aws)
    code = _run(run_demo(records, seconds, aws, as_json=as_json, console=Console()))
    if code:
        raise SystemExit(code)


@commands.command()
@click.option("--port", type=click.IntRange(0, 65535), default=4566, show_default=True, help="0 takes a free one.")
def dev(port: int) -> None:
    """Run the embedded AWS alone, for trying things and for your own tests.

    SQS, SNS, S3, Kinesis, DynamoDB and its streams, all in memory and on one port. The first line that it prints
    is its URL; give that to any SDK as endpoint, with any credentials. Ctrl-C ends it.
    """
    from poller.testing.process import main as serve

    raise SystemExit(serve(["--port", str(port)], lambda url: click.echo(HINTS.format(url=url))))


_url = click.option(
    "--url", default=DEFAULT_STATUS_URL, show_default=True, help="The daemon's ControlApi address."
)


@commands.command()
@_url
@_as_json
def status(url: str, *, as_json: bool) -> None:
    """Show the mappings of a running daemon.

    A daemon that asks for a token gets the one in the environment variable POLLER_TOKEN.
    """
    from poller import statusfetch, statusview

    told = statusfetch.fetch(url, _token())
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        statusview.show(told, Console())


@commands.command()
@_url
@_as_json
def top(url: str, *, as_json: bool) -> None:
    """Watch the mappings of a running daemon, live.

    Arrow keys choose a mapping, of which the source, the last error and the shards are shown; s sorts, q ends it.
    Without a terminal, on one that only prints (TERM=dumb) or with --json, it prints what `poller status` prints,
    once. A daemon that asks for a token gets the one in the environment variable POLLER_TOKEN.
    """
    from poller import statusfetch, statusview

    console = Console()
    if as_json:
        click.echo(json.dumps(statusfetch.fetch(url, _token()), indent=2))
    elif not console.is_terminal or console.is_dumb_terminal:
        statusview.show(statusfetch.fetch(url, _token()), console)
    else:
        from poller.top import run_top

        run_top(url, _token(), console)


def _token() -> str | None:
    from poller.settings import environment
    from poller.statusfetch import TOKEN_VARIABLE

    return environment().get(TOKEN_VARIABLE)


@commands.command()
@_file
def iam(path: Path) -> None:
    """Print the least-privilege IAM policy of this configuration.

    It allows what a run asks AWS for, on the sources, functions and destinations of the file, and of the mappings
    that were made through the control API. Not in it, because nobody tells: the keys of what is encrypted
    (kms:Decrypt for a source, kms:GenerateDataKey too for a destination).
    """
    from poller.config import load
    from poller.iam import make_policy
    from poller.kept import with_kept
    from poller.settings import environment

    click.echo(json.dumps(make_policy(with_kept(load(path, environment())).mappings), indent=2))


@commands.command()
def schema() -> None:
    """Print the JSON Schema of poller.yaml, for editors.

    With it an editor completes fields and marks wrong ones. The YAML language server is told by the first line of
    the file, after `poller schema > poller.schema.json`:

      # yaml-language-server: $schema=poller.schema.json
    """
    from poller.schema import make_schema

    click.echo(json.dumps(make_schema(), indent=2))


@commands.group()
def checkpoint() -> None:
    """Positions of streams, shard by shard, in the state file."""


_of_mapping = click.option("--mapping", "name", metavar="NAME", help="Of this mapping only.")


@checkpoint.command("show")
@_file
@_of_mapping
@_as_json
def checkpoint_show(path: Path, name: str | None, *, as_json: bool) -> None:
    """Show how far each shard is; also while the daemon runs."""
    from poller import checkpoint
    from poller.config import load
    from poller.kept import with_kept
    from poller.settings import environment

    told = checkpoint.look(with_kept(load(path, environment())), name)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        checkpoint.show(told, Console())


@checkpoint.command("set")
@_file
@click.option("--mapping", "name", metavar="NAME", required=True, help="The mapping.")
@click.option("--shard", metavar="ID", required=True, help="Its shard, as `show` names it.")
@click.option("--sequence", metavar="N", help="Go on after this sequence number: it and all before are done.")
@click.option("--trim-horizon", is_flag=True, help="Go on at the oldest record that is still there.")
@click.option("--latest", is_flag=True, help="Go on with what is written from now on.")
@click.option("--end", is_flag=True, help="All of the shard is done.")
def checkpoint_set(
    path: Path, name: str, shard: str, sequence: str | None, *, trim_horizon: bool, latest: bool, end: bool
) -> None:
    """Say where to go on, further back to replay, further on to skip. The daemon must not run meanwhile.

    What is known of a failing batch and of an open window of the shard is forgotten.
    """
    from poller import checkpoint
    from poller.clock import SystemClock
    from poller.config import load
    from poller.kept import with_kept
    from poller.settings import environment

    if (sequence is not None) + trim_horizon + latest + end != 1:
        raise click.UsageError("Say where to go on: one of --sequence N, --trim-horizon, --latest and --end.")
    now = SystemClock().now().wall
    to = checkpoint.place(now, sequence, latest=latest, end=end)
    click.echo(_run(checkpoint.move(with_kept(load(path, environment())), name, shard, to, now)))


@checkpoint.command("export")
@_file
@_of_mapping
def checkpoint_export(path: Path, name: str | None) -> None:
    """Print the rows as items of a KCL table, in DynamoDB's JSON, one a line; also while the daemon runs."""
    from poller import checkpoint
    from poller.config import load
    from poller.kept import with_kept
    from poller.settings import environment

    for item in checkpoint.items(with_kept(load(path, environment())), name):
        click.echo(json.dumps(item))


@commands.group("import")
def import_() -> None:
    """Make a poller.yaml of what there is on AWS.

    It goes to standard output. Each field that could not be taken, and each value that the file does not tell, is
    told on standard error with its line; what is not told becomes an environment variable. Exit code 0, 1 when
    something is missing, 2 for a file that cannot be read.
    """


_from_file = click.argument("file", type=click.Path(path_type=Path))
_parameters = click.option(
    "--parameter", "parameters", metavar="NAME=VALUE", multiple=True,
    help="The value of a template's parameter, or of AWS::Region, AWS::AccountId and the like.",
)  # fmt: skip
_local = click.option(
    "--local", is_flag=True, help="Call the code of Python functions in this process, not the functions on Lambda."
)
_output = click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the file here.")
_force = click.option("--force", is_flag=True, help="Replace the file if it is there.")


@import_.command("sam")
@_from_file
@_parameters
@_local
@_output
@_force
def import_sam(file: Path, parameters: tuple[str, ...], output: Path | None, *, local: bool, force: bool) -> None:
    """From a template of SAM: the events of its functions, and its event source mappings."""
    from poller.importer.file import import_template

    _imported(import_template(file, _named_values(parameters), sam=True, local=local), output, force=force)


@import_.command("cloudformation")
@_from_file
@_parameters
@_local
@_output
@_force
def import_cloudformation(
    file: Path, parameters: tuple[str, ...], output: Path | None, *, local: bool, force: bool
) -> None:
    """From a template of CloudFormation: its event source mappings."""
    from poller.importer.file import import_template

    _imported(import_template(file, _named_values(parameters), sam=False, local=local), output, force=force)


@import_.command("aws")
@_from_file
@_output
@_force
def import_aws(file: Path, output: Path | None, *, force: bool) -> None:
    """From the output of `aws lambda list-event-source-mappings`, or get-event-source-mapping."""
    from poller.importer.file import import_listing

    _imported(import_listing(file), output, force=force)


for _operating in (dlq, invoke, replay, tail):
    commands.add_command(_operating)


def _named_values(parameters: tuple[str, ...]) -> dict[str, str]:
    for parameter in parameters:
        if "=" not in parameter:
            raise click.UsageError(f"--parameter {parameter[:60]!r}: write NAME=VALUE.")
    return dict(parameter.split("=", 1) for parameter in parameters)


def _imported(imported: "Imported", output: Path | None, *, force: bool) -> None:
    from poller.importer.file import save

    for line in imported.lines:
        click.echo(line, err=True)
    if imported.text and output is not None:
        save(imported.text, output, force=force)
    elif imported.text:
        click.echo(imported.text.encode(), nl=False)  # a file is read as UTF-8, whatever the terminal has
    if not imported.complete:
        raise SystemExit(1)


def _credentials_for_play(aws: str | None) -> None:
    """Stand-ins for AWS take any credentials; without any set, the demo brings its own for them."""
    if aws is None or "amazonaws.com" not in aws:
        os.environ.setdefault("AWS_ACCESS_KEY_ID", "demo")
        os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "demo")


def _have_standard_streams() -> None:
    """Started without one of the three (`2>&-`), the next socket would get its number, and our texts with it. And
    what the terminal's encoding does not have is shown by its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            while (spare := os.open(os.devnull, os.O_RDWR)) < number:
                pass
            setattr(sys, name, os.fdopen(spare, "r" if number == 0 else "w"))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as that of errors: most is not written by us


def main() -> None:
    """What __main__.py calls: the one place where an error becomes a text and an exit code."""
    _have_standard_streams()
    try:
        commands(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo(interrupt.TEXT, err=True)
        sys.exit(interrupt.EXIT_CODE)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        click.echo(f"poller: the output cannot be written: {error.strerror}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter will try again at its end
        sys.exit(1)
    except PollerError as error:
        for line in str(error).splitlines():
            click.echo(f"poller: {line}", err=True)
        sys.exit(error.exit_code)
