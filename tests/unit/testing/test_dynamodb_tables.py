"""The embedded DynamoDB: tables, items, expressions, time to live."""

import pytest

from poller.core.model import Instant
from poller.testing.dynamodb import DynamoDb
from poller.testing.dynamodb_errors import DynamoDbError
from poller.testing.dynamodb_values import normal_number, value_size

START = 1_750_000_000.0
STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


class World:
    """A DynamoDB with one table, and a time that the test moves."""

    def __init__(self, *, sort=None, **settings):
        self.db = DynamoDb(seed=1, **settings)
        self.mono = 100.0
        names = ["id"] + ([sort] if sort else [])
        self.do(
            "CreateTable",
            table=None,
            TableName="shop",
            KeySchema=[
                {"AttributeName": n, "KeyType": role} for n, role in zip(names, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S" if n == "id" else "N"} for n in names],
            StreamSpecification=STREAM,
        )

    @property
    def now(self):
        return Instant(START + self.mono, self.mono)

    def do(self, operation, table="shop", **request):
        if table is not None:
            request["TableName"] = table
        return self.db.apply(self.now, operation, request)

    def streams(self, operation, **request):
        return self.db.streams.apply(self.now, operation, request)

    def put(self, key, **attributes):
        self.do("PutItem", Item={"id": {"S": key}, **attributes})

    def item(self, key):
        return self.do("GetItem", Key={"id": {"S": key}}).get("Item")

    def update(self, key, expression, names=None, **values):
        request = {"Key": {"id": {"S": key}}, "UpdateExpression": expression}
        if names:
            request["ExpressionAttributeNames"] = names
        if values:
            request["ExpressionAttributeValues"] = {f":{name}": value for name, value in values.items()}
        return self.do("UpdateItem", ReturnValues="ALL_NEW", **request)["Attributes"]

    def changes(self):
        """All stream records, oldest first."""
        found = []
        for stream in self.db.all_streams.values():
            for shard in stream.shards.values():
                found += shard.changes
        return [change.record for change in sorted(found, key=lambda change: change.sequence)]


@pytest.fixture
def world():
    return World()


def refused(code="ValidationException", saying=""):
    return pytest.raises(DynamoDbError, check=lambda error: error.name == code and saying in error.message)


# --- values ---


@pytest.mark.parametrize(
    ("given", "kept"),
    [("1", "1"), ("1.50", "1.5"), ("007", "7"), ("1e3", "1000"), ("-0", "0"), ("-1.5E-3", "-0.0015"), ("+2", "2")],
)
def test_numbers_have_one_form(given, kept):
    assert normal_number(given) == kept


@pytest.mark.parametrize("given", ["", "abc", "1_000", " 1", "NaN", "Infinity", "1" * 39, "1e126", "1e-131"])
def test_what_is_no_number_of_dynamodb_is_refused(given):
    with refused():
        normal_number(given)


def test_38_digits_are_kept(world):
    digits = "12345678901234567890123456789012345678"
    world.put("a", n={"N": digits})
    assert world.update("a", "SET n = n + :one", one={"N": "1"})["n"] == {"N": digits[:-1] + "9"}


@pytest.mark.parametrize(
    "value",
    [
        {"S": "x", "N": "1"}, {}, {"X": "y"}, {"S": 1}, {"NULL": False}, {"SS": []}, {"SS": ["a", "a"]},
        {"NS": ["1", "1.0"]}, {"B": "not base64!"}, {"L": [{"N": "x"}]}, {"M": {"a": {"Q": 1}}}, "x", None,
        {"BOOL": "true"},
    ],
)  # fmt: skip
def test_wrong_values_are_refused_and_nothing_is_written(world, value):
    with pytest.raises(DynamoDbError):
        world.put("a", v=value)
    assert world.item("a") is None
    assert world.changes() == []


def test_an_item_may_have_400_kb(world):
    world.put("a", v={"S": "x" * (400 * 1024 - 4)})
    with refused(saying="maximum allowed size"):
        world.put("b", v={"S": "x" * (400 * 1024 - 3)})
    with refused(saying="maximum allowed size"):
        world.update("a", "SET w = :w", w={"S": "x" * 10})


def test_sizes_are_those_of_content():
    assert value_size({"B": "Zm9v"}) == 3
    assert value_size({"SS": ["a", "bc"]}) == 3
    assert value_size({"M": {"k": {"S": "ä"}}}) == 3 + 1 + 1 + 2


# --- what is written ---


def test_a_write_that_changes_nothing_leaves_no_record(world):
    """DDB-6: other spellings of the same number and another order of a set are no change either."""
    world.put("a", n={"N": "1.0"}, s={"SS": ["b", "a"]}, d={"L": [{"N": "07"}]})
    world.put("a", n={"N": "1"}, s={"SS": ["a", "b"]}, d={"L": [{"N": "7"}]})
    world.update("a", "SET n = :n ADD s :s", n={"N": "1e0"}, s={"SS": ["a"]})
    world.do("DeleteItem", Key={"id": {"S": "nobody"}})
    assert [record["eventName"] for record in world.changes()] == ["INSERT"]


def test_the_stream_tells_each_kind_of_change(world):
    """DDB-2, DDB-3: the image that a change does not have is absent."""
    world.put("a", n={"N": "1"})
    world.put("a", n={"N": "2"})
    world.do("DeleteItem", Key={"id": {"S": "a"}})
    told = [
        (r["eventName"], r["dynamodb"].get("OldImage"), r["dynamodb"].get("NewImage")) for r in world.changes()
    ]
    one, two = ({"id": {"S": "a"}, "n": {"N": n}} for n in "12")
    assert told == [("INSERT", None, one), ("MODIFY", one, two), ("REMOVE", two, None)]
    assert {r["eventVersion"] for r in world.changes()} == {"1.1"}
    assert all("userIdentity" not in record for record in world.changes())
    assert [r["dynamodb"]["SizeBytes"] for r in world.changes()] == [3 + 3 + 2, 3 + 5 + 5, 3 + 3 + 2]


@pytest.mark.parametrize(
    ("view", "images"),
    [
        ("KEYS_ONLY", []), ("NEW_IMAGE", ["NewImage"]), ("OLD_IMAGE", ["OldImage"]),
        ("NEW_AND_OLD_IMAGES", ["NewImage", "OldImage"]),
    ],
)  # fmt: skip
def test_images_follow_the_view_type(world, view, images):
    """DDB-3."""
    world.do("UpdateTable", StreamSpecification={"StreamEnabled": False})
    world.do("UpdateTable", StreamSpecification={"StreamEnabled": True, "StreamViewType": view})
    world.put("a", n={"N": "1"})
    world.put("a", n={"N": "2"})
    told = world.changes()[-1]["dynamodb"]
    assert sorted(name for name in told if name.endswith("Image")) == images
    assert told["Keys"] == {"id": {"S": "a"}}
    assert told["StreamViewType"] == view


def test_creation_times_have_whole_seconds(world):
    """DDB-4."""
    world.mono = 100.987
    world.put("a")
    told = world.changes()[0]["dynamodb"]["ApproximateCreationDateTime"]
    assert told == START + 100
    assert isinstance(told, float)


def test_a_table_without_a_stream_writes_none():
    world = World()
    world.do("UpdateTable", StreamSpecification={"StreamEnabled": False})
    world.put("a")
    assert world.changes() == []


# --- expressions ---


def test_set_remove_add(world):
    world.put("a", n={"N": "1"}, gone={"S": "x"})
    after = world.update(
        "a",
        "SET #n = #n + :one, m = if_not_exists(m, :one), k = :big - n REMOVE gone ADD hits :one, tags :t",
        names={"#n": "n"},
        one={"N": "1"},
        big={"N": "10"},
        t={"SS": ["x"]},
    )
    assert after == {
        "id": {"S": "a"}, "n": {"N": "2"}, "m": {"N": "1"}, "k": {"N": "9"}, "hits": {"N": "1"},
        "tags": {"SS": ["x"]},
    }  # fmt: skip
    again = world.update("a", "ADD hits :two, tags :t SET m = if_not_exists(m, :two)", two={"N": "2"},
                         t={"SS": ["a", "x"]})  # fmt: skip
    assert (again["hits"], again["tags"], again["m"]) == ({"N": "3"}, {"SS": ["a", "x"]}, {"N": "1"})


def test_an_update_makes_the_item(world):
    assert world.update("new", "SET v = :v", v={"BOOL": True}) == {"id": {"S": "new"}, "v": {"BOOL": True}}
    assert [record["eventName"] for record in world.changes()] == ["INSERT"]


@pytest.mark.parametrize(
    ("expression", "saying"),
    [
        ("SET id = :v", "part of the key"),
        ("SET a = b + :v", "does not exist"),
        ("SET a = :v, a = :v", "overlap"),
        ("SET a = :v SET b = :v", "only be used once"),
        ("ADD text :v", "incorrect data type"),
        ("SET a = :nobody + :v", "not defined"),
        ("SET #x = :v", "not defined"),
        ("SET a :v", "Syntax error"),
        ("SET a = :v,", "Syntax error"),
        ("a = :v", "Syntax error"),
        ("", "can not be empty"),
        ("SET a.b = :v", "does not do this: a path into a document"),
        ("SET a[0] = :v", "does not do this: a path into a document"),
        ("SET a = list_append(a, :v)", "does not do this: list_append"),
        ("DELETE a :v", "does not do this: delete"),
        ("REMOVE a", "unused"),
    ],
)
def test_a_wrong_or_unknown_update_is_refused(world, expression, saying):
    world.put("a", text={"S": "x"})
    with refused(saying=saying):
        world.update("a", expression, v={"N": "1"})
    assert world.item("a") == {"id": {"S": "a"}, "text": {"S": "x"}}


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("attribute_exists(n)", True),
        ("attribute_not_exists(n)", False),
        ("attribute_not_exists(x)", True),
        ("n = :five", True),
        ("n <> :five", False),
        ("x = :five", False),
        ("x <> :five", True),
        ("x = y", False),
        ("x <> y", True),
        ("n < :ten", True),
        ("n > :ten", False),
        ("n >= :five AND n <= :five", True),
        ("n < :text", False),
        ("n BETWEEN :five AND :ten AND s = :text", True),
        ("begins_with(s, :prefix)", True),
        ("begins_with(n, :prefix)", False),
        ("NOT n = :five", False),
        ("NOT n = :ten AND s = :text", True),
        ("n = :ten AND s = :text OR n = :five", True),
        ("n = :ten AND (s = :text OR n = :five)", False),
        ("attribute_not_exists(n) or #s = :text", True),
    ],
)
def test_conditions(world, condition, met):
    world.put("a", n={"N": "5"}, s={"S": "text"})
    values = {":five": {"N": "5.0"}, ":ten": {"N": "10"}, ":text": {"S": "text"}, ":prefix": {"S": "te"}}
    request = {
        "Item": {"id": {"S": "a"}, "done": {"BOOL": True}},
        "ConditionExpression": condition,
        "ExpressionAttributeValues": {key: value for key, value in values.items() if key in condition},
    }
    if "#s" in condition:
        request["ExpressionAttributeNames"] = {"#s": "s"}
    if met:
        world.do("PutItem", **request)
    else:
        with refused("ConditionalCheckFailedException"):
            world.do("PutItem", **request)
    assert ("done" in world.item("a")) is met


