"""The library: `poller.run` for one mapping, `poller.Poller` for several inside an application.

It installs no signal handlers, configures no logging, reads no files, never ends the process: daemon.py does that.
"""

import asyncio
import math
import re
from collections.abc import Callable, Collection
from keyword import iskeyword
from types import TracebackType
from typing import Any, Self, TypeVar

from prometheus_client import CollectorRegistry

from poller.core.mapping import EventSourceMapping, Invalid, parse_mapping
from poller.errors import ConfigurationError
from poller.runtime.coordinator import Coordinator
from poller.service import Service
from poller.settings import parse_state

Handler = Callable[[Any, Any], Any]
H = TypeVar("H", bound=Handler)


class Mapping:
    """One running mapping, as `Poller.add` returns it."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    @property
    def uuid(self) -> str:
        """The mapping's id, for pause, resume and remove."""
        return self._coordinator.mapping.uuid

    @property
    def name(self) -> str:
        """Its name in logs and metrics."""
        return self._coordinator.mapping.name

    @property
    def state(self) -> str:
        """One of AWS's seven states, such as "Enabled"."""
        return self._coordinator.stats.state.value

    @property
    def in_flight(self) -> int:
        """Messages or records that its handler has at this moment."""
        return self._coordinator.in_flight

    async def started(self) -> None:
        """Waits for the first look at the source; raises errors.SourceError when it could not be used (yet)."""
        error = await asyncio.shield(self._coordinator.first_attempt)
        if error is not None:
            raise error

    async def finished(self) -> None:
        """Waits until the mapping has ended; raises what ended it, if its handler could not be used."""
        await asyncio.wait([self._coordinator.task])
        if self._coordinator.failure is not None:
            raise self._coordinator.failure


class Poller:
    """Mappings inside an asyncio application:

        async with poller.Poller(state="memory:") as p:
            orders = p.add("arn:aws:sqs:eu-west-1:123456789012:orders", handler, BatchSize=10)

    Keyword arguments of `add` and `mapping` are the fields of CreateEventSourceMapping and our own (`Name`,
    `Handler`, `Poller`), as in the configuration file. Leaving the block stops all mappings: nothing new is
    received, running handlers finish within `shutdown_timeout` seconds, the rest is given back to its queue.
    """

    def __init__(
        self,
        *,
        state: str = "memory:",
        registry: CollectorRegistry | None = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        shutdown_timeout: float = 25.0,
    ) -> None:
        """`state`: where the positions of streams are kept, `memory:` or `sqlite:<path>`, a file that is made when
        the first stream is added. `registry`: where the metrics go (a private one by default). Raises
        ConfigurationError.
        """
        if not 0 <= shutdown_timeout < math.inf:  # said this way round, NaN is outside too
            text = f"shutdown_timeout {shutdown_timeout} is no number of seconds: a stop needs an end."
            raise ConfigurationError(text)
        self._service = Service(
            region=region,
            endpoint_url=endpoint_url,
            state=parse_state(state),
            shutdown_timeout=shutdown_timeout,
            registry=registry,
        )

    async def __aenter__(self) -> Self:
        await self._service.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._service.__aexit__(kind, error, trace)

    @property
    def registry(self) -> CollectorRegistry:
        """The Prometheus registry with the metrics of these mappings."""
        return self._service.metrics.registry

    def add(self, event_source_arn: str, handler: Handler | str, **fields: Any) -> Mapping:
        """Starts a mapping now; `handler(event, context)` may be sync or async, or a FunctionName.

        Raises ConfigurationError, one line for each wrong field.
        """
        return Mapping(self._service.add(*_parse(event_source_arn, handler, fields, self._service.coordinators)))

    def mapping(self, event_source_arn: str, **fields: Any) -> Callable[[H], H]:
        """The same as a decorator; the function itself stays what it was."""

        def decorate(handler: H) -> H:
            self.add(event_source_arn, handler, **fields)
            return handler

        return decorate

    def mappings(self) -> list[Mapping]:
        """Those that were added and not removed."""
        return [Mapping(coordinator) for coordinator in self._service.coordinators.values()]

    async def pause(self, uuid: str) -> None:
        """Receives no more; returns when its running handlers have finished (API-8), or when it was resumed."""
        await self._service.find(uuid).pause()

    async def resume(self, uuid: str) -> None:
        """Receives again. Raises ConfigurationError when it has ended, as drained mappings have."""
        self._service.find(uuid).resume()

    async def remove(self, uuid: str) -> None:
        """Stops the mapping as leaving the block would, and forgets it, with the positions of a stream: added
        again it starts over. Raises StoreError when those cannot be forgotten now; then it may be called again.
        """
        await self._service.remove(uuid)

    async def drain(self) -> None:
        """Works until every queue of an enabled mapping is empty (nothing visible, in flight or delayed) and
        every shard was read to its newest record; the mappings are finished then.
        """
        await self._service.drain()


async def run(event_source_arn: str, handler: Handler | str, **fields: Any) -> None:
    """Runs one mapping until cancelled; what is in flight is finished or given back before it returns.

    Raises ConfigurationError for wrong fields, and SourceError when the source answers at the start that it cannot
    be used (no such queue, no permission, no credentials); an AWS that is away is waited for.
    """
    mapping, target = _parse(event_source_arn, handler, fields)
    async with Service() as service:
        service.add(mapping, target)
        problem = await service.first_problem()
        if problem is not None:
            raise problem
        await service.wait()


def _parse(
    event_source_arn: str, handler: Handler | str, fields: dict[str, Any], taken: Collection[str] = ()
) -> tuple[EventSourceMapping, Handler | None]:
    name = handler if isinstance(handler, str) else _reference(handler)
    parsed = parse_mapping({**fields, "EventSourceArn": event_source_arn, "FunctionName": name}, taken)
    if isinstance(parsed, Invalid):
        raise ConfigurationError("\n".join(problem.sentence for problem in parsed.problems))
    return parsed, None if isinstance(handler, str) else handler


def _reference(handler: Handler) -> str:
    """The callable as a FunctionName, for logs and metrics; what is called is the object itself."""
    if not callable(handler):
        raise ConfigurationError(f"The handler {handler!r} is not callable: pass a function (event, context).")
    module, name = getattr(handler, "__module__", None), getattr(handler, "__qualname__", None)
    module = module if isinstance(module, str) and module else "application"
    name = name if isinstance(name, str) and name else type(handler).__qualname__
    return f"python:{_importable(module)}:{_importable(re.sub(r'[^0-9A-Za-z_.]', '_', name))}"


def _importable(name: str) -> str:
    """As near to the name as one comes that could be imported: lambdas, inner functions, and modules that were
    loaded from a file such as my-app.py have signs in their names that no other has.
    """
    words = ["".join(sign if f"_{sign}".isidentifier() else "_" for sign in word) for word in name.split(".")]
    return ".".join(word if word.isidentifier() and not iskeyword(word) else f"_{word}" for word in words)
