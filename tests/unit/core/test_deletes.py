"""Which delete goes out when (SQS-20, SQS-26, SQS-27)."""

import pytest

from poller.core.deletes import Deletes
from poller.core.model import Message
from tests.unit.core.machine import Middle, ids, message

LONG = 1000.0


def some(count: int, first: int = 1) -> tuple[Message, ...]:
    return tuple(message(f"m{place}") for place in range(first, first + count))


def standard() -> Deletes:
    return Deletes(eager=False, random=Middle())


def answer(
    deletes: Deletes, call: tuple[Message, ...], *failed: str, now: float = 0.0, lease: float = LONG
) -> tuple:
    refused = tuple(one for one in call if one.id in failed)
    done, given_up = deletes.answered(call, refused, dict.fromkeys(failed, lease), now)
    return ids(done), ids(given_up)


def test_at_most_ten_in_a_call_and_never_none() -> None:
    """SQS-20: twenty-three are three calls, and then there is none."""
    deletes = Deletes(eager=True, random=Middle())
    deletes.acknowledge(some(23))
    calls = []
    while call := deletes.next_call(0.0):
        calls.append(len(call))
    assert calls == [10, 10, 3]
    assert deletes.next_call(0.0) == ()
    assert len(deletes) == 23


def test_an_id_is_once_in_a_call() -> None:
    """SQS-20: acknowledged twice, deleted once."""
    deletes = standard()
    deletes.acknowledge(some(2))
    deletes.acknowledge(some(2))
    assert ids(deletes.next_call(0.0)) == ["m1", "m2"]


def test_small_batches_share_calls_while_one_is_under_way() -> None:
    """SQS-20: an idle queue deletes at once, a busy one in tens."""
    deletes = standard()
    deletes.acknowledge(some(1))
    first = deletes.next_call(0.0)
    assert ids(first) == ["m1"]
    deletes.acknowledge(some(8, 2))
    assert deletes.next_call(0.0) == ()
    deletes.acknowledge(some(3, 10))
    assert len(deletes.next_call(0.0)) == 10
    assert deletes.next_call(0.0) == ()
    assert answer(deletes, first) == (["m1"], [])
    # the other call is still under way
    assert deletes.next_call(0.0) == ()


def test_a_fifo_queue_waits_for_nobody() -> None:
    """FIFO-10: the delete is what frees the group."""
    deletes = Deletes(eager=True, random=Middle())
    deletes.acknowledge(some(1))
    assert deletes.next_call(0.0)
    deletes.acknowledge(some(1, 2))
    assert ids(deletes.next_call(0.0)) == ["m2"]


def test_a_refused_entry_is_tried_again_alone() -> None:
    """SQS-26: the others are done, this one after 0.2 s, doubling."""
    deletes = standard()
    deletes.acknowledge(some(3))
    call = deletes.next_call(0.0)
    assert answer(deletes, call, "m2") == (["m1", "m3"], [])
    assert "m2" in deletes
    assert "m1" not in deletes
    assert deletes.due() == pytest.approx(0.2)
    assert deletes.next_call(0.19) == ()
    call = deletes.next_call(0.2)
    assert ids(call) == ["m2"]
    assert answer(deletes, call, "m2", now=0.2) == ([], [])
    due = deletes.due()
    assert due == pytest.approx(0.6)
    call = deletes.next_call(due)
    assert answer(deletes, call, now=due) == (["m2"], [])
    assert len(deletes) == 0
    assert deletes.due() is None


def test_entries_that_failed_together_are_tried_together() -> None:
    """SQS-26: an outage of the network makes one call of ten, not ten of one."""
    deletes = standard()
    deletes.acknowledge(some(10))
    call = deletes.next_call(0.0)
    answer(deletes, call, *ids(call))
    due = deletes.due()
    assert due is not None
    assert len(deletes.next_call(due)) == 10


def test_it_is_given_up_when_the_lease_ends_before_the_next_attempt() -> None:
    """SQS-26: then the message will come again, and that is told."""
    deletes = standard()
    deletes.acknowledge(some(2))
    call = deletes.next_call(0.0)
    assert answer(deletes, call, "m1", "m2", now=0.0, lease=0.2) == ([], ["m1", "m2"])
    assert len(deletes) == 0
    assert deletes.due() is None