@pytest.mark.parametrize(
    "condition",
    [
        "n IN (:v)",
        "size(n) = :v",
        "contains(n, :v)",
        "a.b = :v",
        "n = :v garbage",
        "n",
        "(n = :v",
        "n =",
        "attribute_not_exists(n)",
    ],
)
def test_what_conditions_do_not_know_is_refused_not_ignored(world, condition):
    with refused():
        world.do("PutItem", Item={"id": {"S": "a"}}, ConditionExpression=condition,
                 ExpressionAttributeValues={":v": {"N": "1"}})  # fmt: skip
    assert world.item("a") is None


@pytest.mark.parametrize(
    ("operation", "request_", "saying"),
    [
        ("PutItem", {"Item": {"id": {"S": "a"}}, "Expected": {}}, "Expected of PutItem"),
        ("PutItem", {"Item": {"id": {"S": "a"}}, "ReturnValues": "UPDATED_NEW"}, "ReturnValues UPDATED_NEW"),
        ("Scan", {"FilterExpression": "a = :b"}, "FilterExpression of Scan"),
        ("Query", {"IndexName": "i"}, "IndexName of Query"),
        ("GetItem", {"Key": {"id": {"S": "a"}}, "ProjectionExpression": "a"}, "ProjectionExpression of GetItem"),
        ("UpdateTable", {"BillingMode": "PAY_PER_REQUEST"}, "BillingMode of UpdateTable"),
    ],
)
def test_what_is_not_there_is_refused_not_ignored(world, operation, request_, saying):
    with refused(saying=saying):
        world.do(operation, **request_)


