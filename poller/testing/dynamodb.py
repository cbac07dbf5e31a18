"""DynamoDB with its streams as a pure state machine: `apply(now, operation, request)`; no sockets, no clock.

Held to servers that others wrote by tests/contract. What AWS does and this does not: indexes, transactions,
capacity, paths into documents, reserved words, access control, statuses that take a while. A request that asks for
what is not here is refused, never done in part.
"""

import datetime as dt
import random
import re
from typing import Any, Final

from poller.core.model import Instant, JsonObject
from poller.testing import dynamodb_items as items
from poller.testing.dynamodb_errors import DynamoDbError, invalid, invalid_value, not_found, wrong_type
from poller.testing.dynamodb_shards import FIRST_SEQUENCE, RETENTION, VIEW_TYPES, Stream
from poller.testing.dynamodb_streams import DynamoDbStreams
from poller.testing.dynamodb_table import KeySchema, Table
from poller.testing.dynamodb_values import check_fields, read_limit

_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_CREATE: Final = frozenset(
    {"TableName", "AttributeDefinitions", "KeySchema", "BillingMode", "ProvisionedThroughput",
     "StreamSpecification"}
)  # fmt: skip


class DynamoDb:
    """Every table of one account in one region, and in `streams` their streams' own API.

    `shards` is how many shards a new stream begins with; `first_sequence` is below its first sequence number.
    Both may be changed before a stream is made.
    """

    def __init__(
        self, *, region: str = "us-east-1", account: str = "000000000000", shards: int = 2,
        first_sequence: int = FIRST_SEQUENCE, seed: int | None = None,
    ) -> None:  # fmt: skip
        self.region = region
        self.account = account
        self.shards = shards
        self.first_sequence = first_sequence
        self.tables: dict[str, Table] = {}
        self.all_streams: dict[str, Stream] = {}
        self.streams = DynamoDbStreams(self.all_streams, self.advance)
        self._rng = random.Random(seed)  # noqa: S311 - event ids, not secrets
        self._operations = {
            "CreateTable": self._create_table,
            "DeleteTable": self._delete_table,
            "DescribeTable": self._describe_table,
            "DescribeTimeToLive": self._describe_time_to_live,
            "ListTables": self._list_tables,
            "RollStream": self._roll_stream,
            "UpdateTable": self._update_table,
            "UpdateTimeToLive": self._update_time_to_live,
        }
        self._item_operations = {
            "DeleteItem": items.delete_item,
            "GetItem": items.get_item,
            "PutItem": items.put_item,
            "Query": items.query,
            "Scan": items.scan,
            "UpdateItem": items.update_item,
        }

    def apply(self, now: Instant, operation: str, request: JsonObject) -> JsonObject:
        """Does one operation at that moment. Raises DynamoDbError for whatever DynamoDB refuses."""
        self.advance(now)
        if (do := self._operations.get(operation)) is not None:
            return do(now, request)
        if (item_operation := self._item_operations.get(operation)) is not None:
            return item_operation(now, self.table(request.get("TableName")), request)
        if operation == "BatchWriteItem":
            return items.batch_write_item(now, self.table, request)
        raise DynamoDbError("UnknownOperationException", f"The embedded DynamoDB does not know {operation}.")

    def advance(self, now: Instant) -> None:
        """Does what time has done: rollovers, trimming, expired items, streams that nobody can read any more."""
        for stream in list(self.all_streams.values()):
            stream.advance(now)
            if stream.closed <= now.mono - RETENTION:
                del self.all_streams[stream.arn]
        for table in self.tables.values():
            table.advance(now)

    def table(self, name: Any) -> Table:
        """The table of that name. Raises DynamoDbError."""
        if not isinstance(name, str):
            raise invalid("TableName is missing")
        if (table := self.tables.get(name)) is None:
            raise not_found(f"Table: {name} not found")
        return table

    def roll(self, now: Instant, name: str, into: int = 1) -> None:
        """Closes all open shards of the table's stream now; each gets so many children."""
        self.advance(now)
        stream = self.table(name).stream
        if stream is None:
            raise ValueError(f"table {name} has no enabled stream")
        stream.roll(now, into)

    # --- tables ---

    def _create_table(self, now: Instant, request: JsonObject) -> JsonObject:
        check_fields("CreateTable", request, _CREATE)
        name = request.get("TableName")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise invalid(
                "Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may "
                "contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'"
            )
        schema = _read_schema(request)
        view = _read_view(request)
        if name in self.tables:
            raise DynamoDbError("ResourceInUseException", f"Table already exists: {name}")
        arn = f"arn:aws:dynamodb:{self.region}:{self.account}:table/{name}"
        settings = {"BillingMode": request.get("BillingMode") or "PROVISIONED"}
        table = self.tables[name] = Table(now, name, arn, schema, settings)
        if view is not None:
            self._enable_stream(now, table, view)
        return {"TableDescription": self._shown(table)}

    def _delete_table(self, now: Instant, request: JsonObject) -> JsonObject:
        check_fields("DeleteTable", request, frozenset({"TableName"}))
        table = self.table(request.get("TableName"))
        if table.stream is not None:
            self._disable_stream(now, table)
        del self.tables[table.name]
        return {"TableDescription": self._shown(table) | {"TableStatus": "DELETING"}}

    def _describe_table(self, now: Instant, request: JsonObject) -> JsonObject:
        check_fields("DescribeTable", request, frozenset({"TableName"}))
        return {"Table": self._shown(self.table(request.get("TableName")))}

    def _list_tables(self, now: Instant, request: JsonObject) -> JsonObject:
        check_fields("ListTables", request, frozenset({"ExclusiveStartTableName", "Limit"}))
        limit, after = read_limit(request, 100), request.get("ExclusiveStartTableName") or ""
        found = sorted(name for name in self.tables if name > after)
        answer: JsonObject = {"TableNames": found[:limit]}
        return answer if len(found) <= limit else answer | {"LastEvaluatedTableName": found[limit - 1]}

    def _update_table(self, now: Instant, request: JsonObject) -> JsonObject:
        """The stream only: a new one gets a new label (DDB-9), the shards of an old one close."""
        check_fields("UpdateTable", request, frozenset({"TableName", "StreamSpecification"}))
        table = self.table(request.get("TableName"))
        if request.get("StreamSpecification") is None:
            raise invalid("Nothing to update")
        view = _read_view(request)
        if view is not None:
            if table.stream is not None:
                raise invalid("Table already has an enabled stream")
            self._enable_stream(now, table, view)
        elif table.stream is None:
            raise invalid("Table has no stream to disable")
        else:
            self._disable_stream(now, table)
        return {"TableDescription": self._shown(table)}

    def _shown(self, table: Table) -> JsonObject:
        told: JsonObject = {
            "TableName": table.name,
            "TableArn": table.arn,
            "TableStatus": "ACTIVE",
            "CreationDateTime": table.created,
            "KeySchema": table.schema.shown(),
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": kind} for name, kind in table.schema.types.items()
            ],
            "BillingModeSummary": table.settings,
            "ItemCount": len(table.items),
        }
        if table.stream is not None:
            told["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": table.stream.view}
        if table.latest_stream is not None:
            told["LatestStreamArn"] = table.latest_stream.arn
            told["LatestStreamLabel"] = table.latest_stream.label
        return told

    # --- streams of tables ---

    def _enable_stream(self, now: Instant, table: Table, view: str) -> None:
        moment = dt.datetime.fromtimestamp(int(now.wall * 1000) / 1000, dt.UTC)
        while True:
            label = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
            arn = f"{table.arn}/stream/{label}"
            if arn not in self.all_streams:
                break
            moment += dt.timedelta(milliseconds=1)
        stream = Stream(
            now, arn=arn, label=label, table=table.name, view=view, key_schema=table.schema.shown(),
            region=self.region, shards=self.shards, first_sequence=self.first_sequence, rng=self._rng,
        )  # fmt: skip
        self.all_streams[arn] = table.stream = table.latest_stream = stream

    def _disable_stream(self, now: Instant, table: Table) -> None:
        assert table.stream is not None
        table.stream.close(now)
        table.stream = None

    def _roll_stream(self, now: Instant, request: JsonObject) -> JsonObject:
        """No operation of AWS: `roll` for those who have only HTTP."""
        check_fields("RollStream", request, frozenset({"TableName"}))
        table = self.table(request.get("TableName"))
        if table.stream is None:
            raise invalid(f"Table {table.name} has no enabled stream")
        table.stream.roll(now)
        return {}

    # --- time to live ---

    def _update_time_to_live(self, now: Instant, request: JsonObject) -> JsonObject:
        check_fields("UpdateTimeToLive", request, frozenset({"TableName", "TimeToLiveSpecification"}))
        table = self.table(request.get("TableName"))
        match request.get("TimeToLiveSpecification"):
            case {"Enabled": bool(enabled), "AttributeName": str(attribute)} if attribute:
                pass
            case _:
                raise wrong_type("TimeToLiveSpecification")
        if enabled == bool(table.expiry_attribute):
            raise invalid(f"TimeToLive is already {'enabled' if enabled else 'disabled'}")
        if not enabled and attribute != table.expiry_attribute:
            raise invalid("TimeToLive is active on a different AttributeName")
        table.expire_by(attribute if enabled else "")
        return {"TimeToLiveSpecification": {"Enabled": enabled, "AttributeName": attribute}}

    def _describe_time_to_live(self, now: Instant, request: JsonObject) -> JsonObject:
        check_fields("DescribeTimeToLive", request, frozenset({"TableName"}))
        attribute = self.table(request.get("TableName")).expiry_attribute
        told = {"TimeToLiveStatus": "ENABLED", "AttributeName": attribute} if attribute else None
        return {"TimeToLiveDescription": told or {"TimeToLiveStatus": "DISABLED"}}


