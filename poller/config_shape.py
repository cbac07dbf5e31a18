"""The shape of poller.yaml: the map at the top and `Settings` as pydantic models, their words for wrong values.

Mappings pass through here as they are; core/mapping.py looks into them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from poller.core.mapping_arns import ACCOUNT, REGION
from poller.core.mapping_names import ENDPOINT, url_problem
from poller.core.mapping_rules import VARIABLE
from poller.core.mapping_schema import Schema, matching, one_of
from poller.core.mapping_shapes import Path, quote, unknown
from poller.errors import ConfigurationError
from poller.http.address import parse_address
from poller.logs import FORMATS, LEVELS, Format
from poller.settings import Settings, parse_state

MAPPINGS = "EventSourceMappings"
NO_MAPPING = f"there is no mapping; write at least one under {MAPPINGS}"
_SECONDS = "allowed: a number of seconds from 1 to 3600"
_SHARDS = "allowed: a whole number from 0 to 10000"


@dataclass(frozen=True, slots=True, eq=False)
class _Text:
    """What a text must be: the check, which raises ValueError, and the schema that editors read."""

    check: Callable[[str], str]
    schema: Schema

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """As an AfterValidator does it."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        """Nothing of the check can be seen from outside: the schema is what was said."""
        return self.schema


def _matching(pattern: re.Pattern[str], what: str) -> _Text:
    def check(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise ValueError(f"{quote(value)} is not {what}")
        return value

    return _Text(check, matching(pattern.pattern))


def _one_of(words: tuple[str, ...], *, upper: bool = False) -> _Text:
    def check(value: str) -> str:
        word = value.upper() if upper else value
        if word not in words:
            raise ValueError(f"{quote(value)} is none of the words for this; allowed: {', '.join(words)}")
        return word

    if not upper:
        return _Text(check, one_of(*words))
    letters = ("".join(f"[{letter}{letter.lower()}]" for letter in word) for word in words)
    return _Text(check, {"anyOf": [one_of(*words), matching(*letters)]})


def _url(value: str) -> str:
    wrong = url_problem(value)
    if wrong is not None:
        raise ValueError(wrong)
    return value


def _state(value: str) -> str:
    try:
        parse_state(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    return value


def _listen(value: str) -> str:
    try:
        return value and str(parse_address(value, "Listen"))
    except ConfigurationError as error:
        raise ValueError(str(error).removeprefix("Listen: ")) from error


def _variable(value: str) -> str:
    if VARIABLE.fullmatch(value) is None:  # what it holds is not repeated: it may be the secret itself
        raise ValueError(
            "this is not the name of an environment variable; allowed: the name alone, such as POLLER_TOKEN,"
            " without ${ }, and never the secret itself"
        )
    return value


_DEFAULT = Settings()
_Listen = Annotated[str, Field(max_length=300), _Text(_listen, matching("", r".*:[0-9]{1,5}"))]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Metrics(_Model):
    Listen: _Listen = _DEFAULT.metrics_listen
    Histograms: bool = _DEFAULT.histograms
    MaxShards: Annotated[int, Field(ge=0, le=10_000)] = _DEFAULT.max_shards


_Variable = Annotated[str, _Text(_variable, matching(VARIABLE.pattern))]


class _ControlApi(_Model):
    Listen: _Listen = _DEFAULT.control_listen
    TokenVariable: _Variable | None = None
    AccessKeysVariable: _Variable | None = None

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        """Who reaches it can have code of his choice run here."""
        keys = (self.TokenVariable, self.AccessKeysVariable)
        if self.Listen and not parse_address(self.Listen, "Listen").loopback and keys == (None, None):
            raise ValueError(
                f"Listen {self.Listen} can be reached from other machines, and whoever reaches it could change"
                " mappings and run code here; set TokenVariable or AccessKeysVariable to the name of a variable of"
                " the environment that holds keys, or listen on 127.0.0.1:9465"
            )
        return self


class _Logging(_Model):
    Level: Annotated[str, _one_of(LEVELS, upper=True)] = _DEFAULT.log_level
    Format: Annotated[str, _one_of(FORMATS)] = _DEFAULT.log_format


class SettingsShape(_Model):
    Region: Annotated[str, _matching(REGION, "a region; allowed: a name such as eu-west-1")] | None = None
    AccountId: Annotated[str, _matching(ACCOUNT, "an account; allowed: 12 digits, in quotes")] | None = None
    State: Annotated[str, _Text(_state, matching("memory:", "sqlite:[^:].*"))] = "sqlite:poller.db"
    ShutdownTimeoutInSeconds: Annotated[float, Field(ge=1, le=3600)] = _DEFAULT.shutdown_timeout
    EndpointUrl: Annotated[str, _Text(_url, matching(ENDPOINT))] | None = None
    Metrics: _Metrics = _Metrics()
    ControlApi: _ControlApi = _ControlApi()
    Logging: _Logging = _Logging()


class FileShape(_Model):
    Settings: SettingsShape = SettingsShape()
    EventSourceMappings: list[dict[str, Any]]


def explained(detail: ErrorDetails) -> str:
    """pydantic's finding in the words of this house."""
    path, value = detail["loc"], detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            return unknown(path, _fields_around(path)).detail
        case "missing":
            return NO_MAPPING
        case "string_type":
            return f"{quote(value)} is not text; allowed: text, in quotes"
        case "float_type":
            return f"{quote(value)} is not a number; {_SECONDS}, without quotes"
        case "int_type":
            return f"{quote(value)} is not a whole number; {_SHARDS}, without quotes"
        case "bool_type":
            return f"{quote(value)} is neither true nor false; allowed: true or false, without quotes"
        case "greater_than_equal" | "less_than_equal" | "finite_number":
            return f"{quote(value)} is out of range; {_SHARDS if path[-1] == 'MaxShards' else _SECONDS}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case "model_type" | "dict_type":
            return f"{quote(value)} is not a map; allowed: a map of {', '.join(_fields_of(path))}"
        case "list_type":
            return f"{quote(value)} is not a list; allowed: a list of mappings, each begun with a dash"
        case _:
            return f"{quote(value)} cannot be used here: {detail['msg']}"


def _fields_around(path: Path) -> list[str]:
    return _fields_of(path[:-1])


def _fields_of(path: Path) -> list[str]:
    """The names that the map at a path may hold."""
    model: type[BaseModel] = FileShape
    for part in path:
        if part == MAPPINGS:
            return ["EventSourceArn", "FunctionName", "..."]
        model = cast("type[BaseModel]", model.model_fields[str(part)].annotation)
    return list(model.model_fields)


def make_settings(shape: SettingsShape) -> Settings:
    """The settings that the rest of the program sees."""
    return Settings(
        region=shape.Region,
        account_id=shape.AccountId,
        endpoint_url=shape.EndpointUrl,
        state=parse_state(shape.State),
        shutdown_timeout=shape.ShutdownTimeoutInSeconds,
        metrics_listen=shape.Metrics.Listen,
        histograms=shape.Metrics.Histograms,
        max_shards=shape.Metrics.MaxShards,
        control_listen=shape.ControlApi.Listen,
        control_token_variable=shape.ControlApi.TokenVariable,
        control_keys_variable=shape.ControlApi.AccessKeysVariable,
        log_level=shape.Logging.Level,
        log_format=cast("Format", shape.Logging.Format),
    )
