"""Two kinds of class for what is made or counted for every batch, cheap at run time.

`fact`: a dataclass that is frozen to the type checker only.

A frozen dataclass writes each field through `object.__setattr__`, which costs three times a plain one, and a
batch of ten messages is some twenty such objects. mypy holds everybody to not changing them.

`Word`: an enumeration of words that are counted by.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def fact(cls: type[T]) -> type[T]:
    """Use as `@fact` on a class of annotated fields; equal by value, with slots."""
    return dataclass(slots=True)(cls)


class Word(StrEnum):
    """A StrEnum that hashes as the text it equals: in C, not by Enum's own function in Python."""

    __hash__ = str.__hash__
