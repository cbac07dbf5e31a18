"""Tasks that are used again; what never begins leaves nothing behind."""

import asyncio
import gc
from functools import partial

import pytest

from poller.runtime.crew import MOST_IDLE, Crew
from poller.runtime.turns import begin
from tests.unit.runtime.rig import eager_tasks, turns, until


async def test_idle_tasks_are_used_again_and_few_are_kept():
    seen: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        seen.append(number)

    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        for number in range(100):
            crew.run(work, number)
        await until(lambda: len(seen) == 100, "all")
        await turns()
        kept = asyncio.all_tasks() - {asyncio.current_task()}
        assert len(kept) == MOST_IDLE
        crew.run(work, 100)
        await until(lambda: len(seen) == 101, "one more")
        assert asyncio.all_tasks() - {asyncio.current_task()} == kept
        crew.dismiss()
    assert seen == list(range(101))


@pytest.mark.parametrize("late", range(4))
async def test_a_group_that_ends_before_its_work_begins(late: int):
    """In whichever turn of the loop: no coroutine is left that nobody awaited."""

    async def work(number: int) -> None:
        await asyncio.sleep(3600)

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            crew = Crew(tasks)
            crew.run(asyncio.sleep, 0)
            await turns()
            try:
                for number in range(5):  # an idle task gets the first one, new ones the others
                    crew.run(work, number)
                await asyncio.sleep(3600)
            finally:
                crew.run(work, 6)

    task = asyncio.create_task(run())
    await turns(20 + late)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    gc.collect()  # a coroutine that was never awaited would be told now
    await turns()


async def test_a_group_that_is_ending_takes_nothing_more():
    crews: list[Crew] = []

    async def work(number: int) -> None:
        raise AssertionError("too late")

    async def late() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            crews[0].run(work, 1)

    async def bug() -> None:
        raise ZeroDivisionError("planted")

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            crews.append(Crew(tasks))
            tasks.create_task(late())
            await turns()
            tasks.create_task(bug())

    with pytest.raises(ExceptionGroup) as group:
        await run()
    assert [type(error) for error in group.value.exceptions] == [ZeroDivisionError]
    gc.collect()


async def test_work_begins_after_the_step_that_ordered_it_even_under_an_eager_task_factory():
    """GEN-2: a machine's commands are carried out in their order, each before any answer is heard."""
    seen: list[str] = []
    asyncio.get_running_loop().set_task_factory(eager_tasks)

    async def work(what: str) -> None:
        seen.append(what)

    async with asyncio.TaskGroup() as tasks:
        crew = Crew(tasks)
        crew.run(work, "new task")
        begun = begin(tasks, partial(work, "task of the group"))
        assert begun is not None
        assert not begun.done()
        seen.append("ordered")
        await until(lambda: len(seen) == 3, "both")
        await turns()
        crew.run(work, "idle task")
        assert len(seen) == 3
        await until(lambda: len(seen) == 4, "the third")
        crew.dismiss()
    assert seen == ["ordered", "new task", "task of the group", "idle task"]