def test_the_pause_is_bounded() -> None:
    """SQS-26: at most 5 s between two attempts, while the lease lasts."""
    deletes = standard()
    deletes.acknowledge(some(1))
    now, pauses = 0.0, []
    for _ in range(8):
        call = deletes.next_call(now)
        answer(deletes, call, "m1", now=now)
        due = deletes.due()
        assert due is not None
        pauses.append(round(due - now, 3))
        now = due
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_the_newest_receipt_is_deleted_with() -> None:
    """SQS-27: also when an older one waits for another attempt."""
    deletes = standard()
    deletes.acknowledge(some(1))
    answer(deletes, deletes.next_call(0.0), "m1")
    deletes.acknowledge((message("m1", receipt="m1#2"),))
    assert deletes.due() is None
    (again,) = deletes.next_call(0.0)
    assert again.receipt == "m1#2"


@pytest.mark.parametrize("failed", [(), ("m1",)])
def test_a_newer_receipt_waits_for_the_older_call(failed: tuple[str, ...]) -> None:
    """SQS-27, SQS-20: an id is never in two calls at once, and the older answer settles nothing."""
    deletes = Deletes(eager=True, random=Middle())
    deletes.acknowledge(some(1))
    call = deletes.next_call(0.0)
    deletes.acknowledge((message("m1", receipt="m1#2"),))
    assert deletes.next_call(0.0) == ()
    assert answer(deletes, call, *failed) == ([], [])
    (again,) = deletes.next_call(0.0)
    assert again.receipt == "m1#2"
    assert answer(deletes, (again,)) == (["m1"], [])
    assert len(deletes) == 0


def test_few_deletes_under_way_are_quiet() -> None:
    """SQS-5: a queue may be called idle while some are under way, but not while one waits or a thousand hang."""
    deletes = Deletes(eager=True, random=Middle())
    assert deletes.quiet
    deletes.acknowledge(some(1_000))
    assert not deletes.quiet
    while deletes.next_call(0.0):
        pass
    assert deletes.quiet
    deletes.acknowledge(some(1, first=1_001))
    deletes.next_call(0.0)
    assert not deletes.quiet


def test_ten_go_out_though_a_call_is_under_way() -> None:
    """SQS-20: a full one has nothing to wait for."""
    deletes = standard()
    deletes.acknowledge(some(1))
    assert len(deletes.next_call(0.0)) == 1
    deletes.acknowledge(some(9, first=2))
    assert deletes.next_call(0.0) == ()
    deletes.acknowledge(some(1, first=11))
    assert len(deletes.next_call(0.0)) == 10


def test_a_failed_entry_may_be_asked_for_late() -> None:
    """SQS-26: a loop that was held up sends it all the same."""
    deletes = standard()
    deletes.acknowledge(some(1))
    answer(deletes, deletes.next_call(0.0), "m1")
    due = deletes.due()
    assert due is not None
    assert ids(deletes.next_call(due + 60.0)) == ["m1"]


def test_what_came_again_says_nothing_about_the_others_of_its_call() -> None:
    """SQS-26, SQS-27: they are tried again, wherever they stood."""
    deletes = standard()
    deletes.acknowledge(some(2))
    call = deletes.next_call(0.0)
    deletes.acknowledge(some(1))
    assert answer(deletes, call, "m1", "m2") == ([], [])
    newer = deletes.next_call(0.0)
    assert ids(newer) == ["m1"]
    answer(deletes, newer)
    due = deletes.due()
    assert due is not None
    assert ids(deletes.next_call(due)) == ["m2"]


@pytest.mark.parametrize("lease", [LONG, 0.0])
def test_the_trouble_of_a_message_ends_with_it(lease: float) -> None:
    """SQS-26: deleted or given up, it may come again, and its failures are counted from one."""
    deletes = standard()
    waits = []
    for _ in range(2):
        deletes.acknowledge(some(1))
        answer(deletes, deletes.next_call(0.0), "m1")
        due = deletes.due()
        assert due is not None
        waits.append(due)
        again = deletes.next_call(due)
        answer(deletes, again, *(["m1"] if lease == 0.0 else []), lease=lease)
        assert len(deletes) == 0
    assert waits[0] == waits[1]
