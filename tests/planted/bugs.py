"""All planted bugs. One that cannot be planted any more, or survives, is a hole in the proof."""

from typing import Final

from tests.planted.bug import Bug
from tests.planted.bugs_control import CONTROL
from tests.planted.bugs_ends import ENDS
from tests.planted.bugs_queues import QUEUES
from tests.planted.bugs_runtime import RUNTIME
from tests.planted.bugs_settling import SETTLING
from tests.planted.bugs_streams import STREAMS

BUGS: Final[tuple[Bug, ...]] = (*SETTLING, *QUEUES, *STREAMS, *RUNTIME, *ENDS, *CONTROL)
