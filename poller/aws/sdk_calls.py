"""One call of an SDK client, for what the wire client does not speak: within `deadline` seconds, counted as
calls on the wire are, and its errors made ours.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from poller.aws import errors, http1
from poller.aws.clients import AwsClients
from poller.errors import SourceError

CALL_DEADLINE = 10.0  # seconds
_ENDPOINT = "the AWS endpoint"


async def ask(
    clients: AwsClients,
    service: str,
    operation: str,
    call: Awaitable[Any],
    *,
    receipt: str,
    deadline: float = CALL_DEADLINE,
) -> Any:
    """The answer to one call of an SDK client, within `deadline` seconds, counted as those of the wire clients
    are; `receipt` is the field that a success has. Raises SourceError.
    """
    loop = asyncio.get_running_loop()
    started, outcome = loop.time(), ""
    try:
        async with asyncio.timeout(deadline):
            answer = await call
        check_receipt(service, operation, _ENDPOINT, answer.get(receipt))
        outcome = "success"
    except SourceError as error:
        outcome = error.problem
        raise
    except TimeoutError as error:
        late = errors.unreached(service, operation, _ENDPOINT, http1.TimedOut())
        outcome = late.problem
        raise late from error
    except (BotoCoreError, ClientError, ResponseParserError, OSError, ValueError) as error:
        refused = errors.from_sdk(service, operation, error)
        clients.refused(refused)
        outcome = refused.problem
        raise refused from error
    except (LookupError, TypeError, AttributeError) as error:  # the SDK's parsers met XML of another kind
        strange = errors.unreadable(service, operation, _ENDPOINT, "another kind of answer")
        outcome = strange.problem
        raise strange from error
    else:
        return answer
    finally:
        if outcome and clients.observe is not None:
            clients.observe(service, operation, outcome, loop.time() - started)


def check_receipt(service: str, operation: str, host: str, receipt: Any) -> None:
    """A document is handed over when the service says what became of it: a proxy's page has status 200 too."""
    if not receipt:
        raise errors.unreadable(service, operation, host, "nothing that says that it was taken")
