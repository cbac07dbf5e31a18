"""Judged mutants of what the core makes of a configuration; what a judgement is, survivors.py says."""

from typing import Final

from tests.planted.reasons import FIGURE

_REFUSED = "a number below it was refused before"
_MINIMUM = 'minimum = whole_in(provisioned, "MinimumPollers", 2)'
_MAXIMUM = 'maximum = whole_in(provisioned, "MaximumPollers", 200)'
_SIZE = 'size = whole_in(fields, "BatchSize", 10)'
_NO_MISTAKE = "without the field there is no mistake, with either figure"
_TUMBLING = 'if whole_in(fields, "TumblingWindowInSeconds", 0) <= 0:'
_LANES = 'if whole_in(fields, "ParallelizationFactor", 1) > 1:'
_MICROS = 'micros = int((match[7] or "0").ljust(6, "0")[:6])'
_PASSED_OVER = "what is wrong by itself is told once, whatever the rules across fields say of it"
_NO_WINDOW = "elif 10 < size <= 10_000 and window == 0:"
_FIFO_SIZE = "if 10 < size <= 10_000:"
_FIFO_WINDOW = "if 0 < window <= 300:"
_POLLERS = "if 2 <= maximum < minimum <= 200:"
_IN_WORDS = "either way it is refused, in words that name what is wrong"
_LONGEST = "if len(value) > 10_000:"
_CONSUMER = 'if service == "kinesis" and _CONSUMER.fullmatch(parts[5]):'
_QUEUE_OR_TOPIC = 'what, pattern = ("queue", _QUEUE) if service == "sqs" else ("topic", _TOPIC)'
_SERVICE = 'service = parts[2] if len(parts) > 2 else ""'
_SIMILAR = "similar = difflib.get_close_matches(name[:_SHOWN].casefold(), folded, n=1)"
_MEANT = """\
advice = f"did you mean {folded[similar[0]]}?" if similar else f"known here: {', '.join(sorted(known))}."\
"""

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
    ("mapping_shapes", _SIMILAR, _SIMILAR.replace("n=1", "n= 2")): "the nearest comes first",
    ("mapping_shapes", _MEANT, _MEANT.replace("[0]", "[ -1]")): "there is one",
    ("mapping_rules", _NO_WINDOW, _NO_WINDOW.replace("10_000", "10001")): _PASSED_OVER,
    ("mapping_rules", _FIFO_SIZE, _FIFO_SIZE.replace("10_000", "10001")): _PASSED_OVER,
    ("mapping_rules", _FIFO_WINDOW, _FIFO_WINDOW.replace("300", "301")): _PASSED_OVER,
    ("mapping_rules", _FIFO_WINDOW, _FIFO_WINDOW.replace("0 <", "0 !=")): _PASSED_OVER,
    ("mapping_rules", _POLLERS, _POLLERS.replace("200", "201")): _PASSED_OVER,
    ("mapping_arns", _LONGEST, _LONGEST.replace(">", ">=")): FIGURE,
    ("mapping_arns", _LONGEST, _LONGEST.replace("10_000", "10001")): FIGURE,
    ("mapping_arns", _LONGEST, _LONGEST.replace("10_000", "9999")): FIGURE,
    ("mapping_arns", _CONSUMER, _CONSUMER.replace("==", "<=")): _IN_WORDS,
    ("mapping_arns", _CONSUMER, _CONSUMER.replace("==", ">=")): _IN_WORDS,
    ("mapping_arns", _SERVICE, _SERVICE.replace("> 2", "> 3")): _IN_WORDS,
    ("mapping_arns", _QUEUE_OR_TOPIC, _QUEUE_OR_TOPIC.replace("==", ">=")): "the other one sorts before it",
    (
        "mapping_arns",
        'if kind == "table" and not slash:',
        'if kind >= "table" and not slash:',
    ): _IN_WORDS,
    (
        "mapping_streams",
        "if _LATEST_TIME < value <= _LATEST_TIME * 1_000:",
        "if _LATEST_TIME <= value <= _LATEST_TIME * 1_000:",
    ): "the latest time itself is taken before",
    ("mapping_streams", _TUMBLING, _TUMBLING.replace("<=", "==")): _REFUSED,
    ("mapping_streams", _TUMBLING, _TUMBLING.replace(", 0)", ", -1)")): _NO_MISTAKE,
    ("mapping_streams", _LANES, _LANES.replace("> 1", "!= 1")): _REFUSED,
    ("mapping_streams", _LANES, _LANES.replace(", 1)", ", 0)")): _NO_MISTAKE,
    ("mapping_streams", _MICROS, _MICROS.replace("(6", "( 7")): "six of them are taken",
}

LINES: Final[dict[tuple[str, str], str]] = {}
