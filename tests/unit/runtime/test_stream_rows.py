"""Rows of shards: taken, written and given back by compare-and-set, whatever became of an answer."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from poller.core.cleanup import Lost
from poller.core.leases import Lease, ended, new_lease, taken
from poller.core.records import TRIM_HORIZON, Progress, Shard, after
from poller.errors import StoreError
from poller.runtime.stream_rows import HeldRow, StreamRows
from tests.unit.runtime.stream_rig import Store

APP = "uuid-of-clicks"


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def rows(store: Store) -> StreamRows:
    return StreamRows(store, APP, "me")


def lease(key: str = "one") -> Lease:
    return new_lease(Shard(key), TRIM_HORIZON)


async def held(rows: StreamRows, key: str = "one") -> HeldRow:
    await rows.create([lease(key)])
    row = await rows.take(key)
    assert row is not None
    return row


def lose_answer(store: Store, times: int = 1) -> None:
    """The next writes are done, and nobody is told."""
    left = times

    def fail(what: str, lease: Lease) -> None:
        nonlocal left
        if what == "swap" and left:
            left -= 1
            raise StoreError("planted: no answer")

    store.after = fail


async def test_rows_that_exist_stay_as_they_are(rows: StreamRows, store: Store):
    """STR-14."""
    assert await rows.create([lease("one"), lease("two")])
    store.poke(replace(store.row("one"), checkpoint="17"))
    assert not await rows.create([lease("one"), lease("three")])
    assert store.row("one").checkpoint == "17"
    await rows.read()
    assert {key: row.checkpoint for key, row in rows.rows.items()} == {
        "one": "17",
        "two": "TRIM_HORIZON",
        "three": "TRIM_HORIZON",
    }


class SlowStore(Store):
    """Creates a row when it is told to, or fails."""

    def __init__(self) -> None:
        super().__init__()
        self.told = {key: asyncio.get_running_loop().create_future() for key in ("one", "two")}

    async def create(self, app: str, lease: Lease) -> bool:
        await self.told[lease.key]
        return await super().create(app, lease)


async def turns(count: int) -> None:
    """So many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_store_that_fails_hides_no_cancellation():
    """Promise 4: who is told to end at the moment at which the store fails does end."""
    store = SlowStore()
    creating = asyncio.create_task(StreamRows(store, APP, "me").create([lease("one"), lease("two")]))
    await turns(2)
    store.told["one"].set_exception(StoreError("planted: no answer"))
    await turns(1)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating


async def test_a_store_that_fails_is_told_when_nothing_is_under_way_any_more():
    """STR-6: what was asked for before is not written when rows are read, and judged, again."""
    store = SlowStore()
    creating = asyncio.create_task(StreamRows(store, APP, "me").create([lease("one"), lease("two")]))
    await turns(2)
    store.told["one"].set_exception(StoreError("planted: no answer"))
    await turns(10)
    assert not creating.done()
    store.told["two"].set_result(None)
    with pytest.raises(StoreError):
        await creating
    assert store.row("two")


async def test_a_row_is_taken_from_whoever_had_it(rows: StreamRows, store: Store):
    await rows.create([lease()])
    store.poke(taken(store.row("one"), "somebody else", "theirs"))
    row = await rows.take("one")
    assert row is not None
    assert (store.row("one").owner, store.row("one").tenure) == ("me", row.lease.tenure)
    assert row.lease.tenure != "theirs"
    assert rows.rows["one"] == row.lease == store.row("one")


async def test_a_row_that_is_not_there_cannot_be_taken(rows: StreamRows, store: Store):
    await rows.create([lease()])
    del store._apps[APP]["one"]
    assert await rows.take("one") is None
    assert rows.rows == {}


async def test_each_tenure_has_a_word_of_its_own(rows: StreamRows):
    first = await held(rows)
    second = await rows.take("one")
    assert second is not None
    assert first.lease.tenure != second.lease.tenure
    assert not await first.save(Progress(after("1")), durable=True)
    assert await second.save(Progress(after("1")), durable=True)


async def test_str_30_saves_follow_each_other(rows: StreamRows, store: Store):
    """STR-30."""
    row = await held(rows)
    for sequence in ("9", "10", "11"):
        assert await row.save(Progress(after(sequence)), durable=False)
        assert store.row("one").checkpoint == sequence
        assert rows.rows["one"].checkpoint == sequence


async def test_a_row_that_somebody_else_has_written_is_lost(rows: StreamRows, store: Store):
    row = await held(rows)
    theirs = replace(row.lease, owner="me", tenure="of a later process", counter=row.lease.counter)
    store.poke(theirs)
    assert not await row.save(Progress(after("1")), durable=True)
    assert store.row("one").checkpoint == "TRIM_HORIZON"


@pytest.mark.parametrize("finish", ["save", "end"])
async def test_str_31_a_row_that_was_taken_away_is_written_as_we_know_it(
    rows: StreamRows, store: Store, finish: str
):
    """STR-31: a busy shard is saved long before the next look for new ones."""
    row = await held(rows)
    assert await row.save(Progress(after("10")), durable=True)
    store._apps[APP].clear()
    if finish == "save":
        assert await row.save(Progress(after("9")), durable=True)
        assert store.row("one") == row.lease
        assert store.row("one").checkpoint == "10"
    else:
        assert await row.write(lambda lease: ended(lease, 5.0))
        assert store.row("one").checkpoint == "SHARD_END"


