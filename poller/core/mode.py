"""What a machine is at: the same five things for a queue's and for a shard's."""

from enum import Enum, auto
from typing import Final


class Mode(Enum):
    """What the owner asked for last."""

    RUNNING = auto()
    DRAINING = auto()
    PAUSED = auto()
    STOPPING = auto()
    FINISHED = auto()


# asked for with every event, and a member of an Enum is looked up anew each time
RUNNING: Final = Mode.RUNNING
DRAINING: Final = Mode.DRAINING
PAUSED: Final = Mode.PAUSED
STOPPING: Final = Mode.STOPPING
FINISHED: Final = Mode.FINISHED
ACTIVE: Final = (RUNNING, DRAINING)
"""Those in which a machine asks its source for more."""
