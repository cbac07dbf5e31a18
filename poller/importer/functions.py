"""The functions of a template, as far as a mapping needs them: what to call, and how long a call may last.

Default is the function itself, by its name. With `local` it is the code of a Python function, in this process.
"""

from dataclasses import replace

from poller.core.mapping_shapes import quote
from poller.core.mapping_targets import PythonTarget, parse_target
from poller.importer.mapping import Draft, Note
from poller.importer.resources import properties_of
from poller.importer.template import Template, as_map
from poller.importer.values import Text, Value

LAMBDA_TIMEOUT = 3
"""Seconds: what Lambda allows a function without a Timeout (INV-3)."""

_FUNCTIONS = ("AWS::Lambda::Function", "AWS::Serverless::Function")
_NAMING = ("AWS::Lambda::Alias", "AWS::Lambda::Version")


def functions_by_name(template: Template) -> dict[str, str]:
    """The template's names of its functions by the names that they have on Lambda, where those are known."""
    names: dict[str, str] = {}
    for resource, declared in template.resources.items():
        if as_map(declared).get("Type") in _FUNCTIONS:
            name = template.text(properties_of(template, resource).get("FunctionName"))
            if isinstance(name, str) and name:
                names.setdefault(name, resource)
    return names


def function_behind(template: Template, named: object, by_name: dict[str, str]) -> str | None:
    """The template's name of the function that FunctionName's value leads to, by reference or by its name."""
    seen: set[str] = set()
    _follow(template, named, seen)
    behind = [name for name in seen if as_map(template.resources.get(name)).get("Type") in _FUNCTIONS]
    if len(behind) == 1:
        return behind[0]
    text = template.text(named)
    if isinstance(text, Text):
        return None
    return by_name.get((text.partition(":function:")[2] or text).partition(":")[0])


def _follow(template: Template, value: object, seen: set[str]) -> None:
    """Notes the resources that a value names, and those that the aliases and versions among them name."""
    match value:
        case {"Ref": str() as name} | {"Fn::GetAtt": str() as name} | {"Fn::GetAtt": [str() as name, *_]}:
            found = [name]
        case {"Fn::Sub": str() as text} | {"Fn::Sub": [str() as text, *_]}:
            found = [part.partition("}")[0].strip() for part in text.split("${")[1:]]
        case {"Fn::Join": [_, list() as members]}:
            for member in members:
                _follow(template, member, seen)
            return
        case _:
            return
    for name in found:
        resource = name.partition(".")[0]
        if resource not in seen:
            seen.add(resource)
            if as_map(template.resources.get(resource)).get("Type") in _NAMING:
                _follow(template, properties_of(template, resource).get("FunctionName"), seen)


def timeout_of(template: Template, function: str) -> Value:
    """The seconds that a function of the template may run."""
    return template.resolve(properties_of(template, function).get("Timeout", LAMBDA_TIMEOUT))


def with_local_code(template: Template, drafts: list[Draft], notes: list[Note]) -> None:
    """Gives each draft of a Python function its code as target, and tells which keep the function on Lambda.

    One process has one module of a name: where functions of several code folders share it, none is taken, because
    all but one would run the code of another.
    """
    folders: dict[str, set[str]] = {}
    for draft in drafts:
        target, _ = _local(template, draft)
        if draft.function is not None and target:
            code = properties_of(template, draft.function)
            folders.setdefault(_module(target), set()).add(repr(code.get("CodeUri", code.get("Code"))))
    told: set[str] = set()
    for index, draft in enumerate(drafts):
        target, why = _local(template, draft)
        if target and len(folders[_module(target)]) > 1:
            target, why = "", f"several functions have a module {_module(target)} of their own, in other folders"
        if not target:
            sentence = f"stays a function on Lambda: {why}"
            notes.append(draft.note(("FunctionName",), sentence))
            continue
        assert draft.function is not None
        drafts[index] = _with_target(template, draft, draft.function, target)
        if draft.function not in told:
            told.add(draft.function)
            notes.extend(_environment(template, draft))


def _with_target(template: Template, draft: Draft, function: str, target: str) -> Draft:
    code = template.resolve(properties_of(template, function).get("CodeUri"))
    where = f"CodeUri {quote(code)}" if isinstance(code, str) else "the template's folder"
    comment = f"The code of {function} is in {where}: start poller there, or set PYTHONPATH to it."
    return replace(draft, target=target, comments=(*draft.comments, comment))


def _environment(template: Template, draft: Draft) -> list[Note]:
    """Which variables the code expects; their values may be secrets, and stay where they are."""
    assert draft.function is not None
    shared = as_map(as_map(template.globals.get("Function")).get("Environment"))
    own = as_map(properties_of(template, draft.function).get("Environment"))
    names = sorted({**as_map(shared.get("Variables")), **as_map(own.get("Variables"))})
    if not names:
        return []
    shown = ", ".join(name if name.isidentifier() else quote(name) for name in names[:20])
    sentence = f"its code expects environment variables, which are not copied: {shown}"
    return [Note(draft.line, draft.function, sentence, complete=True)]


def _local(template: Template, draft: Draft) -> tuple[str, str]:
    """`python:module:attribute`, or why there is none."""
    if draft.function is None:
        return "", "its code is not in this template"
    properties = properties_of(template, draft.function)
    runtime = template.text(properties.get("Runtime"))
    handler = template.text(properties.get("Handler"))
    if isinstance(runtime, Text) or not runtime.startswith("python"):
        shown = runtime.blanks[0].why if isinstance(runtime, Text) else quote(runtime or None)
        return "", f"its Runtime is {shown}, not Python"
    if "InlineCode" in properties or "ZipFile" in as_map(properties.get("Code")):
        return "", "its code is inside the template"
    if isinstance(handler, Text):
        return "", f"its Handler is not known: {handler.blanks[0].why}"
    module, _, attribute = handler.removeprefix("./").replace("/", ".").rpartition(".")
    target = f"python:{module}:{attribute}"
    if not isinstance(parse_target(target), PythonTarget):
        return "", f"its Handler {quote(handler)} is not module.attribute"
    return target, ""


def _module(target: str) -> str:
    return target.split(":")[1].partition(".")[0]