async def test_str_2_a_row_at_its_end_is_not_taken(rows: StreamRows, store: Store):
    """STR-2: the answer to the write of the end may have been lost."""
    await rows.create([lease()])
    store.poke(ended(store.row("one"), 5.0))
    before = store.row("one")
    assert await rows.take("one") is None
    assert rows.rows["one"] == store.row("one") == before


@pytest.mark.parametrize("times", [1, 2])
async def test_an_answer_that_was_lost_is_no_conflict(rows: StreamRows, store: Store, times: int):
    """STR-31: the row has our tenure; the position does not go back."""
    row = await held(rows)
    lose_answer(store, times)
    for _ in range(times):
        with pytest.raises(StoreError):
            await row.save(Progress(after("10")), durable=True)
    assert await row.save(Progress(after("11")), durable=True)
    assert store.row("one").checkpoint == "11"
    assert rows.rows["one"] == store.row("one")


@pytest.mark.parametrize("finish", ["release", "end"])
async def test_the_answer_to_the_last_write_may_be_lost_too(rows: StreamRows, store: Store, finish: str):
    """STR-2: the row is nobody's then, and says what it was to say."""
    row = await held(rows)
    lose_answer(store)

    async def write() -> bool:
        if finish == "release":
            return await row.release(Progress(after("10")))
        return await row.write(lambda lease: ended(lease, 5.0))

    with pytest.raises(StoreError):
        await write()
    assert await write()
    assert store.row("one").owner is None
    assert store.row("one").checkpoint == ("10" if finish == "release" else "SHARD_END")


async def test_a_released_row_that_somebody_else_took_is_theirs(rows: StreamRows, store: Store):
    row = await held(rows)
    lose_answer(store)
    with pytest.raises(StoreError):
        await row.release(Progress(after("10")))
    store.poke(taken(store.row("one"), "somebody else", "theirs"))
    assert not await row.release(Progress(after("10")))
    assert store.row("one").owner == "somebody else"


async def test_str_31_what_somebody_took_away_is_put_back(rows: StreamRows, store: Store):
    """STR-31: only what is ours, and as we know it."""
    row = await held(rows)
    await held(rows, "two")
    rows.drop("two")
    assert await row.save(Progress(after("10")), durable=True)
    store._apps[APP].clear()
    await rows.read()
    assert list(rows.rows) == ["one"]
    assert store.row("one").checkpoint == "10"
    assert await row.save(Progress(after("11")), durable=True)


async def test_a_row_without_a_meaning_is_an_error_in_a_sentence(rows: StreamRows, store: Store):
    await rows.create([lease()])
    store.poke(replace(store.row("one"), checkpoint="LATEST"))
    with pytest.raises(StoreError, match="the row of shard one cannot be read"):
        await rows.read()
    row = await rows.take("one")
    assert row is not None
    with pytest.raises(StoreError, match="the row of shard one cannot be read"):
        row.progress()


async def test_a_row_is_put_right_only_as_it_was_seen(rows: StreamRows, store: Store):
    """STR-3: and it is nobody's then, whoever held it."""
    row = await held(rows)
    lost = Lost(row.lease, ended(row.lease, 5.0), remade=False)
    assert await rows.put_right(lost)
    assert store.row("one").checkpoint == "SHARD_END"
    assert not await row.save(Progress(after("1")), durable=True)
    await rows.read()
    assert rows.rows["one"] == store.row("one")
    again = Lost(lost.lease, replace(lost.instead, checkpoint="TRIM_HORIZON"), remade=True)
    assert not await rows.put_right(again)
    assert store.row("one").checkpoint == "SHARD_END"


async def test_rows_are_deleted_only_as_they_were_seen(rows: StreamRows, store: Store):
    await rows.create([lease("one"), lease("two")])
    seen = list(rows.rows.values())
    store.poke(store.row("two"))
    await rows.delete(seen)
    assert list(store._apps[APP]) == ["two"]
    assert list(rows.rows) == ["two"]


async def test_who_changes_under_our_hands_for_ever_is_told(rows: StreamRows, store: Store):
    row = await held(rows)

    def meddle(what: str, lease: Any) -> None:
        store.poke(store.row("one"))

    store.before = meddle
    with pytest.raises(StoreError, match="who else writes it"):
        await row.save(Progress(after("1")), durable=True)
    with pytest.raises(StoreError, match="who else writes it"):
        await rows.take("one")


async def test_what_is_learnt_of_some_rows_forgets_none_that_come_meanwhile(
    rows: StreamRows, store: Store, monkeypatch: pytest.MonkeyPatch
):
    """STR-2: or they would be begun only after the next look."""
    await store.create(APP, lease("one"))
    ours = await held(rows, "two")
    get = store.get

    async def slow(app: str, key: str) -> Lease | None:
        found = await get(app, key)
        await rows.create([lease("three")])
        return found

    monkeypatch.setattr(store, "get", slow)
    await rows.learn(["one", "two", "never there"])
    assert set(rows.rows) == {"one", "two", "three"}
    assert rows.rows["two"] == ours.lease
