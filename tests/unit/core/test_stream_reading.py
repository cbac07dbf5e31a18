"""Which read goes out next, and what of an answer is new (STR-11, STR-24, STR-25, STR-28)."""

import pytest

from poller.core.model import Instant, SourceKind, SourceProblem
from poller.core.records import TRIM_HORIZON, Page, Position, PositionKind, Record, after
from poller.core.stream_messages import Fetch, Gap
from poller.core.stream_reading import BELIEVED, Reading
from tests.unit.core.machine import Middle
from tests.unit.core.stream_machine import CHILD, numbers, record, some_records, wall

KINESIS, DYNAMODB = SourceKind.KINESIS, SourceKind.DYNAMODB
PIN = wall(-100.0)
LATEST = Position(PositionKind.LATEST, timestamp=PIN)
AT_PIN = Position(PositionKind.AT_TIMESTAMP, timestamp=PIN)
START = Instant(wall(0.0), 0.0)
OTHERS = [
    SourceProblem.THROTTLED,
    SourceProblem.DENIED,
    SourceProblem.CREDENTIALS,
    SourceProblem.UNREACHABLE,
    SourceProblem.SERVER,
]


def reading_of(start: Position = TRIM_HORIZON, source: SourceKind = KINESIS, *, fresh: bool = False) -> Reading:
    return Reading(start, source, Middle(), fresh=fresh)


def page(iterator: str | None = "next", behind: float | None = 5.0) -> Page:
    return Page([], iterator, behind, 100, (CHILD,) if iterator is None else ())


def read(
    reading: Reading,
    *records: Record,
    iterator: str | None = "next",
    behind: float | None = 5.0,
    at: float = 0.0,
) -> tuple[list[int], int]:
    """One read that goes out and comes back: the numbers that are new, and how many of these are too old."""
    reading.begin(Instant(wall(at), at), 10)
    reading.fetched(page(iterator, behind), len(records))
    new, older = reading.new(list(records))
    assert [one.offset for one in new] == list(range(new[0].offset, new[0].offset + len(new))) if new else True
    return numbers(tuple(new)), older


def fail(reading: Reading, problem: SourceProblem, iterator: str | None = None) -> None:
    order = reading.begin(START, 10)
    reading.failed(problem, iterator or order.iterator, 0.0)


def asks(reading: Reading) -> tuple[str | None, Position]:
    """What the next read asks for."""
    order = reading.begin(START, 10)
    reading.under_way = False
    return order.iterator, order.position


# --- where the first read begins ---


@pytest.mark.parametrize("source", [KINESIS, DYNAMODB])
@pytest.mark.parametrize("start", [TRIM_HORIZON, after("55")])
def test_a_stored_position_is_where_it_begins(source: SourceKind, start: Position) -> None:
    """STR-14, STR-31, STR-10: whatever StartingPosition says."""
    reading = reading_of(start, source)
    assert reading.begin(START, 10) == Fetch(None, start, 10, 10.0)
    assert not reading.passing_over


@pytest.mark.parametrize("source", [KINESIS, DYNAMODB])
def test_latest_is_asked_for_once(source: SourceKind) -> None:
    """STR-11: by the process that pinned it; from the first answer on the pin says where to begin again."""
    reading = reading_of(LATEST, source, fresh=True)
    assert asks(reading) == (None, LATEST)
    assert not reading.positioned
    fail(reading, SourceProblem.THROTTLED)
    assert asks(reading) == (None, LATEST)
    assert not reading.positioned
    assert read(reading) == ([], 0)
    assert reading.positioned
    assert asks(reading) == ("next", AT_PIN)


@pytest.mark.parametrize("problem", [SourceProblem.THROTTLED, SourceProblem.UNREACHABLE])
def test_latest_is_where_the_first_iterator_stands(problem: SourceProblem) -> None:
    """STR-11: also when the read with it failed; a second one would stand behind what came meanwhile."""
    reading = reading_of(LATEST, fresh=True)
    fail(reading, problem, "first")
    assert asks(reading) == ("first", AT_PIN)
    fail(reading, SourceProblem.EXPIRED)
    assert asks(reading) == (None, AT_PIN)