def test_unknown_operations_and_tables_are_refused(world):
    with refused("UnknownOperationException"):
        world.do("TransactWriteItems")
    with refused("ResourceNotFoundException"):
        world.do("PutItem", table="nothere", Item={})
    with refused("UnknownOperationException"):
        world.streams("PutItem")


# --- keys, pages, batches ---


@pytest.mark.parametrize("key", [{}, {"id": {"N": "1"}}, {"id": {"S": ""}}, {"id": {"S": "a"}, "x": {"S": "b"}}])
def test_a_wrong_key_is_refused(world, key):
    with refused():
        world.do("GetItem", Key=key)


def test_query_goes_by_the_sort_key_in_pages():
    world = World(sort="at")
    for at in (5, 10, -3, 7.5, 100):
        world.put("a", at={"N": str(at)})
    world.put("b", at={"N": "1"})

    def query(**request):
        values = {":id": {"S": "a"}} | request.pop("values", {})
        found = world.do("Query", ExpressionAttributeValues=values, **request)
        return [item["at"]["N"] for item in found["Items"]], found.get("LastEvaluatedKey")

    everything = {"KeyConditionExpression": "id = :id"}
    assert query(**everything) == (["-3", "5", "7.5", "10", "100"], None)
    assert query(**everything, ScanIndexForward=False)[0] == ["100", "10", "7.5", "5", "-3"]
    page, last = query(**everything, Limit=2)
    assert page == ["-3", "5"]
    assert query(**everything, ExclusiveStartKey=last)[0] == ["7.5", "10", "100"]
    backwards = query(**everything, ExclusiveStartKey=last, ScanIndexForward=False)
    assert backwards[0] == ["-3"]
    some = {"KeyConditionExpression": "id = :id AND #at BETWEEN :low AND :high"}
    names = {"ExpressionAttributeNames": {"#at": "at"}}
    assert query(**some, **names, values={":low": {"N": "5"}, ":high": {"N": "10"}})[0] == ["5", "7.5", "10"]


