"""Judged mutants of what the core does about filters; what a judgement is, survivors.py says."""

from typing import Final

from tests.planted.reasons import FIGURE, SHORT_CUT

_REST = "if not ok or not self._rest:"
_EXACTLY = "exact = type(value) is int and -EXACT < value < EXACT"
_FOUND = "if found & bit != bit and predicate(value):"
_HERE = "here = [(bit, constraint.operators) for bit, constraint in constraints if len(constraint.steps) == depth]"
_BELOW = "below = [(bit, constraint) for bit, constraint in constraints if len(constraint.steps) > depth]"
_LEAF = "self.leaf = self.leaves[0] if len(self.leaves) == 1 and not self.children else None"
_DOTTED = "for end in range(depth + 2, len(constraint.steps) + 1)"
_UNDOTTED = "if self.dotted and not fields.keys().isdisjoint(self.dotted):"
_CONCERNED = "if not ok & concerned:  # every way that looks at it is out already"
_MATCHED = "for found, leaf in zip(matched, self.leaves, strict=True):"
_LAYER = "index = next((index for index, bits in enumerate(seen) if not bits & pair[0]), len(seen))"
_NEW_LAYER = "if index == len(seen):"
_MERGING = "if type(first) is dict and type(second) is dict and depth < _MERGED_LEVELS:"
_MERGED = "plain[name] = _merged(plain[name], found, 0) if name in plain else found"
_NO_FEWER = "every constraint that comes to a field has as many steps at least as lead to it"
_MORE_LAYERS = "more layers say the same: what has no list there lets every way pass"
_DEEPER = "no pattern looks so deep"
_KEY = "if isinstance(value, int) and -EXACT < value < EXACT:"
_ONE_PART = "return lambda value: value == parts[0]"
_EXACT = "EXACT: Final = 10**15"
_MILLIONTHS = "MILLIONTHS: Final = 1_000_000"
_ADDRESS = "_ADDRESS: Final = 45  # characters of the longest IPv6 address"
_SAME_PARTS = "record and pattern are counted in the same parts, of which a millionth has one"
_EQUAL = "a Decimal of that value is the same key"
_WHOLE_NUMBER = "return int(digits) if len(digits) < _MOST_DIGITS else float(digits)"
_LEVELS = "if len(steps) > _MAX_LEVELS or len(path) > _MAX_LEVELS:"
_CHOICE_LEVELS = "if len(path) > _MAX_LEVELS:"
_CONSTRAINTS = "if sum(count // len(factor) * sum(map(len, factor)) for factor in factors) > _MAX_CONSTRAINTS:"
_FACTORS = "return factors[0] if len(factors) == 1 else _multiplied(factors, path)"
_KIND = 'kind = Prefix if name == "prefix" else Suffix'
_LOW = 'low = bound + (sign == ">")'
_HIGH = 'high = bound - (sign == "<")'
_BEYOND = "a number of so many digits is beyond what a pattern may have, read either way"
_LIMIT = "a limit of ours, far above what 4,096 characters come to; that there is one is tested"
_ITEM = (
    'if source is not SourceKind.DYNAMODB or len(steps) < 3 or steps[0] != "dynamodb" or steps[1] not in _ITEMS:'
)
_NOT_THERE = "fields of another source, or with fewer names, are let through by what is asked next"

