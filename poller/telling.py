"""How telemetry speaks: one mapping's log lines, and which of them are left out because they repeat.

A failure that repeats is told at once and then every 30 s with a count: an outage of an hour is no flood.
"""

import logging
import warnings
from typing import Any

from poller.core.model import Instant

TELL_EVERY = 30.0
"""Seconds between two log lines about the same failure."""

MOST_KINDS = 20
"""Kinds of failure told apart for each mapping; what comes after is told together."""

MOST_DETAIL = 300
"""Characters of a text that came from outside."""


class Repeats:
    """Which repeated failure is due to be told again."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def due(self, action: str, kind: str, mono: float) -> int | None:
        """How many of this kind went untold since the last line; None when this one shall go untold too."""
        key = (action, kind)
        if key not in self._told and len(self._told) >= MOST_KINDS:
            key = (action, "")
        told_at, untold = self._told.get(key, (mono - TELL_EVERY, 0))
        if mono - told_at < TELL_EVERY:
            self._told[key] = (told_at, untold + 1)
            return None
        self._told[key] = (mono, 0)
        return untold


class Teller:
    """Writes the lines of one mapping; each carries `action` and `mapping` in `extra`."""

    def __init__(self, mapping: str, logger: logging.Logger) -> None:
        self._mapping = mapping
        self._logger = logger
        self._repeats = Repeats()

    @property
    def debug(self) -> bool:
        """Whether anybody listens to the level of single batches."""
        return self._logger.isEnabledFor(logging.DEBUG)

    def tell(
        self, level: int, action: str, text: str, exc_info: BaseException | None = None, **fields: Any
    ) -> None:
        """One line. `action` is a word that programs may rely on, `text` one sentence for people.

        Filters and handlers of the log are the program's own, and may fail: that costs the line, and neither the
        batch of which it tells nor the mapping.
        """
        extra = {"action": action, "mapping": self._mapping, **fields}
        try:
            self._logger.log(level, "%s: %s", self._mapping, text, exc_info=exc_info, extra=extra)
        except Exception as error:  # noqa: BLE001 - whatever it is, the log cannot tell it
            lost = f"{self._mapping}: a line of the log ({action}) was lost to {type(error).__name__}"
            warnings.warn(lost, RuntimeWarning, stacklevel=1)

    def failure(self, action: str, kind: str, text: str, now: Instant, **fields: Any) -> None:
        """One warning, unless one of the same action and kind was written within the last 30 s."""
        untold = self._repeats.due(action, kind, now.mono)
        if untold is None:
            return
        if untold:
            text = f"{text} ({untold} more like this since the last line)"
        self.tell(logging.WARNING, action, text, untold=untold, **fields)


def one_line(text: str) -> str:
    """The text without line breaks and other control characters, and not longer than a log line bears."""
    clean = " ".join("".join(char if char.isprintable() else " " for char in text[: 2 * MOST_DETAIL]).split())
    return clean if len(clean) <= MOST_DETAIL else f"{clean[: MOST_DETAIL - 1]}…"