@pytest.mark.parametrize(
    "condition", ["at = :v", "id = :v OR at = :v", "id < :v", "id = :v AND other = :v", "id = :v AND id = :v"]
)
def test_a_query_needs_its_partition_key(condition):
    with refused():
        World(sort="at").do(
            "Query", KeyConditionExpression=condition, ExpressionAttributeValues={":v": {"S": "1"}}
        )


def test_a_scan_in_pages_meets_every_item_once(world):
    for number in range(25):
        world.put(f"k{number}")
    seen, start = [], None
    while True:
        request = {"Limit": 7} | ({"ExclusiveStartKey": start} if start else {})
        page = world.do("Scan", **request)
        seen += [item["id"]["S"] for item in page["Items"]]
        start = page.get("LastEvaluatedKey")
        if start is None:
            break
    assert sorted(seen) == sorted(f"k{number}" for number in range(25))


def test_a_page_has_at_most_a_megabyte(world):
    for number in range(4):
        world.put(f"k{number}", v={"S": "x" * 300_000})
    page = world.do("Scan")
    assert page["Count"] == 3
    assert page["LastEvaluatedKey"]


def batch(world, *entries):
    return world.do("BatchWriteItem", table=None, RequestItems={"shop": list(entries)})


def put_request(key):
    return {"PutRequest": {"Item": {"id": {"S": key}}}}


def test_a_batch_writes_all_or_is_refused(world):
    world.put("old")
    delete = {"DeleteRequest": {"Key": {"id": {"S": "old"}}}}
    assert batch(world, put_request("a"), delete) == {"UnprocessedItems": {}}
    assert (world.item("a"), world.item("old")) == ({"id": {"S": "a"}}, None)
    for entries in (
        [],
        [put_request("b"), put_request("b")],
        [put_request(f"b{number}") for number in range(26)],
        [put_request("b"), {"PutRequest": {"Item": {"nokey": {"S": "x"}}}}],
        [put_request("b"), {"Other": {}}],
    ):
        with refused():
            batch(world, *entries)
    assert world.item("b") is None
    assert len(world.changes()) == 3


