"""What is in our hands, with the newest receipts, and the bytes of the process (SQS-27)."""

from poller.core.budget import ByteBudget
from poller.core.held import Held
from tests.unit.core.machine import batch, ids, message


def holding(*messages: tuple, limit: int = 1000) -> tuple[Held, ByteBudget]:
    budget = ByteBudget(limit)
    held = Held(budget)
    held.take({one.id: one for one in messages})
    return held, budget


def test_bytes_are_taken_and_given_back() -> None:
    """SQS-2: exactly the bytes that were taken."""
    a, b = message("a", size=700), message("b", size=300)
    held, budget = holding(a, b)
    assert (budget.used, budget.has_room, len(held)) == (1000, False, 2)
    held.forget((a,))
    assert (budget.used, budget.has_room) == (300, True)
    assert "a" not in held
    assert "b" in held
    held.forget_all()
    assert (budget.used, len(held), held.oldest_received_at) == (0, 0, None)


def test_a_message_that_comes_again_has_its_newest_receipt() -> None:
    """SQS-27: everywhere from now on, in batches that were formed before too."""
    a, b = message("a"), message("b")
    held, budget = holding(a, b)
    formed = batch(a, b)
    assert held.refreshed(formed) is formed
    held.take_again(message("a", receipt="a#2", receive_count=2, size=105, lease_until=60.0, received_at=31.0))
    fresh = held.refreshed(formed)
    assert [one.receipt for one in fresh.messages] == ["a#2", "b#1"]
    assert [one.receipt for one in held.newest((a, b))] == ["a#2", "b#1"]
    held.forget(formed.messages)
    assert budget.used == 0
    other = batch(message("c"))
    held.take({"c": other.messages[0]})
    assert held.refreshed(other) is other


def test_what_left_is_forgotten_with_its_receipts() -> None:
    """SQS-27, SQS-9: else the ids of all that the heartbeat ever extended would stay for good."""
    a = message("a")
    held, _ = holding(a)
    held.extend(["a"], 90.0)
    held.forget((a,))
    held.take({"a": a})
    formed = batch(a)
    assert held.refreshed(formed) is formed


def test_what_waits_longest_is_known() -> None:
    """SQS-27: a message that comes again has been ours since it came first."""
    a, b = message("a", received_at=5.0), message("b", received_at=7.0)
    held, _ = holding(a, b)
    held.take_again(message("a", receipt="a#2", received_at=40.0))
    assert held.oldest_received_at == 5.0
    held.forget((a,))
    assert held.oldest_received_at == 7.0


def test_stale_is_what_is_past_its_lease() -> None:
    """SQS-23: at the very second a lease still holds, later it does not."""
    a, b = message("a", lease_until=10.0), message("b", lease_until=20.0)
    held, _ = holding(a, b)
    assert held.stale((a, b), 10.0) == ()
    assert ids(held.stale((a, b), 10.001)) == ["a"]
    assert held.lease_until(batch(a, b)) == 10.0


def test_the_heartbeat_moves_leases() -> None:
    """SQS-9: ids that are gone by now are passed over."""
    a = message("a", lease_until=10.0)
    held, _ = holding(a)
    formed = batch(a)
    held.extend(("gone", "a"), 99.0)
    assert held.lease_until(formed) == held.refreshed(formed).lease_until == 99.0
    assert held.stale((a,), 50.0) == ()
