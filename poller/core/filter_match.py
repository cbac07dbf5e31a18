"""All patterns of a mapping in one tree of fields, so that a value is looked at once for all of them (FLT).

Each way in which a record may pass has a bit. Looking at a value gives two sets of bits: `ok`, the ways that this
value does not rule out, and `held`, those of them that need something which is there. The second is what arrays
need (FLT-23): what a way needs of an array's objects must be in one of them; what it wants to be absent must be
absent there, or, if it needs nothing of them, in all of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from poller.core.filter_leaf import Bits, Leaf, union
from poller.core.filter_operators import Operator
from poller.core.filter_pattern import Constraint, Way

_List: TypeAlias = tuple[Bits, tuple[Operator, ...]]
MISSING: Final = object()
_MERGED_LEVELS: Final = 100


class Node:
    """A field: the lists that ways have for it, and the fields below it."""

    __slots__ = (
        "_looked_for",
        "absent",
        "absent_below",
        "children",
        "dotted",
        "everything",
        "leaf",
        "leaves",
        "lists",
        "lists_below",
    )

    def __init__(self, constraints: Sequence[tuple[Bits, Constraint]], depth: int, everything: Bits) -> None:
        """`lists` and `lists_below` are the ways with a list for this field, and for one below it; `absent` those
        that pass if the field is not there, `absent_below` if nothing is below it.

        `leaf` is set if there is nothing but one. `dotted` are names that skip levels, which a record may have
        instead (FLT-26).
        """
        self.everything: Bits = everything
        here = [(bit, constraint.operators) for bit, constraint in constraints if len(constraint.steps) == depth]
        below = [(bit, constraint) for bit, constraint in constraints if len(constraint.steps) > depth]
        named: dict[str, list[tuple[Bits, Constraint]]] = {}
        for pair in below:
            named.setdefault(pair[1].steps[depth], []).append(pair)
        self.lists = union(bit for bit, _ in here)
        self.lists_below = union(bit for bit, _ in below)
        self.leaves = tuple(Leaf(layer, everything) for layer in _layers(here))
        self.children = tuple((name, Node(pairs, depth + 1, everything)) for name, pairs in named.items())
        self.leaf = self.leaves[0] if len(self.leaves) == 1 and not self.children else None
        self.dotted = frozenset(
            ".".join(constraint.steps[depth:end])
            for _, constraint in below
            for end in range(depth + 2, len(constraint.steps) + 1)
        )
        self._looked_for = tuple(
            (name, child, child.lists | child.lists_below, child.leaf) for name, child in self.children
        )
        self.absent_below: Bits = everything
        for _, child in self.children:
            self.absent_below &= child.absent
        self.absent: Bits = self.absent_below
        for leaf in self.leaves:
            self.absent &= leaf.absent

    def look(self, value: Any) -> tuple[Bits, Bits]:
        """`ok` and `held` for what stands in this field."""
        kind = type(value)
        if kind is dict:
            ok, held = self.look_below(value)
            for leaf in self.leaves:
                ok &= leaf.absent
            return ok, held & ok
        if kind is list:
            return self._look_into(value)
        ok, held = self.absent_below, 0
        for leaf in self.leaves:
            found = leaf.bits(value)
            ok &= found | leaf.free
            held |= found
        return ok, held & ok

    def look_below(self, fields: dict[str, Any]) -> tuple[Bits, Bits]:
        """The same for the fields of an object, whatever is wanted of the object itself."""
        if self.dotted and not fields.keys().isdisjoint(self.dotted):
            fields = _undotted(self, fields)
        ok, held = self.everything, 0
        for name, child, concerned, leaf in self._looked_for:
            if not ok & concerned:  # every way that looks at it is out already
                continue
            value = fields.get(name, MISSING)
            if value is MISSING:
                ok &= child.absent
            elif leaf is not None and type(value) is not dict and type(value) is not list:
                found = leaf.bits(value)  # what `look` would do, and what is done most
                ok &= found | leaf.free
                held |= found
            else:
                found, needed = child.look(value)
                ok &= found
                held |= needed
            if not ok:
                return 0, 0
        return ok, held & ok

    def _look_into(self, values: list[Any]) -> tuple[Bits, Bits]:
        """FLT-23: one object must have all that a way needs of the objects; each list is met by any element."""
        held, none = 0, self.absent_below
        matched = [0] * len(self.leaves)
        plain = False
        for value in _elements(values):
            if type(value) is dict:
                if self.children:
                    ok, needed = self.look_below(value)
                    held |= needed
                    none &= ok & ~needed
                continue
            plain = True
            for index, leaf in enumerate(self.leaves):
                matched[index] |= leaf.bits(value)
        ok = held | none
        for found, leaf in zip(matched, self.leaves, strict=True):
            ok &= found | (leaf.free if plain else leaf.absent)
            held |= found
        return ok, held & ok


def make_tree(ways: Sequence[Way]) -> Node:
    """The tree of these ways; the bit of each is its place, from 0."""
    bits: dict[int, Bits] = {}
    constraints = {id(constraint): constraint for way in ways for constraint in way}
    for index, way in enumerate(ways):
        for constraint in way:
            bits[id(constraint)] = bits.get(id(constraint), 0) | 1 << index
    pairs = [(bits[key], constraint) for key, constraint in constraints.items()]
    return Node(pairs, 0, (1 << len(ways)) - 1)


def _layers(lists: list[_List]) -> list[list[_List]]:
    """Such that no way is twice in one: `$or` beside a field may name the field again, and both must match."""
    layers: list[list[_List]] = []
    seen: list[Bits] = []
    for pair in lists:
        index = next((index for index, bits in enumerate(seen) if not bits & pair[0]), len(seen))
        if index == len(seen):
            seen.append(0)
            layers.append([])
        seen[index] |= pair[0]
        layers[index].append(pair)
    return layers


def _elements(values: list[Any]) -> Iterator[Any]:
    """The elements of an array and of the arrays in it, which count as one; without recursion, however deep."""
    waiting = [iter(values)]
    while waiting:
        for value in waiting[-1]:
            if type(value) is list:
                waiting.append(iter(value))
                break
            yield value
        else:
            waiting.pop()


def _undotted(node: Node, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that the node looks for, `{"a.b": 1, "a": {"c": 2}}` as `{"a": {"b": 1, "c": 2}}` (FLT-26)."""
    wanted = {name for name, _ in node.children}
    plain = {name: fields[name] for name in wanted & fields.keys()}
    within: dict[str, dict[str, Any]] = {}
    for key, value in fields.items():
        name, dot, rest = key.partition(".")
        if dot and name in wanted:
            within.setdefault(name, {})[rest] = value
    for name, found in within.items():
        plain[name] = _merged(plain[name], found, 0) if name in plain else found
    return plain


def _merged(first: Any, second: Any, depth: int) -> Any:
    """Two values of one field: objects become one, anything else is as if it stood in an array."""
    if type(first) is dict and type(second) is dict and depth < _MERGED_LEVELS:
        shared = first.keys() & second.keys()
        return {**first, **second, **{key: _merged(first[key], second[key], depth + 1) for key in shared}}
    return [first, second]
