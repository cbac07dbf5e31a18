"""What is asked before a mapping is made or given another function: does the function exist, does the source, and
may we (CFG-38, CFG-40 to CFG-44).

Only a definite no refuses. An AWS that is out of reach or throttles now is waited for by the mapping, as it is by
one of the file.
"""

import asyncio
from typing import Final, assert_never

from poller.check_sources import Sources
from poller.core.api_answers import Refused, refused
from poller.core.mapping import EventSourceMapping, visibility_conflict
from poller.core.mapping_advice import future_start
from poller.core.model import SourceProblem
from poller.errors import ConfigurationError, HandlerError, SourceError
from poller.service import try_handler

DEADLINE: Final = 4.0  # seconds for each; who has not answered by then is waited for by the mapping
NO_FUNCTION: Final = "Function does not exist"
_CODE: Final = "InvalidParameterValueException"
_QUEUE_MISSING = (
    "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue."
    " SQS Error Message: The specified queue does not exist."
)
_QUEUE_DENIED = "The provided execution role does not have permissions to call ReceiveMessage on SQS"
_STREAM_DENIED = (
    "Cannot access stream {arn}. Please ensure the role can perform the GetRecords, GetShardIterator,"
    " DescribeStream, and ListStreams Actions on your stream in IAM."
)


async def problem(mapping: EventSourceMapping, sources: Sources, now: float) -> Refused | None:
    """Why the mapping cannot be, as far as its function and source tell now (`now` is epoch seconds)."""
    wrong = future_start(mapping, now)
    if wrong is not None:
        return refused(_CODE, wrong)
    return await _no_function(mapping, sources) or await _no_source(mapping, sources)


async def _no_function(mapping: EventSourceMapping, sources: Sources) -> Refused | None:
    """CFG-38. A reason of our own follows AWS's words: AWS's own has none to give."""
    try:
        async with asyncio.timeout(DEADLINE):
            await try_handler(mapping)
            remarks = await sources.function(mapping)
    except TimeoutError:
        return None
    except (ConfigurationError, HandlerError) as error:
        return refused(_CODE, f"{NO_FUNCTION}: {' '.join(str(error).split())}")
    if any(remark.level == "error" and remark.sentence.startswith(NO_FUNCTION) for remark in remarks):
        return refused(_CODE, NO_FUNCTION)
    return None


async def _no_source(mapping: EventSourceMapping, sources: Sources) -> Refused | None:
    try:
        async with asyncio.timeout(DEADLINE):
            if mapping.stream is not None:
                await sources.stream(mapping).describe()
                return None
            _, facts = await sources.queue(mapping)
    except TimeoutError:
        return None
    except SourceError as error:
        return _refusal(mapping, error)
    except ConfigurationError as error:
        return refused(_CODE, str(error))
    conflict = visibility_conflict(facts.visibility_timeout, mapping)
    return None if conflict is None else refused(_CODE, conflict)


def _refusal(mapping: EventSourceMapping, error: SourceError) -> Refused | None:
    queue, arn = mapping.stream is None, mapping.arn.text
    match error.problem:
        case SourceProblem.MISSING:
            return refused(_CODE, _QUEUE_MISSING if queue else f"Stream not found: {arn}")
        case SourceProblem.DENIED:
            return refused(_CODE, _QUEUE_DENIED if queue else _STREAM_DENIED.format(arn=arn))
        case SourceProblem.REFUSED | SourceProblem.EXPIRED | SourceProblem.TRIMMED:
            return refused(_CODE, str(error))
        case (
            SourceProblem.THROTTLED | SourceProblem.UNREACHABLE | SourceProblem.SERVER | SourceProblem.CREDENTIALS
        ):
            return None
        case _:
            assert_never(error.problem)