@pytest.mark.parametrize("source", [KINESIS, DYNAMODB])
def test_latest_after_a_restart_is_a_time(source: SourceKind) -> None:
    """STR-11, STR-13: it is never resolved again."""
    reading = reading_of(LATEST, source)
    assert asks(reading) == (None, AT_PIN)
    assert reading.passing_over == (source is DYNAMODB)


def test_kinesis_finds_the_time_itself() -> None:
    """STR-13: what it brings is not looked at again, whatever arrival it has."""
    reading = reading_of(AT_PIN)
    assert read(reading, record(1, at=-1e5), record(2, offset=1)) == ([1, 2], 0)


def test_dynamodb_begins_at_the_horizon_and_passes_over() -> None:
    """STR-11: records a minute older than the pin; as soon as one is not, nothing more is passed over."""
    reading = reading_of(LATEST, DYNAMODB)
    old = [record(n, offset=n, at=-160.001) for n in range(3)]
    assert read(reading, *old, behind=None) == ([0, 1, 2], 3)
    assert reading.passing_over
    mixed = (record(3, offset=3, at=-200.0), record(4, offset=4, at=-160.0), record(5, offset=5, at=-300.0))
    assert read(reading, *mixed, behind=None) == ([3, 4, 5], 1)
    assert not reading.passing_over
    assert read(reading, record(6, offset=6, at=-300.0), behind=None) == ([6], 0)


def test_empty_reads_do_not_end_the_passing_over() -> None:
    """STR-11, STR-26: older records may come behind any number of them; a newer one ends it."""
    reading = reading_of(LATEST, DYNAMODB)
    read(reading, record(1, at=-500.0), behind=None)
    for _ in range(3 * BELIEVED):
        read(reading, behind=None)
    assert reading.passing_over
    assert read(reading, record(2, at=-400.0), record(3, offset=1), behind=None) == ([2, 3], 1)
    assert not reading.passing_over


def test_an_expired_iterator_of_latest_on_dynamodb() -> None:
    """STR-11, STR-24: before any record was read; the horizon is where it begins again, and what is old is old."""
    reading = reading_of(LATEST, DYNAMODB, fresh=True)
    assert read(reading, behind=None) == ([], 0)
    fail(reading, SourceProblem.EXPIRED)
    assert asks(reading) == (None, AT_PIN)
    assert reading.passing_over
    assert read(reading, record(1, at=-500.0), record(2, offset=1), behind=None) == ([1, 2], 1)


def test_an_expired_iterator_of_latest_on_kinesis() -> None:
    """STR-11, STR-24: the pin is where it begins again."""
    reading = reading_of(LATEST, fresh=True)
    read(reading)
    fail(reading, SourceProblem.EXPIRED)
    assert asks(reading) == (None, AT_PIN)
    assert read(reading, record(1, at=-500.0)) == ([1], 0)


# --- what is new ---


def test_it_goes_on_behind_what_was_read() -> None:
    """STR-24, STR-28: recipe 10; after the last record in memory, and sequence numbers grow in length."""
    reading = reading_of()
    assert read(reading, *some_records(98, 99)) == ([98, 99], 0)
    assert asks(reading) == ("next", after("99"))
    assert read(reading, *some_records(100, 101)) == ([100, 101], 0)
    fail(reading, SourceProblem.EXPIRED)
    assert asks(reading) == (None, after("101"))


def test_what_was_read_before_is_not_read_again() -> None:
    """STR-1, STR-28: an iterator that brings the record that it begins after; by value, offsets without a gap."""
    reading = reading_of(after("99"))
    records = [record(n, offset=7 + place) for place, n in enumerate([98, 99, 100, 1000])]
    reading.begin(START, 10)
    reading.fetched(page(), 4)
    new, older = reading.new(records)
    assert [(one.sequence, one.offset) for one in new] == [("100", 7), ("1000", 8)]
    assert older == 0
    assert read(reading, record(1000, offset=9), record(1001, offset=10)) == ([1001], 0)
    assert read(reading, record(1001, offset=10)) == ([], 0)
    assert asks(reading) == ("next", after("1001"))