# --- tables ---


def test_tables_are_listed_and_deleted(world):
    for name in ("aaa", "zzz"):
        world.do("CreateTable", table=name, KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                 AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "B"}])  # fmt: skip
    assert world.do("ListTables", table=None) == {"TableNames": ["aaa", "shop", "zzz"]}
    first = world.do("ListTables", table=None, Limit=2)
    assert first == {"TableNames": ["aaa", "shop"], "LastEvaluatedTableName": "shop"}
    world.do("DeleteTable", table="aaa")
    rest = world.do("ListTables", table=None, ExclusiveStartTableName="aaa")
    assert rest == {"TableNames": ["shop", "zzz"]}
    assert "StreamSpecification" not in world.do("DescribeTable", table="zzz")["Table"]


@pytest.mark.parametrize(
    "changed",
    [
        {"TableName": "a b"}, {"TableName": "ab"}, {"KeySchema": []}, {"AttributeDefinitions": []},
        {"StreamSpecification": {"StreamEnabled": True}},
        {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "ALL"}},
        {"StreamSpecification": {"StreamEnabled": "yes"}},
        {"GlobalSecondaryIndexes": [{}]},
        {"AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "SS"}]},
        {"KeySchema": [{"AttributeName": "id", "KeyType": "RANGE"}]},
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused(world, changed):
    request = {
        "TableName": "other",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    }
    with pytest.raises(DynamoDbError):
        world.do("CreateTable", table=None, **request | changed)
    assert list(world.db.tables) == ["shop"]


def test_a_table_is_made_once(world):
    with refused("ResourceInUseException"):
        world.do("CreateTable", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                 AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])  # fmt: skip


# --- time to live ---


def enable_ttl(world, attribute="exp", enabled=True):
    specification = {"Enabled": enabled, "AttributeName": attribute}
    return world.do("UpdateTimeToLive", TimeToLiveSpecification=specification)


def test_what_expired_is_deleted_by_the_service(world):
    """DDB-5."""
    enable_ttl(world)
    world.put("soon", exp={"N": str(int(START) + 200)})
    world.put("later", exp={"N": str(int(START) + 400)})
    world.put("never", exp={"S": "200"})
    world.mono = 300.0
    assert world.item("soon") is None
    record = world.changes()[-1]
    assert (record["eventName"], record["dynamodb"]["Keys"]) == ("REMOVE", {"id": {"S": "soon"}})
    assert record["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    assert record["dynamodb"]["OldImage"]["exp"] == {"N": str(int(START) + 200)}
    assert world.item("later")
    assert world.item("never")


def test_an_expiry_that_was_moved_is_the_one_that_counts(world):
    enable_ttl(world)
    world.put("a", exp={"N": str(int(START) + 200)})
    world.put("a", exp={"N": str(int(START) + 500)})
    world.mono = 300.0
    assert world.item("a")
    world.update("a", "REMOVE exp")
    world.mono = 600.0
    assert world.item("a")


def test_what_expired_five_years_ago_is_let_alone(world):
    enable_ttl(world)
    world.put("a", exp={"N": "12"})
    world.mono += 10
    assert world.item("a")


def test_time_to_live_is_switched_on_for_items_that_are_there_and_off(world):
    world.put("a", exp={"N": str(int(START) + 200)})
    assert world.do("DescribeTimeToLive") == {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
    enable_ttl(world)
    told = {"TimeToLiveStatus": "ENABLED", "AttributeName": "exp"}
    assert world.do("DescribeTimeToLive") == {"TimeToLiveDescription": told}
    with refused(saying="already enabled"):
        enable_ttl(world)
    with refused(saying="different AttributeName"):
        enable_ttl(world, "other", enabled=False)
    world.mono = 150.0
    enable_ttl(world, enabled=False)
    world.mono = 300.0
    assert world.item("a")
    enable_ttl(world)
    assert world.item("a") is None
