"""Which line of a stack is the user's own: what an error in a handler, or a blocked event loop, is pinned to."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import TypeAlias

Place: TypeAlias = tuple[str, int]

_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - compared with code objects' file names
_OURS = str(Path(__file__).parent) + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def user_place(stack: Iterable[Place]) -> str:
    """`file:line` of the innermost frame that is neither Python's, nor an installed package's, nor ours.

    `stack` has (file, line), innermost first. A handler that is itself installed has no such frame: then the
    innermost one outside the standard library is meant, then simply the innermost. "" when there are no frames.
    """
    outside: Place | None = None
    innermost: Place | None = None
    for place in stack:
        innermost = innermost or place
        file = place[0]
        installed = any(part in file for part in _INSTALLED)
        if not installed and (file.startswith(("<frozen", _STANDARD_LIBRARY))):
            continue
        if not installed and not file.startswith(_OURS):
            return _shown(place)
        outside = outside or place
    chosen = outside or innermost
    return "" if chosen is None else _shown(chosen)


def of_traceback(trace: TracebackType | None) -> list[Place]:
    """The frames through which an exception went, innermost first."""
    places: list[Place] = []
    while trace is not None:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return places[::-1]


def of_frame(frame: FrameType | None) -> Iterator[Place]:
    """The frame and its callers, innermost first."""
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno or 0
        frame = frame.f_back


def _shown(place: Place) -> str:
    """Relative to the working directory where it lies below it, as a user would write it."""
    file, line = place
    with suppress(ValueError, OSError):  # elsewhere, or the working directory is gone
        file = str(Path(file).relative_to(Path.cwd()))
    return f"{file}:{line}"