def test_numbers_are_not_compared_as_text() -> None:
    """STR-28: "9" is less than "10", in each place where they meet."""
    reading = reading_of(after("9"))
    assert read(reading, *some_records(10, 11)) == ([10, 11], 0)
    assert read(reading, *some_records(100)) == ([100], 0)
    assert reading.next_sequence == "101"
    late = reading_of(after("10"))
    assert read(late, *some_records(9, 10, 11)) == ([11], 0)


def test_a_record_without_a_number_is_not_lost() -> None:
    """GEN-2, STR-28: it stands behind what was read before it, and moves the position no further."""
    reading = reading_of(after("99"))
    assert read(reading, record(0), record(100, offset=1), record(100, offset=2)) == ([99, 100, 100], 0)
    assert read(reading, record(0, offset=3)) == ([100], 0)
    assert asks(reading) == ("next", after("100"))


def test_what_is_beyond_everything_read() -> None:
    """STR-42: before the first record too."""
    assert reading_of().next_sequence == "1"
    assert reading_of(after("7")).next_sequence == "8"


# --- the tip, and the end ---


@pytest.mark.parametrize(
    ("behind", "count", "tip"),
    [
        (0.0, 0, True),
        (0.0, 5, True),
        (0.0, 10_000, False),
        (3.0, 0, False),
        (3.0, 5, False),
    ],
)
def test_where_the_tip_is(behind: float, count: int, tip: bool) -> None:
    """STR-20, STR-26: an empty read may stand before more, a full one mostly does."""
    reading = reading_of()
    reading.begin(Instant(wall(10.0), 10.0), 10)
    reading.fetched(page(behind=behind), count)
    assert reading.tip_at == (wall(10.0) if tip else None)
    assert reading.tips == int(tip and count == 0)
    assert reading.due == (11.0 if tip else 10.25)
    assert reading.behind == behind


def test_where_the_tip_is_believed_to_be() -> None:
    """STR-26, TMB-7: DynamoDB does not tell, and its empty reads may stand amid a backlog. Of many in a
    row the first saw the tip; they come at the pace of the tip all the same.
    """
    reading = reading_of(source=DYNAMODB)
    for second in range(BELIEVED - 1):
        read(reading, behind=None, at=float(second))
        assert (reading.tip_at, reading.tips, reading.due) == (None, 0, second + 0.25)
    for more in range(3):
        read(reading, behind=None, at=100.0 + more)
        assert (reading.tip_at, reading.tips) == (wall(float(more)), 1 + more)
    read(reading, record(1), behind=None, at=200.0)
    assert (reading.tip_at, reading.tips, reading.due) == (wall(2.0), 0, 200.1)


@pytest.mark.parametrize("between", ["a record", "a failure"])
def test_what_ends_a_row_of_empty_reads(between: str) -> None:
    """STR-26."""
    reading = reading_of(source=DYNAMODB)
    for _ in range(BELIEVED - 1):
        read(reading, behind=None)
    if between == "a record":
        read(reading, record(1), behind=None)
    else:
        fail(reading, SourceProblem.THROTTLED)
    for _ in range(BELIEVED - 1):
        read(reading, behind=None)
    assert (reading.tip_at, reading.tips) == (None, 0)
    read(reading, behind=None)
    assert reading.tips == 1


def test_reads_of_the_tip_in_a_row() -> None:
    """STR-26: records and failures end the row."""
    reading = reading_of()
    for tips in (1, 2, 3):
        read(reading, behind=0.0)
        assert reading.tips == tips
    read(reading, record(1), behind=0.0)
    assert reading.tips == 0
    read(reading, behind=0.0)
    fail(reading, SourceProblem.THROTTLED)
    assert reading.tips == 0


def test_one_read_at_a_time_and_none_after_the_end() -> None:
    """STR-1, STR-4: a null iterator is the end, and names the children."""
    reading = reading_of()
    assert reading.due == 0.0
    reading.begin(START, 10)
    assert reading.due is None
    reading.fetched(page(iterator=None), 3)
    assert (reading.ended, reading.children, reading.due) == (True, (CHILD,), None)


