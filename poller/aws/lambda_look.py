"""What Lambda says of a mapping's function before it runs: its part of `poller check --online`."""

import asyncio
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from poller.aws import errors, http1
from poller.aws.clients import AwsClients
from poller.check_sources import Remark
from poller.core.mapping import EventSourceMapping
from poller.core.mapping_targets import LambdaTarget, parse_target
from poller.core.model import SourceProblem
from poller.errors import SourceError

DEADLINE: Final = 20.0  # seconds, the SDK's own tries included
_OPERATION: Final = "GetFunctionConfiguration"


async def look(mapping: EventSourceMapping, clients: AwsClients) -> list[Remark]:
    """Whether the function exists (CFG-38), and whether a call of ours lasts as long as the function may.

    That the queue's visibility lasts as long as our call is another look's business (CFG-44). Nothing is said of
    other targets, nor of an emulator, which cannot be asked without being invoked.
    """
    target = parse_target(mapping.function_name)
    if not isinstance(target, LambdaTarget) or mapping.handler.endpoint_url is not None:
        return []
    try:
        told = await _configuration(mapping, clients)
    except SourceError as error:
        match error.problem:
            case SourceProblem.MISSING:
                return [Remark("error", f"Function does not exist. {error}")]
            case SourceProblem.DENIED:
                why = "which only this look needs: to run, it takes lambda:InvokeFunction"
                return [Remark("info", f"The function {target.reference} was not looked at, {why}. {error}")]
            case _:
                return [Remark("error", str(error))]
    return list(_remarks(told, mapping, target))


def _remarks(told: dict[str, Any], mapping: EventSourceMapping, target: LambdaTarget) -> list[Remark]:
    remarks = []
    timeout, ours = told.get("Timeout"), mapping.handler.timeout
    if isinstance(timeout, int) and timeout > ours:
        text = (
            f"The function {target.reference} may run for {timeout} s, but a call counts as failed after {ours:g}"
            f" s while it goes on: set Handler.TimeoutInSeconds to {timeout} or more."
        )
        remarks.append(Remark("warning", text))
    if told.get("State") == "Failed":
        reason = errors.clean(str(told.get("StateReason") or "no reason given"))
        remarks.append(Remark("warning", f"The function {target.reference} cannot be invoked as it is: {reason}."))
    return remarks


async def _configuration(mapping: EventSourceMapping, clients: AwsClients) -> dict[str, Any]:
    """Raises SourceError."""
    client = await clients.client("lambda", mapping.function_arn.split(":")[3])
    try:
        async with asyncio.timeout(DEADLINE):
            told: dict[str, Any] = await client.get_function_configuration(FunctionName=mapping.function_name)
    except TimeoutError as error:
        raise errors.unreached("lambda", _OPERATION, "the AWS endpoint", http1.TimedOut()) from error
    except (BotoCoreError, ClientError, ResponseParserError, OSError, ValueError) as error:
        raise errors.from_sdk("lambda", _OPERATION, error) from error
    except (LookupError, TypeError, AttributeError) as error:  # the SDK's parsers met JSON of another kind
        raise errors.unreadable("lambda", _OPERATION, "the AWS endpoint", "another kind of answer") from error
    return told
