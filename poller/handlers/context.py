"""The `context` that a function gets beside its event: what Lambda's has, as far as it means something here."""

from poller.clock import Clock
from poller.ports import Invocation


class Context:
    """One call's context (AWS: "Using the Lambda context object to retrieve Python function information").

    One is made for each call, so what never differs stands in the class. Code that runs on Lambda may also hang
    things of its own on it: hence `__dict__`, which costs nothing until then.
    """

    __slots__ = ("__dict__", "_clock", "_deadline", "aws_request_id", "function_name", "invoked_function_arn")

    function_version: str = "$LATEST"
    memory_limit_in_mb: str = "128"
    """Text, as on Lambda; nothing here limits memory."""
    log_group_name: str | None = None
    log_stream_name: str | None = None
    identity: object | None = None
    client_context: object | None = None

    def __init__(self, invocation: Invocation, function_name: str, function_arn: str, clock: Clock) -> None:
        self.aws_request_id = invocation.request_id
        self.function_name = function_name
        self.invoked_function_arn = function_arn
        self._deadline = invocation.deadline
        self._clock = clock

    def get_remaining_time_in_millis(self) -> int:
        """Whole milliseconds until the call times out; 0 afterwards. May be called from any thread."""
        return max(0, int((self._deadline - self._clock.now().mono) * 1000))

    def __repr__(self) -> str:
        return f"Context(aws_request_id={self.aws_request_id!r}, function_name={self.function_name!r})"