@pytest.mark.parametrize(("source", "limit"), [(KINESIS, 10_000), (DYNAMODB, 1_000)])
def test_the_most_of_one_read(source: SourceKind, limit: int) -> None:
    """STR-21."""
    assert reading_of(source=source).limit == limit


def test_what_does_not_come_in_time_is_asked_for_in_smaller_pieces() -> None:
    """STR-23: ten megabytes do not come within ten seconds over a thin line, and two hundred shards that catch up
    share one. The same read again and again would keep the shard where it is for ever.
    """
    reading = reading_of()
    limits = []
    for _ in range(6):
        fail(reading, SourceProblem.UNREACHABLE, "it")
        limits.append(reading.limit)
    assert limits == [1_000, 100, 10, 1, 1, 1]
    for number in range(1, 20):
        read(reading, record(number))
        limits.append(reading.limit)
    assert limits[6:9] == [2, 4, 8]
    assert limits[-1] == 10_000


@pytest.mark.parametrize("problem", [one for one in OTHERS if one is not SourceProblem.UNREACHABLE])
def test_nothing_else_makes_reads_smaller(problem: SourceProblem) -> None:
    reading = reading_of()
    fail(reading, problem, "it")
    assert reading.limit == 10_000


def test_a_small_read_that_is_full_is_not_the_tip() -> None:
    """STR-20."""
    reading = reading_of()
    for _ in range(4):
        fail(reading, SourceProblem.UNREACHABLE, "it")
    read(reading, record(1), behind=0.0)
    assert reading.tip_at is None


# --- failures ---


@pytest.mark.parametrize("problem", OTHERS)
def test_a_failure_skips_nothing(problem: SourceProblem) -> None:
    """STR-23, ERR-3: the same iterator again."""
    reading = reading_of()
    read(reading, record(5))
    fail(reading, problem)
    assert asks(reading) == ("next", after("5"))


@pytest.mark.parametrize("problem", [SourceProblem.EXPIRED, SourceProblem.REFUSED, SourceProblem.MISSING])
def test_a_lost_iterator_is_got_anew(problem: SourceProblem) -> None:
    """STR-24: for the same place, never for StartingPosition; also where a server does not know it any more."""
    reading = reading_of()
    read(reading, record(5))
    fail(reading, problem)
    assert asks(reading) == (None, after("5"))
    read(reading, iterator="another")
    assert asks(reading) == ("another", after("5"))


@pytest.mark.parametrize("start", [TRIM_HORIZON, after("5")])
def test_an_iterator_that_expires_before_any_record(start: Position) -> None:
    """STR-24: where it began."""
    reading = reading_of(start)
    read(reading)
    fail(reading, SourceProblem.EXPIRED)
    assert asks(reading) == (None, start)


def test_a_trimmed_place_gives_way() -> None:
    """STR-25: to the oldest that is left; the loss is told once, with the first record behind it."""
    reading = reading_of(after("5"))
    fail(reading, SourceProblem.TRIMMED)
    assert asks(reading) == (None, TRIM_HORIZON)
    fail(reading, SourceProblem.TRIMMED)
    read(reading)
    assert reading.gap([]) is None
    records = [record(9)]
    assert reading.gap(records) == Gap(after("5"), "9")
    assert reading.gap(records) is None
    assert reading.new(records) == (records, 0)


def test_a_trimmed_place_and_nothing_behind_it() -> None:
    """STR-25: told at the end of the shard."""
    reading = reading_of(after("5"))
    fail(reading, SourceProblem.TRIMMED)
    read(reading, iterator=None)
    assert reading.gap([]) == Gap(after("5"), "")


def test_the_horizon_itself_is_trimmed() -> None:
    """STR-25: nothing that anybody had promised is lost."""
    reading = reading_of()
    fail(reading, SourceProblem.TRIMMED)
    read(reading, iterator=None)
    assert reading.gap([record(1)]) is None


def test_the_iterator_of_a_trimmed_place_is_not_used_again() -> None:
    """STR-25: the read itself may say so, with an iterator that was good when it was got."""
    reading = reading_of(after("5"))
    fail(reading, SourceProblem.TRIMMED, iterator="stands before what is gone")
    assert asks(reading) == (None, TRIM_HORIZON)
