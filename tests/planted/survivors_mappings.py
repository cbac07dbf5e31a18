"""Judged mutants of what the core makes of a configuration; what a judgement is, survivors.py says."""

from typing import Final

_REFUSED = "a number below it was refused before"

JUDGED: Final[dict[tuple[str, str, str], str]] = {
    (
        "mapping",
        "retries=None if retries == -1 else retries,",
        "retries=None if retries <= -1 else retries,",
    ): _REFUSED,
    (
        "mapping",
        "maximum_age=None if age == -1 else float(age),",
        "maximum_age=None if age <= -1 else float(age),",
    ): _REFUSED,
}

LINES: Final[dict[tuple[str, str], str]] = {}