def _read_schema(request: JsonObject) -> KeySchema:
    try:
        defined = {d["AttributeName"]: d["AttributeType"] for d in request["AttributeDefinitions"]}
        roles = {element["KeyType"]: element["AttributeName"] for element in request["KeySchema"]}
        if not all(isinstance(word, str) for word in (*defined.values(), *roles.values())):
            raise wrong_type("KeySchema or AttributeDefinitions")
    except (KeyError, TypeError) as error:
        raise invalid("KeySchema and AttributeDefinitions are needed") from error
    names = [roles[role] for role in ("HASH", "RANGE") if role in roles]
    if "HASH" not in roles or len(names) != len(request["KeySchema"]) or len(set(names)) != len(names):
        raise invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if defined.keys() != set(names):
        raise invalid_value(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in "
            "AttributeDefinitions"
        )
    if not set(defined.values()) <= {"S", "N", "B"}:
        raise invalid("Member must satisfy enum value set: [B, N, S]")
    return KeySchema(roles["HASH"], roles.get("RANGE"), {name: defined[name] for name in names})


def _read_view(request: JsonObject) -> str | None:
    """The view type of a StreamSpecification that enables a stream, else None."""
    given = request.get("StreamSpecification") or {"StreamEnabled": False}
    if not isinstance(given, dict) or not isinstance(given.get("StreamEnabled"), bool):
        raise wrong_type("StreamSpecification")
    view = given.get("StreamViewType")
    if not given["StreamEnabled"]:
        if view is not None:
            raise invalid_value("StreamViewType must not be given when the stream is disabled")
        return None
    if not isinstance(view, str) or view not in VIEW_TYPES:
        raise invalid_value(f"Invalid StreamViewType {view} for a stream that is enabled")
    return view