JUDGED: Final[dict[tuple[str, str, str], str]] = {
    ("filter_match", _HERE, _HERE.replace("==", "<=")): _NO_FEWER,
    ("filter_match", _BELOW, _BELOW.replace(">", "!=")): _NO_FEWER,
    ("filter_match", _LEAF, _LEAF.replace("[0]", "[ -1]")): "there is one",
    ("filter_match", _DOTTED, _DOTTED.replace("depth + 2", "depth - 2")): SHORT_CUT,
    ("filter_match", _DOTTED, _DOTTED.replace("depth + 2", "depth + 1")): SHORT_CUT,
    ("filter_match", _DOTTED, _DOTTED.replace(") + 1", ") + 2")): "it names the last of them twice",
    ("filter_match", _UNDOTTED, _UNDOTTED.replace(" and ", " or ")): SHORT_CUT,
    ("filter_match", _CONCERNED, _CONCERNED.replace("&", "|")): SHORT_CUT,
    ("filter_match", _MATCHED, _MATCHED.replace("True", "False")): "both have as many by their making",
    ("filter_match", _LAYER, _LAYER.replace("&", "|")): _MORE_LAYERS,
    ("filter_match", _NEW_LAYER, _NEW_LAYER.replace("==", "<=")): _MORE_LAYERS,
    ("filter_match", _NEW_LAYER, _NEW_LAYER.replace("==", ">=")): "no place is behind the last",
    ("filter_match", "seen.append(0)", "seen.append( 1)"): _MORE_LAYERS,
    ("filter_match", "seen.append(0)", "seen.append( -1)"): _MORE_LAYERS,
    ("filter_match", _MERGING, _MERGING.replace("<", "!=")): _DEEPER,
    ("filter_match", _MERGING, _MERGING.replace("<", "<=")): _DEEPER,
    ("filter_match", _MERGED, _MERGED.replace("0)", "1)")): _DEEPER,
    ("filter_match", _MERGED, _MERGED.replace("0)", "-1)")): _DEEPER,
    ("filter_match", "look_below | continue", "look_below | pass"): SHORT_CUT,
    ("filter", _REST, _REST.replace(" or ", " and ")): SHORT_CUT,
    ("filter_leaf", _EXACTLY, _EXACTLY.replace("-EXACT <", "-EXACT ==")): SHORT_CUT,
    ("filter_leaf", _EXACTLY, _EXACTLY.replace("value <", "value ==")): SHORT_CUT,
    ("filter_leaf", _EXACTLY, _EXACTLY.replace("-EXACT <", "-EXACT <=")): SHORT_CUT,
    ("filter_leaf", _EXACTLY, _EXACTLY.replace("value <", "value <=")): SHORT_CUT,
    ("filter_leaf", _EXACTLY, _EXACTLY.replace("-EXACT", "EXACT")): SHORT_CUT,
    ("filter_leaf", _FOUND, _FOUND.replace("!=", "<=")): SHORT_CUT,
    ("filter_operators", _KEY, _KEY.replace("-EXACT <", "-EXACT ==")): _EQUAL,
    ("filter_operators", _KEY, _KEY.replace("value <", "value ==")): _EQUAL,
    ("filter_operators", _KEY, _KEY.replace("-EXACT <", "-EXACT <=")): _EQUAL,
    ("filter_operators", _KEY, _KEY.replace("value <", "value <=")): _EQUAL,
    ("filter_operators", _KEY, _KEY.replace("-EXACT", "EXACT")): _EQUAL,
    ("filter_operators", _EXACT, _EXACT.replace("**", "*")): _EQUAL,
    ("filter_operators", _EXACT, _EXACT.replace("10", "9")): _EQUAL,
    ("filter_operators", _EXACT, _EXACT.replace("15", " 14")): _EQUAL,
    ("filter_operators", "if len(parts) == 1:", "if len(parts) <= 1:"): "there is one at least",
    ("filter_operators", _ONE_PART, _ONE_PART.replace("[0]", "[ -1]")): "there is one",
    ("filter_operators", _MILLIONTHS, _MILLIONTHS.replace("1_000_000", "1000001")): _SAME_PARTS,
    ("filter_operators", _MILLIONTHS, _MILLIONTHS.replace("1_000_000", "999999")): _SAME_PARTS,
    ("filter_operators", _ADDRESS, _ADDRESS.replace("45", "46")): "what is longer is none for its reader, too",
    ("filter_pattern", _WHOLE_NUMBER, _WHOLE_NUMBER.replace("<", "<=")): _BEYOND,
    ("filter_pattern", _LEVELS, _LEVELS.replace("len(path) >", "len(path) ==")): _LIMIT,
    ("filter_pattern", _LEVELS, _LEVELS.replace("len(path) >", "len(path) >=")): _LIMIT,
    ("filter_pattern", _CHOICE_LEVELS, _CHOICE_LEVELS.replace(">", ">=")): _LIMIT,
    ("filter_pattern", _CONSTRAINTS, _CONSTRAINTS.replace(">", ">=")): _LIMIT,
    ("filter_pattern", _FACTORS, _FACTORS.replace("== 1", "<= 1")): "there is one at least",
    ("filter_pattern", _FACTORS, _FACTORS.replace("[0]", "[ -1]")): "there is one",
    ("filter_pattern", _FACTORS, _FACTORS.replace("== 1", "== 0")): _LIMIT,
    ("filter_alternatives", _KIND, _KIND.replace("==", "<=")): "the other one sorts behind it",
    ("filter_alternatives", 'case "=" if len(value) == 2:', 'case "=" if len(value) <= 2:'): "it is 2 or 4",
    ("filter_alternatives", _LOW, _LOW.replace("==", "<=")): "the other one sorts behind it",
    ("filter_alternatives", _HIGH, _HIGH.replace("==", "<=")): "the other one sorts behind it",
    (
        "filter_alternatives",
        'if previous == "*":',
        'if previous >= "*":',
    ): "it is that or nothing, which sorts before it",
    ("filter_alternatives", "super().__init__(found)", "pass"): "nobody reads the exception's own text",
    ("mapping_filters", "plain_data_patterns | return", "plain_data_patterns | pass"): SHORT_CUT,
    ("filter_advice", "if len(steps) == 3:", "if len(steps) <= 3:"): "there are no fewer",
    ("filter_advice", _ITEM, _ITEM.replace("DYNAMODB or", "DYNAMODB and")): _NOT_THERE,
    ("filter_advice", _ITEM, _ITEM.replace("3 or", "3 and")): _NOT_THERE,
    ("filter_advice", _ITEM, _ITEM.replace("< 3", "< 2")): _NOT_THERE,
}

LINES: Final[dict[tuple[str, str], str]] = {
    ("filter_match", "_MERGED_LEVELS: Final = 100"): "patterns go no deeper, and have names above",
    ("filter_pattern", "_MOST_DIGITS: Final = 1_000"): _BEYOND,
    (
        "filter_pattern",
        "_MAX_CONSTRAINTS: Final = 20_000  # of all ways together: keeps the reading of any pattern short",
    ): FIGURE,
}
