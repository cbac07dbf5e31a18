"""One suite for every ports.LeaseStore: rows, and the compare-and-set that is their only way to change."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from poller.core.leases import Conflict, Lease
from poller.ports import KeptMapping, LeaseStore, Store
from poller.store.memory import MemoryStore
from poller.store.sqlite import SqliteStore

APP = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
LONG = "9" * 129
FULL = Lease(
    key="shardId-000000000001",
    checkpoint=LONG,
    owner="höst:1:☃",
    counter=0,
    sub_sequence=3,
    switches=2,
    parents=("shardId-b", "shardId-a"),
    children=("shardId-c",),
    hash_start="0",
    hash_end="340282366920938463463374607431768211455",
    tenure="t",
    start=1700000000.123457,
    progress='{"heads":[],"window":{"state":{"né":"\\u0000 \\ud800"}}}',
    ended_at=0.1 + 0.2,
    starting="0" + LONG[1:],
)
ROW = Lease("shardId-1", "TRIM_HORIZON")


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    async with SqliteStore(str(tmp_path / "state.db")) as opened:
        yield opened


async def made(store: LeaseStore, lease: Lease = ROW, app: str = APP) -> Lease:
    assert await store.create(app, lease) is True
    return lease


async def test_nothing_is_there_at_first(store: LeaseStore) -> None:
    """STR-14: that nothing is stored is told apart from everything else."""
    assert await store.rows(APP) == ()
    assert await store.get(APP, "shardId-1") is None


@pytest.mark.parametrize("lease", [ROW, FULL, replace(FULL, progress='{"x":"' + "é" * 1_048_576 + '"}')])
async def test_every_field_comes_back(store: LeaseStore, lease: Lease) -> None:
    """STR-28, STR-31, TMB-12: numbers of 129 digits, any text, a megabyte of state."""
    await made(store, lease)
    assert await store.get(APP, lease.key) == lease
    assert await store.rows(APP) == (lease,)
    written = await store.swap(APP, lease, replace(lease, checkpoint="7", tenure="", parents=(), start=None))
    assert written == replace(lease, checkpoint="7", tenure="", parents=(), start=None, counter=1)
    assert await store.get(APP, lease.key) == written


async def test_a_row_is_created_once(store: LeaseStore) -> None:
    """What is there stays as it is, also when it is the same."""
    await made(store)
    assert await store.create(APP, replace(ROW, checkpoint="SHARD_END")) is False
    assert await store.create(APP, ROW) is False
    assert await store.get(APP, ROW.key) == ROW


async def test_rows_are_all_there_in_order(store: LeaseStore) -> None:
    keys = [f"shardId-{number:012}" for number in range(1_200)]
    await asyncio.gather(*(store.create(APP, Lease(key, "LATEST", start=1.0)) for key in reversed(keys)))
    assert [lease.key for lease in await store.rows(APP)] == keys


async def test_the_counter_goes_up_by_one_with_each_write(store: LeaseStore) -> None:
    """Whatever the writer had in it."""
    row = await made(store)
    for number in range(1, 6):
        answer = await store.swap(
            APP, row, replace(row, counter=77, checkpoint=str(number)), durable=number % 2 == 0
        )
        assert isinstance(answer, Lease)
        assert (answer.counter, answer.checkpoint) == (number, str(number))
        assert await store.get(APP, ROW.key) == answer
        row = answer


async def test_a_write_from_an_old_counter_changes_nothing(store: LeaseStore) -> None:
    """The answer is what is there."""
    row = await made(store)
    newer = await store.swap(APP, row, replace(row, checkpoint="5"))
    assert await store.swap(APP, row, replace(row, checkpoint="4")) == Conflict(newer)
    assert await store.get(APP, ROW.key) == newer


@pytest.mark.parametrize(("there", "expected"), [("a", "b"), ("a", None), (None, "a")])
async def test_a_write_for_another_owner_changes_nothing(
    store: LeaseStore, there: str | None, expected: str | None
) -> None:
    """The counter alone is not enough: the owner must be the one that was seen."""
    row = await made(store, replace(ROW, owner=there))
    assert await store.swap(APP, replace(row, owner=expected), replace(row, checkpoint="5")) == Conflict(row)
    assert await store.delete(APP, replace(row, owner=expected)) is False
    assert await store.get(APP, ROW.key) == row


async def test_a_write_to_no_row_makes_none(store: LeaseStore) -> None:
    """A row that somebody took away does not come back by a late write."""
    assert await store.swap(APP, ROW, replace(ROW, checkpoint="5")) == Conflict(None)
    assert await store.rows(APP) == ()


async def test_of_many_writes_from_one_counter_one_wins(store: LeaseStore) -> None:
    """All at once; the others learn of the winner's row."""
    row = await made(store)
    answers = await asyncio.gather(
        *(
            store.swap(APP, row, replace(row, owner=f"worker-{number}"), durable=number % 3 == 0)
            for number in range(20)
        )
    )
    (won,) = [answer for answer in answers if isinstance(answer, Lease)]
    assert won.counter == 1
    assert [answer for answer in answers if isinstance(answer, Conflict)] == [Conflict(won)] * 19
    assert await store.get(APP, ROW.key) == won


