"""A CloudFormation template: its parameters, mappings and conditions, and the functions in its values resolved.

What cannot be known before a deployment becomes a blank with the reason, never a guess. Nothing is raised for what
a template holds. What a resource's name or ARN is, is in resources.py.

Functions: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import cast

from poller.core.mapping_shapes import quote
from poller.importer.values import (
    ABSENT,
    Text,
    Value,
    as_text,
    blank,
    derived,
    joined,
    selected,
    split,
    texts_in,
    without_secrets,
)

_VARIABLE = re.compile(r"\$\{(!?)([^{}]*)\}")
_PSEUDO = {  # the variable that stands for it, and a value it might have
    "AWS::Region": ("AWS_REGION", "us-east-1"),
    "AWS::AccountId": ("AWS_ACCOUNT_ID", "000000000000"),
    "AWS::StackName": ("STACK_NAME", "stack"),
    "AWS::StackId": ("STACK_ID", "stack"),
    "AWS::NotificationARNs": ("NOTIFICATION_ARNS", ""),
}
_SUFFIXES = {"aws-cn": "amazonaws.com.cn"}
_DEEPEST = 20  # steps from one value to another that it names

Attribute = Callable[["Template", str, str], str | Text]


class Template:
    """A template with the values that were given for its parameters, pseudo parameters among them.

    `attribute` tells what Ref (an empty attribute's name) and Fn::GetAtt make of a resource.
    """

    def __init__(self, values: Mapping[str, object], given: Mapping[str, str], attribute: Attribute) -> None:
        self.resources = as_map(values.get("Resources"))
        self.globals = as_map(values.get("Globals"))
        self._parameters = as_map(values.get("Parameters"))
        self._mappings = as_map(values.get("Mappings"))
        self._conditions = as_map(values.get("Conditions"))
        self._given = given
        self._attribute_of = attribute
        self._known: dict[tuple[str, str, str], str | Text | bool] = {}
        self._open: list[tuple[str, str, str]] = []

    def unknown_parameters(self) -> list[str]:
        """Names that values were given for and that the template does not have."""
        pseudo = {*_PSEUDO, "AWS::Partition", "AWS::URLSuffix"}
        return [name for name in self._given if name not in self._parameters and name not in pseudo]

    @property
    def parameters(self) -> list[str]:
        """The names of its parameters."""
        return list(self._parameters)

    def resolve(self, value: object) -> Value:
        """The value with every function in it resolved, or blank where that is not possible."""
        match value:
            case dict():
                function = _function_in(value)
                if function is not None:
                    return self._resolved(function, value[function])
                members = {str(name): self.resolve(member) for name, member in value.items()}
                return {name: member for name, member in members.items() if member is not ABSENT}
            case list():
                return [member for member in map(self.resolve, value) if member is not ABSENT]
            case str():
                return without_secrets(value)
            case None | bool() | int() | float():
                return value
            case _:
                return blank(f"{quote(value)} is no value of a template")

    def text(self, value: object) -> str | Text:
        """The value as text, as it would stand in another one."""
        return as_text(self.resolve(value))

    def attribute(self, resource: str, name: str) -> str | Text:
        """What Fn::GetAtt gives, with an empty name what Ref gives."""
        function = f"Fn::GetAtt {resource}.{name}" if name else f"Ref {resource}"
        if not isinstance(self.resources.get(resource), dict):
            return blank(f"{function} names nothing in this template", f"{resource}_{name}")
        found = self._once(("resource", resource, name), lambda: self._attribute_of(self, resource, name))
        return found if isinstance(found, str | Text) else blank(f"{function} is no text")

    def condition(self, name: object) -> bool | Text:
        """Whether a condition holds; a blank says why that is not known."""
        if not isinstance(name, str) or name not in self._conditions:
            return blank(f"the template has no condition {quote(name)}")
        found = self._once(("condition", name, ""), lambda: self._holds(self._conditions[name]))
        return blank(f"the condition {quote(name)} is no condition") if isinstance(found, str) else found

    def _once(self, key: tuple[str, str, str], find: Callable[[], str | Text | bool]) -> str | Text | bool:
        """Found once, whoever asks how often; a blank for what depends on itself."""
        if key in self._known:
            return self._known[key]
        if key in self._open:
            return blank(f"{key[0]} {key[1]} depends on itself")
        if len(self._open) >= _DEEPEST:
            return blank(f"{key[0]} {key[1]} depends on too many others")
        self._open.append(key)
        try:
            self._known[key] = find()
        finally:
            self._open.pop()
        return self._known[key]

    def _resolved(self, function: str, argument: object) -> Value:
        match function, argument:
            case "Ref", str():
                return self._reference(argument)
            case "Fn::GetAtt", str() if "." in argument:
                resource, _, name = argument.partition(".")
                return self.attribute(resource, name)
            case "Fn::GetAtt", [str() as resource, name]:
                attribute = self.text(name)
                return self.attribute(resource, attribute) if isinstance(attribute, str) else attribute
            case "Fn::Sub", str():
                return self._substituted(argument, {})
            case "Fn::Sub", [str() as text, dict() as members]:
                return self._substituted(text, members)
            case "Fn::FindInMap", [first, second, third, *more]:
                return self._found(self.text(first), self.text(second), self.text(third), more)
            case "Fn::If", [condition, then, otherwise]:
                return self._chosen(condition, then, otherwise)
            case "Fn::ImportValue", _:
                exported = self.text(argument)
                shown = exported if isinstance(exported, str) else exported.sample
                return blank(f"Fn::ImportValue {quote(shown)} is the output of another stack", shown)
            case _:
                return self._computed(function, argument)

    def _computed(self, function: str, argument: object) -> Value:
        """The functions of texts and lists, which look nothing up."""
        match function, argument:
            case "Fn::Join", [str() as between, members]:
                return self._joined(between, self.resolve(members))
            case "Fn::Split", [str() as between, text] if between:
                return split(between, self.text(text))
            case "Fn::Select", [index, members]:
                return selected(self.resolve(index), self.resolve(members))
            case "Fn::ToJsonString", dict() | list():
                value = self.resolve(argument)
                blanks = any(True for _ in texts_in(value))
                return derived(function, value) if blanks else json.dumps(value, separators=(",", ":"))
            case "Fn::Length", _:
                value = self.resolve(argument)
                return len(value) if isinstance(value, list) else derived(function, value)
            case _:
                return blank(f"{quote(function)} cannot be resolved here")

    def _reference(self, name: str) -> Value:
        if name == "AWS::NoValue":
            return ABSENT
        if name in self._parameters:
            return self._parameter(name)
        if name.startswith("AWS::"):
            return self._pseudo(name)
        if name not in self.resources and "." in name:  # SAM: Function.Alias, Function.Version
            resource, _, attribute = name.partition(".")
            return self.attribute(resource, attribute)
        return self.attribute(name, "")

    def _parameter(self, name: str) -> Value:
        declared = as_map(self._parameters[name])
        kind = str(declared.get("Type"))
        value: object = self._given.get(name)
        if value is None and kind.startswith("AWS::SSM::"):
            return blank(f"parameter {name} is read from Systems Manager when the stack is deployed", name)
        if value is None and str(declared.get("NoEcho")).lower() == "true":
            return blank(f"parameter {name} is a secret (NoEcho)", name)
        if value is None:
            value = declared.get("Default")
        if value is None or isinstance(value, dict | list):
            return blank(f"parameter {name} has no default: --parameter {name}=VALUE", name)
        text = as_text(cast("Value", value))
        if isinstance(text, str) and (kind == "CommaDelimitedList" or "List<" in kind):
            return [member.strip() for member in text.split(",")]
        return without_secrets(text)

    def _pseudo(self, name: str) -> str | Text:
        given = self._given.get(name)
        if given is not None:
            return given
        if name == "AWS::Partition":
            return self._partition()
        if name == "AWS::URLSuffix":
            partition = self._partition()
            return _SUFFIXES.get(partition, "amazonaws.com") if isinstance(partition, str) else "amazonaws.com"
        if name in _PSEUDO:
            variable, sample = _PSEUDO[name]
            return blank(f"{name} is not in the template: --parameter {name}=VALUE", variable, sample)
        return blank(f"Ref {quote(name)} is not known here")

    def _partition(self) -> str | Text:
        """It follows from the region."""
        region = self._given.get("AWS::Region")
        if region is None:
            return blank("AWS::Partition follows from the region", "AWS_PARTITION", "aws", default="aws")
        known = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
        return next((partition for begin, partition in known.items() if region.startswith(begin)), "aws")

    def _substituted(self, text: str, members: Mapping[object, object]) -> str | Text:
        pieces: list[str | Text] = []
        end = 0
        for match in _VARIABLE.finditer(text):
            pieces.append(text[end : match.start()])
            end = match.end()
            name = match[2].strip()
            if match[1]:
                pieces.append(f"${{{match[2]}}}")
            elif name in members:
                pieces.append(self.text(members[name]))
            else:
                function = "Fn::GetAtt" if "." in name and name not in self._parameters else "Ref"
                pieces.append(as_text(self._resolved(function, name)))
        return without_secrets(joined([*pieces, text[end:]]))

    def _joined(self, between: str, members: Value) -> str | Text:
        if not isinstance(members, list):
            return derived("Fn::Join", members)
        pieces: list[str | Text] = []
        for member in members:
            pieces += [between, as_text(member)]
        return without_secrets(joined(pieces[1:]))

    def _found(self, first: str | Text, second: str | Text, third: str | Text, more: list[object]) -> Value:
        if isinstance(first, Text) or isinstance(second, Text) or isinstance(third, Text):
            return derived("Fn::FindInMap", [first, second, third])
        found = as_map(as_map(self._mappings.get(first)).get(second)).get(third)
        if found is None and more and "DefaultValue" in as_map(more[0]):
            found = as_map(more[0])["DefaultValue"]
        if found is None:
            keys = f"{quote(first)}, {quote(second)}, {quote(third)}"
            return blank(f"Fn::FindInMap finds nothing for {keys}")
        return self.resolve(found)

    def _chosen(self, name: object, then: object, otherwise: object) -> Value:
        holds = self.condition(name)
        if isinstance(holds, bool):
            return self.resolve(then if holds else otherwise)
        first, second = self.resolve(then), self.resolve(otherwise)
        return first if first == second else derived(f"Fn::If {quote(name)}", holds)

    def _holds(self, condition: object) -> bool | Text:
        match condition:
            case {"Fn::Equals": [first, second]}:
                return self._equal(self.text(first), self.text(second))
            case {"Fn::Not": [inner]}:
                holds = self._holds(inner)
                return holds if isinstance(holds, Text) else not holds
            case {"Fn::And": list() as inner}:
                return _all(list(map(self._holds, inner)))
            case {"Fn::Or": list() as inner}:
                none = _all([holds if isinstance(holds, Text) else not holds for holds in map(self._holds, inner)])
                return none if isinstance(none, Text) else not none
            case {"Condition": name}:
                return self.condition(name)
            case _:
                return blank(f"{quote(condition)} is no condition that can be decided here")

    def _equal(self, first: str | Text, second: str | Text) -> bool | Text:
        if first == second:
            return True
        unknown = [value for value in (first, second) if isinstance(value, Text)]
        return unknown[0] if unknown else False


def as_map(value: object) -> dict[str, object]:
    """The value if it is a map, else an empty one: nothing is in it that could be used."""
    return value if isinstance(value, dict) else {}


def _function_in(value: dict[str, object]) -> str | None:
    """The function that a map of one member stands for."""
    if len(value) != 1:
        return None
    name = next(iter(value))
    return name if name == "Ref" or str(name).startswith("Fn::") else None


def _all(conditions: list[bool | Text]) -> bool | Text:
    """False decides, whatever is not known."""
    if False in conditions:
        return False
    return next((holds for holds in conditions if isinstance(holds, Text)), True)
