"""EventSourceMapping: one mapping's configuration, frozen and valid, and every rule that makes it so (CFG).

Whether a configuration is legal is decided here and nowhere else; the file loader, the library and the control
API all come through `parse_mapping`.
"""

from dataclasses import dataclass, field

from poller.core.model import SourceKind


@dataclass(frozen=True, slots=True)
class SourceArn:
    """The ARN of a queue, taken apart; `text` is as the user wrote it."""

    text: str
    partition: str
    region: str
    account: str
    name: str

    @property
    def fifo(self) -> bool:
        """Whether it names a FIFO queue: SQS itself tells by the suffix."""
        return self.name.endswith(".fifo")


@dataclass(frozen=True, slots=True)
class HandlerSettings:
    """`Handler`: seconds a call may last, calls at once in this process, where a Lambda target is."""

    timeout: float = 30.0
    concurrency: int = 10
    endpoint_url: str | None = None


@dataclass(frozen=True, slots=True)
class RetryDelay:
    """`Poller.RetryDelay`: seconds before a failed message returns: initial * 2^(receives - 1), capped."""

    initial: float
    maximum: float


@dataclass(frozen=True, slots=True)
class PollerSettings:
    """`Poller`: what AWS's own mapping does not do, off unless asked for (SQS-9)."""

    heartbeat: bool = False
    retry_delay: RetryDelay | None = None


@dataclass(frozen=True, slots=True)
class ProvisionedPollers:
    """`ProvisionedPollerConfig` (CFG-18, CFG-19)."""

    minimum: int = 2
    maximum: int = 200


@dataclass(frozen=True, slots=True)
class EventSourceMapping:
    """A valid mapping. `window` is MaximumBatchingWindowInSeconds; None means no limit was configured."""

    uuid: str
    name: str
    source: SourceKind
    arn: SourceArn
    function_name: str
    function_arn: str
    enabled: bool = True
    batch_size: int = 10
    window: float = 0.0
    report_batch_item_failures: bool = False
    maximum_concurrency: int | None = None
    provisioned: ProvisionedPollers | None = None
    handler: HandlerSettings = field(default_factory=HandlerSettings)
    poller: PollerSettings = field(default_factory=PollerSettings)
