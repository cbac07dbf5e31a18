"""Judged mutants of what the core makes of a configuration; what a judgement is, survivors.py says."""

from typing import Final

_REFUSED = "a number below it was refused before"
_MINIMUM = 'minimum = whole_in(provisioned, "MinimumPollers", 2)'
_MAXIMUM = 'maximum = whole_in(provisioned, "MaximumPollers", 200)'
_SIZE = 'size = whole_in(fields, "BatchSize", 10)'
_NO_MISTAKE = "without the field there is no mistake, with either figure"
_TUMBLING = 'if whole_in(fields, "TumblingWindowInSeconds", 0) <= 0:'
_LANES = 'if whole_in(fields, "ParallelizationFactor", 1) > 1:'
_MICROS = 'micros = int((match[7] or "0").ljust(6, "0")[:6])'

JUDGED: Final[dict[tuple[str, str, str], str]] = {
    (
        "mapping",
        "retries=None if retries == -1 else retries,",
        "retries=None if retries <= -1 else retries,",
    ): _REFUSED,
    (
        "mapping",
        "maximum_age=None if age == -1 else float(age),",
        "maximum_age=None if age <= -1 else float(age),",
    ): _REFUSED,
    ("mapping_rules", _MINIMUM, _MINIMUM.replace("2)", "1)")): _NO_MISTAKE,
    ("mapping_rules", _MAXIMUM, _MAXIMUM.replace("200", "201")): _NO_MISTAKE,
    ("mapping_rules", _SIZE, _SIZE.replace("10", "9")): _NO_MISTAKE,
    ("mapping_streams", _TUMBLING, _TUMBLING.replace("<=", "==")): _REFUSED,
    ("mapping_streams", _TUMBLING, _TUMBLING.replace(", 0)", ", -1)")): _NO_MISTAKE,
    ("mapping_streams", _LANES, _LANES.replace("> 1", "!= 1")): _REFUSED,
    ("mapping_streams", _LANES, _LANES.replace(", 1)", ", 0)")): _NO_MISTAKE,
    ("mapping_streams", _MICROS, _MICROS.replace("(6", "( 7")): "six of them are taken",
}

LINES: Final[dict[tuple[str, str], str]] = {}
