"""What operators' commands show to people."""

import io
import re

import pytest
from rich.console import Console

from poller.operate.shown import progress


def bar(total: int | None, *done: int, terminal: bool = True) -> str:
    """What is written while so many are done, without what steers a terminal."""
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal)
    with progress(console, total) as told:
        for number in done:
            told(number)
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


@pytest.mark.parametrize(
    ("total", "done", "shown"),
    [
        (3, (1, 2), "2/3"),
        (3, (3,), "3/3"),
        (2, (1, 2, 3, 4), "4/4"),  # more has come since it was counted, or a message came twice
        (None, (5,), "5/5"),  # a bucket is not counted
    ],
)
def test_the_bar_tells_how_many_are_done_of_those_that_are_known(
    total: int | None, done: tuple[int, ...], shown: str
) -> None:
    """Never more than all."""
    line = bar(total, *done).rstrip().splitlines()[-1]
    assert shown in line
    assert len(line) <= 80


@pytest.mark.parametrize("total", [0, None])
def test_a_bar_of_nothing_says_so_and_divides_by_nothing(total: int | None) -> None:
    """An empty place."""
    assert re.search(r" 0/[0?]", bar(total))
    assert re.search(r" 0/[0?]", bar(total, 0))


def test_where_nobody_watches_there_is_no_bar() -> None:
    """In a log it would be a line for each document."""
    assert bar(3, 1, 2, 3, terminal=False) == ""
