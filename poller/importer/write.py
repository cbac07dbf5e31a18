"""Mappings -> the text of poller.yaml, with what has to be known about them as comments."""

import math

import yaml

from poller.importer.fields import FLAGS, NUMBERS
from poller.importer.mapping import Draft
from poller.importer.values import Blank, Text, Value
from poller.telling import one_line

_ORDER = ("EventSourceArn", "FunctionName")
_BEFORE = """\
# The mappings on AWS go on by themselves: disable them there before this file runs, or both will do the work.
"""
_TIMEOUTS = """\
# How long a function may run is not told for mappings without Handler.TimeoutInSeconds: it is 30 unless written.
"""
_STREAMS = """\
# AWS does not tell how far a mapping has come. A stream is read from StartingPosition on, or from where
# `poller checkpoint set` puts it; what it has done since is kept under its Name: leave that as it is.
"""


class _Quoted(str):
    """A text with a variable in it, which stays text whatever the variable holds; or with what needs escapes."""

    __slots__ = ()


class _Plain(str):
    """A variable that holds a number, or true or false."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """SafeDumper for the two above; it writes no aliases, which would only be hard to read."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_TEXT = "tag:yaml.org,2002:str"
_Dumper.add_representer(_Quoted, lambda dumper, text: dumper.represent_scalar(_TEXT, str(text), style='"'))
_Dumper.add_representer(_Plain, lambda dumper, text: dumper.represent_scalar(_TEXT, str(text)))


def written(origin: str, drafts: list[Draft], variables: dict[str, str]) -> str:
    """The file. `origin` says what it was made from; `variables` are those to set, with the reasons."""
    head = [f"# Made by `poller import` from {one_line(origin)}.\n", _BEFORE]
    if any("StartingPosition" in draft.fields for draft in drafts):
        head.append(_STREAMS)
    if any("Handler" not in draft.fields for draft in drafts):
        head.append(_TIMEOUTS)
    if variables:
        head.append("# Set these environment variables, or write what they stand for in their places:\n")
        head += [f"#   {variable}: {why}\n" for variable, why in variables.items()]
    return "".join([*head, "EventSourceMappings:\n", *(_mapping(draft) for draft in drafts)])


def _mapping(draft: Draft) -> str:
    names = [*_ORDER, *(name for name in draft.fields if name not in _ORDER)]
    lines = [f"# {one_line(comment)}" for comment in draft.comments]
    lines += [f"- {line}" for line in _dumped({"Name": draft.name})]
    for name in names:
        lines += [f"  {line}" for line in _dumped({name: _plain(name, draft.fields[name])})]
    return "".join(f"  {line}\n" for line in lines)


def _dumped(value: dict[str, object]) -> list[str]:
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.rstrip("\n").split("\n")


def _plain(name: str, value: Value) -> object:
    """What the dumper takes. A `${` that begins no variable of ours is written so that it stays text."""
    match value:
        case dict():
            return {_safe(key): _plain(key, member) for key, member in value.items()}
        case list():
            return [_plain("", member) for member in value]
        case str():
            return _safe(value.replace("${", "$${"))
        case Text():
            text = "".join(_part(part) for part in value.parts)
            return _Plain(text) if name in NUMBERS or name in FLAGS else _Quoted(text)
        case _:
            return value


def _safe(text: str) -> str:
    """Line breaks of all kinds, and what cannot be seen, are written as escapes: they come back as they were."""
    return text if text.isprintable() else _Quoted(text)


def _part(part: str | Blank) -> str:
    if isinstance(part, str):
        return part.replace("${", "$${")
    return f"${{{part.variable}:-{part.default}}}" if part.default else f"${{{part.variable}}}"
