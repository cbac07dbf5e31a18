"""`poller run` whose metrics a handler switches off and on again: `python untold.py run`.

Switched off, no event, command or call of AWS is counted or told to anybody. With ESM_BENCH_LEAST set, what is on
is the additions of least.py instead of the product's telemetry.
"""

import functools
import os

from poller.aws.clients import AwsClients
from poller.cli import main
from poller.runtime import coordinator
from poller.telemetry import Telemetry
from tests.bench import least

_switches = []


class Switched(Telemetry):
    """Hears of events and commands while it is switched on; the driver keeps its `words`, so these change."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        heard = least.words(self) if os.environ.get("ESM_BENCH_LEAST") else dict(self.words)
        _switches.append(lambda on: self.words.update(heard) if on else self.words.clear())


def switched(make):
    """AwsClients whose calls are observed while that is switched on."""

    @functools.wraps(make)
    def without(self, **named):
        make(self, **named)
        observe = self.observe
        wires = self._wires

        def switch(on):
            for wire in wires.values():
                wire._observe = observe if on else None

        _switches.append(switch)

    return without


def switch(on):
    """All of it."""
    for each in _switches:
        each(on)


if __name__ == "__main__":
    coordinator.Telemetry = Switched
    AwsClients.__init__ = switched(AwsClients.__init__)
    main()
