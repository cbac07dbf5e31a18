"""What matches what: patterns, records and whether they match, made from the clauses (FLT), for every operator.

`EVERY_TYPE` has each operator against each kind of JSON value, `DETAILS` what is special to one of them, `INVALID`
what is no pattern. Patterns and records are of plain objects, records without any level around them.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple


class Row(NamedTuple):
    clause: str
    pattern: Any
    record: dict[str, Any]
    expected: bool


KINDS: dict[str, dict[str, Any]] = {
    "text": {"a": "x"},
    "empty": {"a": ""},
    "digits": {"a": "1"},
    "one": {"a": 1},
    "half": {"a": 0.5},
    "true": {"a": True},
    "false": {"a": False},
    "null": {"a": None},
    "texts": {"a": ["x"]},
    "numbers": {"a": [1]},
    "nulls": {"a": [None]},
    "nothing": {"a": []},
    "object": {"a": {"x": 1}},
    "objects": {"a": [{"x": 1}]},
    "missing": {"b": "x"},
}
_TEXTS = "text empty digits texts"
_LEAVES = f"{_TEXTS} one half true false null numbers nulls"

# clause, the alternatives for the field "a", the kinds that match; all others do not
EVERY_TYPE: list[tuple[str, Any, str]] = [
    ("FLT-10", ["x"], "text texts"),
    ("FLT-10", [""], "empty"),
    ("FLT-10", ["1"], "digits"),
    ("FLT-10", [1], "one numbers"),
    ("FLT-10", [1.0], "one numbers"),
    ("FLT-10", [0.5], "half"),
    ("FLT-10", [0], ""),
    ("FLT-10", [True], "true"),
    ("FLT-10", [False], "false"),
    ("FLT-10", [None], "null nulls"),
    ("FLT-10", ["null"], ""),
    ("FLT-10", ["true"], ""),
    ("FLT-2", ["x", 1, True], "text texts one numbers true"),
    ("FLT-11", [{"exists": True}], _LEAVES),
    ("FLT-12", [{"exists": False}], "nothing object objects missing"),
    ("FLT-13", [{"prefix": "x"}], "text texts"),
    ("FLT-13", [{"prefix": ""}], _TEXTS),
    ("FLT-13", [{"prefix": {"equals-ignore-case": "X"}}], "text texts"),
    ("FLT-14", [{"suffix": "x"}], "text texts"),
    ("FLT-14", [{"suffix": ""}], _TEXTS),
    ("FLT-14", [{"suffix": {"equals-ignore-case": "X"}}], "text texts"),
    ("FLT-15", [{"equals-ignore-case": "X"}], "text texts"),
    ("FLT-15", [{"equals-ignore-case": ""}], "empty"),
    ("FLT-16", [{"wildcard": "*"}], _TEXTS),
    ("FLT-16", [{"wildcard": ""}], "empty"),
    ("FLT-16", [{"wildcard": "1"}], "digits"),
    ("FLT-17", [{"numeric": [">", 0]}], "one half numbers"),
    ("FLT-17", [{"numeric": ["=", 1]}], "one numbers"),
    ("FLT-17", [{"numeric": ["<", 1]}], "half"),
    ("FLT-18", [{"anything-but": "x"}], "empty digits one half true false null numbers nulls"),
    ("FLT-18", [{"anything-but": ["x", "1"]}], "empty one half true false null numbers nulls"),
    ("FLT-18", [{"anything-but": 1}], "text empty digits half true false null texts nulls"),
    ("FLT-18", [{"anything-but": [1, 0.5]}], "text empty digits true false null texts nulls"),
    ("FLT-19", [{"anything-but": {"prefix": "x"}}], "empty digits one half true false null numbers nulls"),
    ("FLT-19", [{"anything-but": {"suffix": ["x", "1"]}}], "empty one half true false null numbers nulls"),
    (
        "FLT-19",
        [{"anything-but": {"equals-ignore-case": "X"}}],
        "empty digits one half true false null numbers nulls",
    ),
    ("FLT-19", [{"anything-but": {"wildcard": "*"}}], "one half true false null numbers nulls"),
    ("FLT-20", [{"cidr": "0.0.0.0/0"}], ""),
    ("FLT-25", [{"exists": False}, {"prefix": "x"}], "text texts nothing object objects missing"),
    ("FLT-2", {"x": [1]}, "object objects"),
    ("FLT-12", {"x": [{"exists": False}]}, f"{_LEAVES} nothing missing"),
]


def _every_type() -> Iterator[Row]:
    for clause, alternatives, matching in EVERY_TYPE:
        for kind, record in KINDS.items():
            yield Row(clause, {"a": alternatives}, record, kind in matching.split())


def _of(clause: str, alternatives: Any, matching: list[Any], other: list[Any]) -> Iterator[Row]:
    """Rows for values of the field "a"."""
    for value in matching:
        yield Row(clause, {"a": alternatives}, {"a": value}, expected=True)
    for value in other:
        yield Row(clause, {"a": alternatives}, {"a": value}, expected=False)


def _pair(clause: str, pattern: Any, matching: list[dict[str, Any]], other: list[dict[str, Any]]) -> Iterator[Row]:
    for record in matching:
        yield Row(clause, pattern, record, expected=True)
    for record in other:
        yield Row(clause, pattern, record, expected=False)


def _details() -> Iterator[Row]:
    # exact values: case, white space, composed characters, escapes
    yield from _of("FLT-10", ["Order"], ["Order"], ["order", "Order ", "Orders", "ORDER"])
    yield from _of("FLT-10", ["\u00e9"], ["\u00e9"], ["e\u0301", "e", "\u00c9"])
    yield from _of("FLT-10", ["*"], ["*"], ["x", ""])
    yield from _of("FLT-10", ["\ud800"], ["\ud800"], ["\ud801", ""])
    yield from _of("FLT-10", [0], [0, 0.0, -0.0], [False, "0", None, ""])
    # numbers by value, to fifteen digits
    yield from _of("FLT-24", [300], [300, 300.0, 3e2], ["300", 301, 300.1])
    yield from _of("FLT-24", [0.1], [0.1, 0.1000000000000000055], [0.1000000001, 0.11])
    yield from _of("FLT-24", [0.3], [0.1 + 0.2], [0.300000001])
    yield from _of("FLT-24", [123456789012345], [123456789012345], [123456789012346, 123456789012344])
    yield from _of("FLT-24", [1234567890123456], [1234567890123456, 1234567890123459], [1234567890123470])
    yield from _of("FLT-24", [10**400], [10**400], [10**399, 1])
    yield from _of("FLT-24", [{"anything-but": 300}], ["300", 301], [300, 300.0])
    # whatever the case
    yield from _of("FLT-15", [{"equals-ignore-case": "stra\u00dfe"}], ["STRASSE", "stra\u00dfe"], ["strase", ""])
    yield from _of("FLT-13", [{"prefix": {"equals-ignore-case": "or"}}], ["Order", "OR", "oR1"], ["o", "xor", ""])
    yield from _of("FLT-14", [{"suffix": {"equals-ignore-case": ".PNG"}}], ["a.png", ".Png"], ["png", "a.png "])
    yield from _of("FLT-13", [{"prefix": "or"}], ["or", "order"], ["Order", "o", ""])
    yield from _of("FLT-14", [{"suffix": ".png"}], ["a.png", ".png"], ["a.PNG", "png"])
    # wildcards
    yield from _of("FLT-16", [{"wildcard": "a*b"}], ["ab", "axb", "a*b", "abab"], ["a", "b", "ba", "abc", "Ab"])
    yield from _of(
        "FLT-16", [{"wildcard": "*/bin/*.jar"}], ["/bin/x.jar", "a/bin/.jar"], ["/bin.jar", "/bin/x.war"]
    )
    yield from _of("FLT-16", [{"wildcard": "ab*ba"}], ["abba", "abxba"], ["aba", "ab", "ba"])
    yield from _of("FLT-16", [{"wildcard": "a*a*a"}], ["aaa", "axaxa"], ["aa", "a"])
    yield from _of("FLT-16", [{"wildcard": "a\\*b"}], ["a*b"], ["ab", "axb", "a\\*b"])
    yield from _of("FLT-16", [{"wildcard": "a\\\\*"}], ["a\\", "a\\x"], ["a*", "a"])
    yield from _of("FLT-16", [{"wildcard": "a*a*a*a*b"}], ["aaaab", "axaaab"], ["aaab", "aaaa"])
    yield from _of("FLT-16", [{"wildcard": "*\n*"}], ["a\nb", "\n"], ["ab"])
    yield from _of("FLT-16", [{"wildcard": "[a]*"}], ["[a]", "[a]b"], ["a", "ab"])
    # ranges
    yield from _of(
        "FLT-17", [{"numeric": [">", 0, "<=", 5]}], [0.000001, 1, 5, 5.0], [0, 5.000001, -1, "3", None, True]
    )
    yield from _of("FLT-17", [{"numeric": [">=", -1, "<", 1]}], [-1, 0, 0.999999], [1, -1.1])
    yield from _of("FLT-17", [{"numeric": ["<=", 5]}], [5, -5_000_000_000], [6, "5"])
    yield from _of("FLT-17", [{"numeric": ["=", 3.018e2]}], [301.8], [301.81, "301.8"])
    yield from _of("FLT-24", [{"numeric": [">", 0]}], [5_000_000_000], [5_000_000_001, 1e300, 0.0000001])
    yield from _of("FLT-24", [{"numeric": ["=", 0.1]}], [0.1, 0.10000001], [0.100001])
    # anything but
    yield from _of("FLT-18", [{"anything-but": [1, 2]}], [3, [1, 3]], [1, 2.0, [1, 2], []])
    yield from _of("FLT-18", [{"anything-but": ["a", "b"]}], ["c", ["a", "c"], ""], ["a", ["a", "b"], {}, []])
    yield from _of(
        "FLT-19", [{"anything-but": {"prefix": ["or", "in"]}}], ["x", "", 5, None], ["order", "in", "invoice"]
    )
    yield from _of(
        "FLT-19", [{"anything-but": {"suffix": ".png"}}], ["a.jpg", 1, ["a.png", "b"]], ["a.png", ["a.png"]]
    )
    yield from _of("FLT-19", [{"anything-but": {"equals-ignore-case": ["A", "b"]}}], ["c", 0], ["a", "A", "B"])
    yield from _of("FLT-19", [{"anything-but": {"wildcard": "*x*"}}], ["y", ""], ["x", "axb"])
    yield from _of("FLT-19", [{"anything-but": {"wildcard": ""}}], ["y", None], [""])
    # addresses
    yield from _of(
        "FLT-20",
        [{"cidr": "10.0.0.0/24"}],
        ["10.0.0.0", "10.0.0.255"],
        ["10.0.1.0", "10.0.0", "::1", 10, "10.0.0.01"],
    )
    yield from _of("FLT-20", [{"cidr": "10.0.0.7/32"}], ["10.0.0.7"], ["10.0.0.8", "10.0.0.7/32"])
    yield from _of("FLT-20", [{"cidr": "10.0.0.7/24"}], ["10.0.0.9"], ["10.0.1.7"])
    yield from _of(
        "FLT-20", [{"cidr": "2001:db8::/32"}], ["2001:db8::1", "2001:DB8:0:0::"], ["2001:db9::1", "10.0.0.1"]
    )
    yield from _of(
        "FLT-20", [{"cidr": "0000:0000:0000:0000:0000:ffff:255.255.255.255/128"}], ["::ffff:ffff:ffff"], ["::1"]
    )
    yield from _of("FLT-20", [{"cidr": "fe80::/10"}], ["fe80::1"], ["fe80::1%eth0", "x" * 100_000])
    # all of the fields, one of the alternatives
    yield from _pair(
        "FLT-2", {"a": [1], "b": ["x"]}, [{"a": 1, "b": "x", "c": 0}], [{"a": 1}, {"b": "x"}, {"a": 1, "b": 1}]
    )
    yield from _pair(
        "FLT-2", {"a": {"b": {"c": [1]}}}, [{"a": {"b": {"c": 1}}}], [{"a": {"b": 1}}, {"a": {"c": 1}}, {}]
    )
    yield from _pair("FLT-5", {"Type": ["x"]}, [{"Type": "x"}], [{"type": "x"}, {"TYPE": "x"}])
    yield from _pair("FLT-4", '{"a": [1], "a": [2]}', [{"a": 2}], [{"a": 1}])
    yield from _pair("FLT-4", '{"a": {"b": [1]}, "a": {"c": [2]}}', [{"a": {"c": 2}}], [{"a": {"b": 1}}])
    # what is not there
    yield from _pair(
        "FLT-12",
        {"a": {"b": [{"exists": False}]}},
        [{}, {"a": 1}, {"a": {}}, {"a": {"b": {"c": 1}}}],
        [{"a": {"b": None}}],
    )
    yield from _pair(
        "FLT-12", {"a": {"b": [{"exists": False}, "x"]}}, [{}, {"a": {"b": "x"}}], [{"a": {"b": "y"}}]
    )
    yield from _pair(
        "FLT-18", {"a": {"b": [{"anything-but": "x"}]}}, [{"a": {"b": None}}], [{}, {"a": {}}, {"a": None}]
    )
    # one or the other
    both = {"$or": [{"a": [1]}, {"b": ["x"]}]}
    yield from _pair("FLT-21", both, [{"a": 1}, {"b": "x"}, {"a": 1, "b": "x"}], [{"a": 2}, {}, {"b": 1}])
    yield from _pair("FLT-21", {"c": [0], **both}, [{"c": 0, "a": 1}, {"c": 0, "b": "x"}], [{"a": 1}, {"c": 0}])
    nested = {"$or": [{"a": [1]}, {"b": [2], "$or": [{"c": [3]}, {"d": [4]}]}]}
    yield from _pair(
        "FLT-21", nested, [{"a": 1}, {"b": 2, "c": 3}, {"b": 2, "d": 4}], [{"b": 2}, {"c": 3}, {"d": 4}]
    )
    yield from _pair(
        "FLT-21",
        {"a": {"$or": [{"b": [1]}, {"c": [1]}]}},
        [{"a": {"b": 1}}, {"a": {"c": 1}}],
        [{"b": 1}, {"a": 1}],
    )
    yield from _pair(
        "FLT-21",
        {"a": [1, 2], "$or": [{"a": [2, 3]}, {"b": [1]}]},
        [{"a": 2}, {"a": 1, "b": 1}],
        [{"a": 3}, {"a": 1}],
    )
    yield from _pair(
        "FLT-21",
        {"a": [1], "$or": [{"a": [2]}, {"b": [1]}]},
        [{"a": [1, 2]}, {"a": 1, "b": 1}],
        [{"a": 1}, {"a": 2}],
    )
    # several operators in a list
    two = [{"numeric": [">", 100]}, {"anything-but": "101"}]
    yield from _of("FLT-25", two, ["42", 101, 7, None], ["101"])
    yield from _of("FLT-25", [{"prefix": "a"}, {"suffix": "z"}, 5], ["ab", "yz", 5], ["ba", 6])
    # arrays
    yield from _of("FLT-23", ["x"], [["y", "x"], [["y"], ["x"]], [1, "x"]], [["y"], [], [[]], ["X"]])
    yield from _of("FLT-23", [{"numeric": [">", 5]}], [[1, 6], [[[7]]]], [[1, 5], ["6"]])
    yield from _of("FLT-23", [{"exists": True}], [["x"], [[0]]], [[], [[]], [{}], [{"b": 1}]])
    yield from _of("FLT-23", [{"exists": False}], [[], [[]], [{"b": 1}]], [["x"], [{"b": 1}, 2]])
    name = {"a": {"b": ["x"]}}
    yield from _pair(
        "FLT-23",
        name,
        [{"a": [{"b": "x"}]}, {"a": [{"b": 1}, {"b": ["x"]}]}, {"a": [[{"b": "x"}]]}],
        [{"a": ["x"]}, {"a": []}],
    )
    pair = {"a": {"x": [1], "y": [2]}}
    yield from _pair(
        "FLT-23",
        pair,
        [
            {"a": [{"x": 1, "y": 2}]},
            {"a": [{"x": 1}, {"x": 1, "y": 2}]},
            {"a": [[{"x": 0}], [{"x": 1, "y": [0, 2]}]]},
        ],
        [
            {"a": [{"x": 1, "y": 9}, {"x": 8, "y": 2}]},
            {"a": [{"x": 1}, {"y": 2}]},
            {"a": [[{"x": 1}], [{"y": 2}]]},
        ],
    )
    yield from _pair(
        "FLT-23",
        {"a": {"n": ["k"], "b": {"x": [1], "y": [2]}}},
        [{"a": [{"n": "k", "b": [{"x": 1, "y": 2}]}]}, {"a": {"n": "k", "b": {"x": 1, "y": 2}}}],
        [{"a": [{"n": "k", "b": [{"x": 1}, {"y": 2}]}]}, {"a": [{"n": "k"}, {"b": [{"x": 1, "y": 2}]}]}],
    )
    absent = {"a": {"x": [1], "y": [{"exists": False}]}}
    yield from _pair(
        "FLT-23",
        absent,
        [{"a": [{"x": 1}]}, {"a": [{"x": 1}, {"y": 2}]}, {"a": [{"x": 1, "y": 2}, {"x": 1}]}],
        [{"a": [{"x": 1, "y": 2}]}, {"a": [{"x": 1, "y": 2}, {"x": 2}]}, {"a": []}],
    )
    none = {"a": {"y": [{"exists": False}]}}
    yield from _pair(
        "FLT-23",
        none,
        [{"a": [{"x": 1}]}, {"a": []}, {"a": [1]}],
        [{"a": [{"x": 1}, {"y": 1}]}, {"a": [{"y": 1}]}],
    )
    yield from _pair(
        "FLT-23",
        {"a": {"b": {"y": [{"exists": False}]}}},
        [{"a": [{"b": {"x": 1}}, {"b": {}}]}, {"a": [{"b": {"x": 1}}, {"c": 1}]}],
        [{"a": [{"b": there}, {"b": {"y": 1}}]} for there in ({"x": 1}, {}, 5, [], [5], None)],
    )
    yield from _pair(
        "FLT-23", {"a": ["x"], "a.b": ["y"]}, [{"a": ["x", {"b": "y"}]}], [{"a": "x"}, {"a": {"b": "y"}}]
    )
    apart = {"a": {"x": [1]}, "b": {"y": [2]}}
    yield from _pair(
        "FLT-23", apart, [{"a": [{"x": 0}, {"x": 1}], "b": [{"y": 2}]}], [{"a": [{"x": 1, "y": 2}], "b": [{}]}]
    )
    yield from _pair(
        "FLT-23",
        {"a": {"x": [1, 2], "$or": [{"x": [2, 3]}, {"y": [1]}]}},
        [{"a": [{"x": 2}, {"x": 9}]}, {"a": [{"x": 9}, {"x": 1, "y": 1}]}],
        [{"a": [{"x": 1}, {"x": 3}]}, {"a": [{"x": 1}, {"y": 1}]}],
    )
    across = {"a": {"n": ["k"]}, "$or": [{"a": {"x": [1]}}, {"a": {"y": [2]}}]}
    yield from _pair(
        "FLT-23",
        across,
        [{"a": [{"n": "k", "x": 1}]}, {"a": [{}, {"n": "k", "y": 2}]}],
        [{"a": [{"n": "k"}, {"x": 1}]}],
    )
    # dotted names, on either side
    for pattern in ({"a.b": [1]}, {"a": {"b": [1]}}):
        yield from _pair(
            "FLT-26",
            pattern,
            [{"a": {"b": 1}}, {"a.b": 1}],
            [{"a": {"b": 2}}, {"a.b": {"b": 1}}, {"b": 1}, {"a.b.c": 1}],
        )
    for pattern in ({"a.b.c": [1]}, {"a": {"b.c": [1]}}, {"a.b": {"c": [1]}}):
        yield from _pair(
            "FLT-26",
            pattern,
            [{"a": {"b": {"c": 1}}}, {"a.b": {"c": 1}}, {"a": {"b.c": 1}}, {"a.b.c": 1}],
            [{"a": {"b": 1}}],
        )
    yield from _pair(
        "FLT-26", {"a.b.c": [1]}, [{"a": {"b": {"c": 1}}, "a.b": 5}], [{"a": {"b": {"c": 2}}, "a.b": 5}]
    )
    yield from _pair("FLT-26", {"a": {"b": [1], "": [{"exists": False}]}}, [{"a": 5, "a.b": 1}], [{"a.b": 2}])
    mixed = {"a": {"b": [1], "c": [2]}}
    yield from _pair(
        "FLT-26",
        mixed,
        [{"a": {"b": 1}, "a.c": 2}, {"a.b": 1, "a.c": 2}, {"a": [{"b": 1, "c": 2}]}],
        [{"a.b": 1}, {"a": {"b": 1}, "a.c": 3}],
    )
    yield from _pair("FLT-26", {"a.b": [{"exists": False}]}, [{"a": {}}, {"b": 1}], [{"a.b": 1}, {"a": {"b": 1}}])
    yield from _pair("FLT-26", {"": [1]}, [{"": 1}], [{"a": 1}])
    # JSON inside text
    yield from _pair("FLT-27", {"a": {"b": [1]}}, [], [{"a": '{"b": 1}'}])
    yield from _pair("FLT-27", {"a": [{"prefix": "{"}]}, [{"a": '{"b": 1}'}], [{"a": {"b": 1}}])


TABLE: list[Row] = [*_every_type(), *_details()]

# clause, pattern, the place inside it, words of the problem
INVALID: list[tuple[str, Any, tuple[str | int, ...], str]] = [
    ("FLT-3", None, (), "nothing is not a pattern"),
    ("FLT-3", "", (), "this is not JSON"),
    ("FLT-3", "order", (), "this is not JSON"),
    ("FLT-3", "[1]", (), "a list is not a pattern"),
    ("FLT-3", '"order"', (), "'order' is not a pattern"),
    ("FLT-3", "null", (), "nothing is not a pattern"),
    ("FLT-3", 7, (), "7 is not a pattern"),
    ("FLT-3", [], (), "a list is not a pattern"),
    ("FLT-3", '{"a": [NaN]}', (), "this is not JSON"),
    ("FLT-3", '{"a": [1]', (), "this is not JSON"),
    ("FLT-3", "{}", (), "an empty object says nothing"),
    ("FLT-3", {"a": {}}, ("a",), "an empty object says nothing"),
    ("FLT-3", {"a": "x"}, ("a",), "'x' stands outside a list"),
    ("FLT-3", {"a": {"b": 1}}, ("a", "b"), "1 stands outside a list"),
    ("FLT-3", {"a": None}, ("a",), "null stands outside a list"),
    ("FLT-3", {"a": True}, ("a",), "true stands outside a list"),
    ("FLT-3", {"a": []}, ("a",), "the list is empty"),
    ("FLT-3", {"a": {"b": []}}, ("a", "b"), "the list is empty"),
    ("FLT-3", {"a": ["x", []]}, ("a", 1), "a list is no alternative"),
    ("FLT-3", {"a": [object()]}, ("a", 0), "a value of type object is no alternative"),
    ("FLT-3", {"a": (1,)}, ("a",), "a list stands outside a list"),
    ("FLT-3", {1: ["x"]}, ("1",), "the name 1 is not text"),
    ("FLT-3", {None: ["x"]}, ("null",), "the name null is not text"),
    ("FLT-3", {"a": [float("nan")]}, ("a", 0), "nan is not a number of JSON"),
    ("FLT-3", '{"a": [1e999]}', ("a", 0), "inf is not a number of JSON"),
    ("FLT-5", {"a": [{"Prefix": "x"}]}, ("a", 0, "Prefix"), "'Prefix' is not an operator here"),
    ("FLT-5", {"a": [{"contains": "x"}]}, ("a", 0, "contains"), "'contains' is not an operator here"),
    ("FLT-5", {"a": [{}]}, ("a", 0), "an object without an operator"),
    ("FLT-5", {"a": [{"prefix": "x", "suffix": "y"}]}, ("a", 0), "several operators in one object"),
    ("FLT-5", {"a": [{1: "x"}]}, ("a", 0, "1"), "1 is not an operator here"),
    ("FLT-11", {"a": [{"exists": "true"}]}, ("a", 0, "exists"), "'true' is not true or false"),
    ("FLT-11", {"a": [{"exists": 1}]}, ("a", 0, "exists"), "1 is not true or false"),
    ("FLT-12", {"a": [{"exists": None}]}, ("a", 0, "exists"), "null is not true or false"),
    ("FLT-13", {"a": [{"prefix": 1}]}, ("a", 0, "prefix"), "1 is not text"),
    ("FLT-13", {"a": [{"prefix": ["x"]}]}, ("a", 0, "prefix"), "a list is not text"),
    (
        "FLT-13",
        {"a": [{"prefix": {"suffix": "x"}}]},
        ("a", 0, "prefix", "suffix"),
        "'suffix' is not an operator here",
    ),
    (
        "FLT-13",
        {"a": [{"prefix": {"equals-ignore-case": 1}}]},
        ("a", 0, "prefix", "equals-ignore-case"),
        "1 is not text",
    ),
    ("FLT-14", {"a": [{"suffix": 1}]}, ("a", 0, "suffix"), "1 is not text"),
    ("FLT-14", {"a": [{"suffix": []}]}, ("a", 0, "suffix"), "a list is not text"),
    ("FLT-15", {"a": [{"equals-ignore-case": ["x"]}]}, ("a", 0, "equals-ignore-case"), "a list is not text"),
    ("FLT-15", {"a": [{"equals-ignore-case": {}}]}, ("a", 0, "equals-ignore-case"), "a map is not text"),
    ("FLT-15", {"a": [{"equals-ignore-case": 1}]}, ("a", 0, "equals-ignore-case"), "1 is not text"),
    ("FLT-16", {"a": [{"wildcard": 1}]}, ("a", 0, "wildcard"), "1 is not text"),
    ("FLT-16", {"a": [{"wildcard": ["x"]}]}, ("a", 0, "wildcard"), "a list is not text"),
    ("FLT-16", {"a": [{"wildcard": "a**b"}]}, ("a", 0, "wildcard"), "** has two wildcards in a row"),
    ("FLT-16", {"a": [{"wildcard": "a\\b"}]}, ("a", 0, "wildcard"), "a backslash stands before neither"),
    ("FLT-16", {"a": [{"wildcard": "a\\"}]}, ("a", 0, "wildcard"), "a backslash stands before neither"),
    (
        "FLT-16",
        {"a": [{"wildcard": "*:*:*:*:*:event-bus/*"}]},
        ("a", 0, "wildcard"),
        "this wildcard is overly complex",
    ),
    ("FLT-16", {"a": [{"wildcard": "b*a*a*a*a*b"}]}, ("a", 0, "wildcard"), "this wildcard is overly complex"),
    ("FLT-17", {"a": [{"Numeric": [">", 1]}]}, ("a", 0, "Numeric"), "'Numeric' is not an operator here"),
    ("FLT-17", {"a": [{"numeric": 1}]}, ("a", 0, "numeric"), "1 is not a list"),
    ("FLT-17", {"a": [{"numeric": []}]}, ("a", 0, "numeric"), "a list of 0 is not one comparison or two"),
    (
        "FLT-17",
        {"a": [{"numeric": [">", 1, "<"]}]},
        ("a", 0, "numeric"),
        "a list of 3 is not one comparison or two",
    ),
    ("FLT-17", {"a": [{"numeric": [">", 1, ">=", 2]}]}, ("a", 0, "numeric", 2), "'>=' cannot stand here"),
    ("FLT-17", {"a": [{"numeric": ["<", 1, "<", 2]}]}, ("a", 0, "numeric", 2), "'<' cannot stand here"),
    ("FLT-17", {"a": [{"numeric": ["<", 5, ">", 1]}]}, ("a", 0, "numeric", 2), "'>' cannot stand here"),
    ("FLT-17", {"a": [{"numeric": ["=", 1, "<", 2]}]}, ("a", 0, "numeric", 0), "'=' cannot stand here"),
    ("FLT-17", {"a": [{"numeric": ["==", 1]}]}, ("a", 0, "numeric", 0), "'==' cannot stand here"),
    ("FLT-17", {"a": [{"numeric": [1, ">"]}]}, ("a", 0, "numeric", 1), "'>' is no bound"),
    ("FLT-17", {"a": [{"numeric": [["<"], 1]}]}, ("a", 0, "numeric", 0), "a list cannot stand here"),
    ("FLT-17", {"a": [{"numeric": [">", "1"]}]}, ("a", 0, "numeric", 1), "'1' is no bound"),
    ("FLT-17", {"a": [{"numeric": [">", True]}]}, ("a", 0, "numeric", 1), "true is no bound"),
    ("FLT-17", {"a": [{"numeric": [">", float("nan")]}]}, ("a", 0, "numeric", 1), "nan is no bound"),
    ("FLT-17", {"a": [{"numeric": [">", 5, "<", 1]}]}, ("a", 0, "numeric"), "no number is between these bounds"),
    ("FLT-24", {"a": [{"numeric": ["<", 5_000_000_001]}]}, ("a", 0, "numeric", 1), "5000000001 is no bound"),
    ("FLT-18", {"a": [{"anything-but": None}]}, ("a", 0, "anything-but"), "null cannot stand here"),
    ("FLT-18", {"a": [{"anything-but": True}]}, ("a", 0, "anything-but"), "true cannot stand here"),
    ("FLT-18", {"a": [{"anything-but": []}]}, ("a", 0, "anything-but"), "the list is empty"),
    ("FLT-18", {"a": [{"anything-but": ["x", None]}]}, ("a", 0, "anything-but", 1), "null cannot stand here"),
    ("FLT-18", {"a": [{"anything-but": [1, False]}]}, ("a", 0, "anything-but", 1), "false cannot stand here"),
    ("FLT-18", {"a": [{"anything-but": ["x", 1]}]}, ("a", 0, "anything-but", 1), "1 cannot stand here"),
    ("FLT-18", {"a": [{"anything-but": [1, "x"]}]}, ("a", 0, "anything-but", 1), "'x' cannot stand here"),
    ("FLT-18", {"a": [{"anything-but": [["x"]]}]}, ("a", 0, "anything-but", 0), "a list cannot stand here"),
    (
        "FLT-18",
        {"a": [{"anything-but": [{"prefix": "x"}]}]},
        ("a", 0, "anything-but", 0),
        "a map cannot stand here",
    ),
    (
        "FLT-19",
        {"a": [{"anything-but": {"numeric": [">", 1]}}]},
        ("a", 0, "anything-but", "numeric"),
        "'numeric' is not an",
    ),
    ("FLT-19", {"a": [{"anything-but": {}}]}, ("a", 0, "anything-but"), "an object without an operator"),
    (
        "FLT-19",
        {"a": [{"anything-but": {"prefix": ""}}]},
        ("a", 0, "anything-but", "prefix"),
        "every text has an empty",
    ),
    (
        "FLT-19",
        {"a": [{"anything-but": {"suffix": ["x", ""]}}]},
        ("a", 0, "anything-but", "suffix"),
        "every text has an",
    ),
    ("FLT-19", {"a": [{"anything-but": {"prefix": 1}}]}, ("a", 0, "anything-but", "prefix"), "1 is not text"),
    (
        "FLT-19",
        {"a": [{"anything-but": {"prefix": ["x", 1]}}]},
        ("a", 0, "anything-but", "prefix", 1),
        "1 is not text",
    ),
    ("FLT-19", {"a": [{"anything-but": {"suffix": []}}]}, ("a", 0, "anything-but", "suffix"), "the list is empty"),
    (
        "FLT-19",
        {"a": [{"anything-but": {"prefix": {"equals-ignore-case": "x"}}}]},
        ("a", 0, "anything-but", "prefix"),
        "a map is not text",
    ),
    ("FLT-20", {"a": [{"cidr": "10.0.0.0"}]}, ("a", 0, "cidr"), "'10.0.0.0' is not a CIDR"),
    ("FLT-20", {"a": [{"cidr": "10.0.0/24"}]}, ("a", 0, "cidr"), "'10.0.0/24' is not a CIDR"),
    ("FLT-20", {"a": [{"cidr": "10.0.0.0/33"}]}, ("a", 0, "cidr"), "'10.0.0.0/33' is not a CIDR"),
    ("FLT-20", {"a": [{"cidr": "10.0.0.0/255.0.0.0"}]}, ("a", 0, "cidr"), "is not a CIDR"),
    ("FLT-20", {"a": [{"cidr": "2001:db8::/129"}]}, ("a", 0, "cidr"), "is not a CIDR"),
    ("FLT-20", {"a": [{"cidr": "10.0.0.0/" + "8".zfill(41)}]}, ("a", 0, "cidr"), "is not a CIDR"),
    ("FLT-20", {"a": [{"cidr": "10.0.0.0/" + "8".zfill(60)}]}, ("a", 0, "cidr"), "is not a CIDR"),
    ("FLT-20", {"a": [{"cidr": ["10.0.0.0/8"]}]}, ("a", 0, "cidr"), "a list is not text"),
    ("FLT-21", {"$or": {"a": [1]}}, ("$or",), "a map is not a list"),
    ("FLT-21", {"$or": []}, ("$or",), "a list of 0 leaves nothing to choose"),
    ("FLT-21", {"$or": [{"a": [1]}]}, ("$or",), "a list of 1 leaves nothing to choose"),
    ("FLT-21", {"$or": [{"a": [1]}, 2]}, ("$or", 1), "2 is not a pattern"),
    ("FLT-21", {"$or": [{"a": [1]}, {}]}, ("$or", 1), "an empty object says nothing"),
    ("FLT-21", {"$or": [{"a": [1]}, {"b": 2}]}, ("$or", 1, "b"), "2 stands outside a list"),
    ("FLT-21", {"a": {"$or": [{"b": [1]}, {"c": []}]}}, ("a", "$or", 1, "c"), "the list is empty"),
    (
        "FLT-21",
        {"a": {"$or": [{"b": [1]}, {"numeric": [">", 1]}]}},
        ("a", "$or", 1, "numeric"),
        "'numeric' is an operator",
    ),
    (
        "FLT-21",
        {k: {"$or": [{"x": [i]} for i in range(11)]} for k in ("a", "b", "c")},
        (),
        "$or makes too many combinations here",
    ),
]
