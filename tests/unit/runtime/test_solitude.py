"""One invocation with no other beside it (ERR-5)."""

import asyncio

from poller.runtime.solitude import Solitude


async def test_it_waits_for_those_that_run():
    solitude = Solitude()
    solitude.began()
    solitude.began()
    turn = solitude.ask()
    solitude.ended()
    assert not turn.done()
    solitude.ended()
    assert turn.done()
    assert solitude.wanted
    solitude.leave(turn)
    assert not solitude.wanted


async def test_nobody_runs_at_once():
    assert Solitude().ask().done()


async def test_one_after_the_other_then_the_rest():
    solitude, again = Solitude(), []
    first, second = solitude.ask(), solitude.ask()
    solitude.later(lambda: again.append("later"))
    assert first.done()
    assert not second.done()
    solitude.began()
    solitude.leave(first)  # what it did has not ended yet, whatever it says
    assert not second.done()
    solitude.ended()
    assert second.done()
    assert again == []
    solitude.leave(second)
    assert again == ["later"]


async def test_who_does_not_want_it_any_more():
    solitude, again = Solitude(), []
    solitude.began()
    turn = solitude.ask()
    solitude.later(lambda: again.append("later"))
    solitude.leave(turn)
    assert turn.done(), "whoever waits for it goes on"
    assert again == ["later"]
    solitude.leave(turn)
    assert not solitude.wanted


async def test_who_waits_is_cancelled():
    solitude = Solitude()
    solitude.began()
    turn, other = solitude.ask(), solitude.ask()
    waiting = asyncio.ensure_future(turn)
    waiting.cancel()
    solitude.ended()
    assert not other.done(), "it has not left"
    solitude.leave(turn)
    assert other.done()
