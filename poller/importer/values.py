"""Values on their way from a template into poller.yaml: plain ones, and texts with blanks that people fill in.

What a blank stands for is told by whoever made it; here is only how texts are put together from known and unknown
parts.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from poller.core.mapping_shapes import quote
from poller.telling import one_line

MOST_TEXT = 10_000
"""Characters of one text: resources that name each other can double it at every step."""

MOST_PARTS = 20
"""Parts of one text of which some are unknown."""

_DYNAMIC = re.compile(r"\{\{resolve:[^{}]*\}\}")


class Absent(Enum):
    """The value of a property that is taken out, as by AWS::NoValue."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Blank:
    """A value that nobody has told. `why` says so in a clause; `variable` is the environment variable that shall
    stand for it, as its maker would call it ("": whoever uses it finds a name); `sample` is a value that it might
    have, to judge the rest by; `default` stands behind the variable.
    """

    why: str
    variable: str = ""
    sample: str = ""
    default: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A text of which at least one part is a blank."""

    parts: tuple[str | Blank, ...]

    @property
    def blanks(self) -> tuple[Blank, ...]:
        """The unknown parts, in order."""
        return tuple(part for part in self.parts if isinstance(part, Blank))

    @property
    def whole(self) -> bool:
        """Whether nothing of it is known."""
        return len(self.parts) == 1

    @property
    def sample(self) -> str:
        """What it might look like, "" where nothing is known."""
        if self.whole:
            return self.blanks[0].sample
        return "".join(part if isinstance(part, str) else part.sample or "x" for part in self.parts)


Value: TypeAlias = "bool | int | float | str | Text | Absent | list[Value] | dict[str, Value] | None"


def blank(why: str, variable: str = "", sample: str = "", default: str = "") -> Text:
    """A text of which nothing is known; `why` may hold names out of a template, whatever those are."""
    return Text((Blank(one_line(why), variable, sample, default),))


def joined(parts: Iterable[str | Text]) -> str | Text:
    """The parts one behind the other; a blank where that would be too long."""
    flat: list[str | Blank] = []
    length = 0
    for part in parts:
        for piece in part.parts if isinstance(part, Text) else (part,):
            length += len(piece) if isinstance(piece, str) else 1
            if length > MOST_TEXT:
                return blank(f"it is longer than {MOST_TEXT} characters")
            if isinstance(piece, Blank) and flat and str(flat[-1]).endswith("$"):
                return blank("it has a dollar sign before something unknown, which a variable cannot follow")
            if flat and isinstance(piece, str) and isinstance(flat[-1], str):
                flat[-1] += piece
            elif piece != "":
                flat.append(piece)
    if any(isinstance(piece, Blank) for piece in flat):
        return Text(tuple(flat)) if len(flat) <= MOST_PARTS else blank("it has too many unknown parts")
    return "".join(piece for piece in flat if isinstance(piece, str))


def texts_in(value: Value) -> Iterable[Text]:
    """Every text with blanks inside a value."""
    match value:
        case Text():
            yield value
        case dict():
            for member in value.values():
                yield from texts_in(member)
        case list():
            for member in value:
                yield from texts_in(member)
        case _:
            return


def with_texts(value: Value, change: Callable[[Text], Value]) -> Value:
    """The value with each text that has blanks changed; the value itself stays as it is."""
    match value:
        case Text():
            return change(value)
        case dict():
            return {name: with_texts(member, change) for name, member in value.items()}
        case list():
            return [with_texts(member, change) for member in value]
        case _:
            return value


def as_text(value: Value) -> str | Text:
    """A value as it stands inside a text."""
    match value:
        case Text() | str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return quote(value)
        case None | Absent():
            return ""
        case _:
            return derived("a text", value)


def without_secrets(text: str | Text) -> str | Text:
    """Dynamic references, `{{resolve:...}}`, are looked up by CloudFormation, and mostly are secrets."""
    if isinstance(text, Text):
        if any(isinstance(part, str) and "{{resolve:" in part for part in text.parts):
            return blank("it holds a dynamic reference, {{resolve:...}}")
        return text
    if "{{resolve:" not in text:
        return text
    pieces: list[str | Text] = []
    end = 0
    for match in _DYNAMIC.finditer(text):
        pieces += [text[end : match.start()], blank(f"{quote(match[0])} is looked up when the stack is deployed")]
        end = match.end()
    return joined([*pieces, text[end:]])


def derived(function: str, value: Value) -> Text:
    """Made from something unknown, and for the same reason unknown."""
    for text in texts_in(value):
        return blank(f"{function}: {text.blanks[0].why}")
    return blank(f"{function} cannot be made of {quote(value)}")


def split(between: str, text: str | Text) -> Value:
    """The parts of a text. A blank for a whole ARN or list may hold the delimiter, a region or an account not."""
    if isinstance(text, str):
        return list(text.split(between))
    if any(not part.variable.startswith("AWS_") for part in text.blanks):
        return derived("Fn::Split", text)
    members: list[list[str | Text]] = [[]]
    for part in text.parts:
        if isinstance(part, str):
            first, *others = part.split(between)
            members[-1].append(first)
            members += [[other] for other in others]
        else:
            members[-1].append(Text((part,)))
    return [joined(member) for member in members]


def selected(index: Value, members: Value) -> Value:
    """The member of a list at an index from 0."""
    number = as_text(index)
    if not isinstance(members, list) or not isinstance(number, str):
        return derived("Fn::Select", [index, members])
    if not number.isdecimal() or len(number) > 9 or int(number) >= len(members):
        return blank(f"Fn::Select finds no member {quote(number)} in a list of {len(members)}")
    return members[int(number)]