async def test_owners_take_and_give_back(store: LeaseStore) -> None:
    row = await made(store)
    mine = await store.swap(APP, row, replace(row, owner="a"))
    assert isinstance(mine, Lease)
    nobodys = await store.swap(APP, mine, replace(mine, owner=None))
    assert nobodys == replace(row, counter=2)


async def test_mappings_do_not_see_each_other(store: LeaseStore) -> None:
    """GEN-4: two mappings of one stream have shards of the same names, each with its own position."""
    row = await made(store)
    other = await made(store, replace(ROW, checkpoint="77"), OTHER)
    written = await store.swap(APP, row, replace(row, checkpoint="5"))
    assert await store.rows(OTHER) == (other,)
    await store.forget(OTHER)
    assert await store.rows(OTHER) == ()
    assert await store.rows(APP) == (written,)


async def test_a_row_is_deleted_as_it_was_seen(store: LeaseStore) -> None:
    row = await made(store)
    written = await store.swap(APP, row, replace(row, checkpoint="5"))
    assert isinstance(written, Lease)
    assert await store.delete(APP, row) is False
    assert await store.rows(APP) == (written,)
    assert await store.delete(APP, written) is True
    assert await store.delete(APP, written) is False
    assert await store.rows(APP) == ()


async def test_a_mapping_forgotten_starts_over(store: LeaseStore) -> None:
    """API-10, TMB-12: nothing is inherited by one that is made anew."""
    for number in range(3):
        await made(store, replace(ROW, key=f"shardId-{number}"))
    await store.forget(APP)
    await store.forget(APP)
    assert await store.rows(APP) == ()
    assert await store.create(APP, ROW) is True


MAPPING = KeptMapping(APP, {"Name": "é\u2028", "Tags": {"": None}, "BatchSize": 10}, 1700000000.123457)


async def test_mappings_are_kept_by_their_uuid(store: Store) -> None:
    """API-2: one for each, the newest; every value comes back."""
    assert await store.load() == ()
    other = replace(MAPPING, uuid=OTHER, fields={})
    await store.save(other)
    await store.save(MAPPING)
    assert await store.load() == (MAPPING, other)
    gone = replace(MAPPING, modified=1.0, deleting=True)
    await store.save(gone)
    assert await store.load() == (gone, other)


async def test_a_mapping_goes_with_its_positions(store: Store) -> None:
    """API-10: and with no other's; it need not be there."""
    for app in (APP, OTHER):
        await store.save(replace(MAPPING, uuid=app))
        await made(store, app=app)
        await made(store, replace(ROW, key="shardId-2"), app)
    await store.remove(APP)
    assert (await store.load(), await store.rows(APP)) == ((replace(MAPPING, uuid=OTHER),), ())
    assert len(await store.rows(OTHER)) == 2
    await store.remove(APP)
    await store.remove("nobody's")
    assert len(await store.rows(OTHER)) == 2


async def test_positions_of_what_is_no_mapping_of_a_store_can_be_removed(store: Store) -> None:
    """API-10: also before there ever was a mapping in it."""
    await made(store)
    await store.remove(APP)
    assert await store.rows(APP) == ()
