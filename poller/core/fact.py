"""`fact`: the dataclass of what is made for every batch: frozen to the type checker, cheap to make.

A frozen dataclass writes each field through `object.__setattr__`, which costs three times a plain one, and a
batch of ten messages is some twenty such objects. mypy holds everybody to not changing them.
"""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def fact(cls: type[T]) -> type[T]:
    """Use as `@fact` on a class of annotated fields; equal by value, with slots."""
    return dataclass(slots=True)(cls)
