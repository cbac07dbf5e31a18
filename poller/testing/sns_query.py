"""The query protocol, which SNS speaks: a form in, XML out."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final
from urllib.parse import parse_qsl

from poller.core.model import JsonObject
from poller.testing.calls import AwsError

_NAMESPACE: Final = "http://sns.amazonaws.com/doc/2010-03-31/"
_REQUEST_ID: Final = "00000000-0000-4000-8000-000000000000"
_ENTRIES: Final = frozenset({"Attributes", "Tags"})  # what the API has as a map and XML as <entry> by <entry>


def read_form(body: bytes) -> JsonObject:
    """`Attributes.entry.1.key=a` and its kin as the nested fields they stand for. Raises AwsError."""
    root: dict[str, Any] = {}
    try:
        for name, value in parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True):
            *path, last = name.split(".")
            node = root
            for part in path:
                node = node.setdefault(part, {})
            node[last] = value
        return {name: _shaped(node) for name, node in root.items()}
    except (ValueError, TypeError, AttributeError, KeyError):
        raise AwsError("MalformedQueryString", "The query string contains a syntax error.", 404) from None


def _shaped(node: Any) -> Any:
    """Lists come as `member.1`, maps as `entry.1.key` and `entry.1.value`, or `entry.1.Name` and `.Value`."""
    if not isinstance(node, dict):
        return node
    if node.keys() == {"member"}:
        return [_shaped(item) for _, item in sorted(node["member"].items(), key=lambda item: int(item[0]))]
    if node.keys() == {"entry"}:
        entries = [{name.lower(): value for name, value in entry.items()} for entry in node["entry"].values()]
        return {entry.get("key", entry.get("name")): _shaped(entry["value"]) for entry in entries}
    return {name: _shaped(value) for name, value in node.items()}


def answer_xml(operation: str, answer: JsonObject) -> bytes:
    """The body of a success."""
    result = f"<{operation}Result>{_fields(answer)}</{operation}Result>"
    metadata = f"<ResponseMetadata><RequestId>{_REQUEST_ID}</RequestId></ResponseMetadata>"
    return f'<{operation}Response xmlns="{_NAMESPACE}">{result}{metadata}</{operation}Response>'.encode()


def error_xml(error: AwsError) -> bytes:
    """The body of a refusal."""
    told = {"Type": "Sender" if error.sender_fault else "Receiver", "Code": error.name, "Message": error.message}
    inner = f"<Error>{_fields(told)}</Error><RequestId>{_REQUEST_ID}</RequestId>"
    return f'<ErrorResponse xmlns="{_NAMESPACE}">{inner}</ErrorResponse>'.encode()


def _fields(fields: Mapping[str, Any]) -> str:
    return "".join(f"<{name}>{_value(name, value)}</{name}>" for name, value in fields.items())


def _value(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "".join(f"<member>{_value('', item)}</member>" for item in value)
    if isinstance(value, dict) and name in _ENTRIES:
        entries = ({"key": key, "value": inner} for key, inner in value.items())
        return "".join(f"<entry>{_fields(entry)}</entry>" for entry in entries)
    return _fields(value) if isinstance(value, dict) else escape(str(value), quote=False)
