"""The control API on a service in memory: what is answered, what runs then, and what is there after a restart."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from poller.check_sources import Remark
from poller.control import Control
from poller.core.api_answers import Done, Refused
from poller.core.mapping import EventSourceMapping, parse_mapping
from poller.core.model import JsonObject, SourceProblem
from poller.errors import SourceError, StoreError
from poller.http.status import mappings_status
from poller.ports import KeptMapping
from poller.runtime.shutdown import stop_all
from poller.settings import State
from tests.unit.runtime.rig import turns, until
from tests.unit.test_service import InMemory

ARN = "arn:aws:sqs:eu-west-1:123456789012:"
QUEUE = {"EventSourceArn": ARN + "orders", "FunctionName": "python:tests.unit.test_control:nothing"}
OTHER = "python:tests.unit.test_control:other"
seen: list[str] = []
let_go: dict[str, asyncio.Event] = {}


async def nothing(event: Any, context: Any) -> None:
    """A handler."""
    seen.append("nothing")


async def other(event: Any, context: Any) -> None:
    """Another."""
    seen.append("other")


async def slow(event: Any, context: Any) -> None:
    """One that works until it is let go."""
    seen.append("begun")
    await let_go["slow"].wait()
    seen.append("done")


class Controlled(InMemory):
    """A service whose sources can be made to refuse, with the control API beside it."""

    refusal: SourceError | None = None

    def sources(self) -> Any:
        return Looking(self)

    async def function(self, mapping: EventSourceMapping) -> list[Remark]:
        missing = mapping.function_name == "missing"
        return [Remark("error", "Function does not exist. It is away.")] if missing else []

    async def _open(self, mapping: EventSourceMapping) -> Any:
        if self.refusal is not None:
            raise self.refusal
        return await super()._open(mapping)


class Looking:
    """What the service's sources are, for a look."""

    def __init__(self, service: Controlled) -> None:
        self._service = service
        self.function = service.function

    async def queue(self, mapping: EventSourceMapping) -> Any:
        await turns()  # as with every call to AWS, others come in between
        return await self._service._open(mapping)


@contextlib.asynccontextmanager
async def controlled(
    *file: EventSourceMapping, refusal: SourceError | None = None, **settings: Any
) -> AsyncIterator[tuple[Controlled, Control]]:
    """As the daemon does it: the file's mappings, those of the store, and at the end everything stopped."""
    service = Controlled(**settings)
    service.refusal = refusal
    async with service:
        control = Control(service, clock=service.clock)
        for mapping in file:
            service.add(mapping, nothing)
        try:
            await control.start()
            yield service, control
        finally:
            await control.close()
            await service.while_time_passes(service.stop())


def done(answer: object, status: int = 202) -> JsonObject:
    assert isinstance(answer, Done), answer
    assert answer.status == status
    return answer.body


def refused(answer: object) -> tuple[str, int]:
    assert isinstance(answer, Refused), answer
    return answer.code, answer.status


def state(control: Control, uuid: str) -> str | None:
    answer = control.get(uuid)
    return answer.body["State"] if isinstance(answer, Done) else None


def of_file(name: str, queue: str, function: str = OTHER) -> EventSourceMapping:
    """A mapping as the configuration has it."""
    parsed = parse_mapping({"Name": name, "EventSourceArn": ARN + queue, "FunctionName": function})
    assert isinstance(parsed, EventSourceMapping)
    return parsed


async def reached(service: Controlled, control: Control, uuid: str, wanted: str | None) -> list[str | None]:
    """Waits for a state; those on the way to it. Time passes, so that long polls end."""
    states: list[str | None] = []

    def there() -> bool:
        states.append(state(control, uuid))
        service.clock.advance(1)
        return states[-1] == wanted

    await until(there, f"the state {wanted}")
    return states


async def created(service: Controlled, control: Control, **fields: Any) -> str:
    uuid: str = done(await control.create({**QUEUE, **fields}))["UUID"]
    await reached(service, control, uuid, "Disabled" if fields.get("Enabled") is False else "Enabled")
    return uuid


async def kept(service: Controlled) -> dict[str, KeptMapping]:
    return {one.uuid: one for one in await (await service.opened_store()).load()}


async def test_a_life() -> None:
    """API-1, API-2, API-3, API-5: made, read, changed, switched off and on, deleted; the store has each state."""
    async with controlled() as (service, control):
        made = done(await control.create(QUEUE))
        uuid = made["UUID"]
        assert (len(uuid), uuid, made["State"]) == (36, uuid.lower(), "Creating")
        assert set(await reached(service, control, uuid, "Enabled")) <= {"Creating", "Enabled"}
        assert (await kept(service))[uuid].fields == {**QUEUE, "Name": "orders"}

        changed = done(await control.update(uuid, {"BatchSize": 7}))
        assert (changed["State"], changed["BatchSize"]) == ("Updating", 7)
        assert (await kept(service))[uuid].fields["BatchSize"] == 7
        assert done(control.get(uuid), 200)["BatchSize"] == 10  # API-7: the old ones until it is done
        assert set(await reached(service, control, uuid, "Enabled")) <= {"Updating", "Enabled"}
        assert done(control.get(uuid), 200)["BatchSize"] == 7
        assert service.find(uuid).mapping.batch_size == 7

        assert done(await control.update(uuid, {"Enabled": False}))["State"] == "Disabling"
        assert set(await reached(service, control, uuid, "Disabled")) <= {"Disabling", "Disabled"}
        assert done(await control.update(uuid, {"Enabled": True}))["State"] == "Enabling"
        assert set(await reached(service, control, uuid, "Enabled")) <= {"Enabling", "Enabled"}

        assert done(await control.delete(uuid))["State"] == "Deleting"
        assert (await kept(service))[uuid].deleting
        assert set(await reached(service, control, uuid, None)) <= {"Deleting", None}
        assert (await kept(service), service.coordinators) == ({}, {})
        for answer in (control.get(uuid), await control.update(uuid, {}), await control.delete(uuid)):
            assert answer == Refused(
                "ResourceNotFoundException", 404, "The resource you requested does not exist."
            )


async def test_a_mapping_that_is_made_disabled_does_not_poll() -> None:
    """API-3: a queue's is Disabled at once."""
    async with controlled() as (service, control):
        made = done(await control.create({**QUEUE, "Enabled": False}))
        assert made["State"] == "Disabled"
        assert state(control, made["UUID"]) == "Disabled"
        for size in (7, 8):  # API-6: what is Disabled is not in use
            assert done(await control.update(made["UUID"], {"BatchSize": size}))["State"] == "Disabled"
            assert state(control, made["UUID"]) == "Disabled"
        await until(lambda: service.find(made["UUID"]).mapping.batch_size == 8, "the last change")
        await turns()
        assert service.queue("orders").service.waiting == 0


@pytest.mark.parametrize("update", [{"BatchSize": 7}, {"FunctionName": OTHER}, {"Enabled": False}])
async def test_what_a_handler_works_on_is_finished_under_the_old_settings(
    update: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """API-7, API-8, API-14: however long it takes; nothing is cut off, and nothing else runs meanwhile."""
    seen.clear()
    let_go["slow"] = asyncio.Event()
    stopped = []

    async def watched(coordinators: Any, timeout: float) -> None:
        stopped.extend(one.in_flight for one in coordinators)
        await stop_all(coordinators, timeout)

    monkeypatch.setattr("poller.service.stop_all", watched)
    async with controlled() as (service, control):
        uuid = await created(service, control, FunctionName="python:tests.unit.test_control:slow")
        service.queue("orders").send("x")
        await until(lambda: "begun" in seen, "the handler")
        changed = done(await control.update(uuid, update))
        await turns()
        assert (state(control, uuid), stopped, seen) == (changed["State"], [], ["begun"])
        let_go["slow"].set()
        await reached(service, control, uuid, "Disabled" if "Enabled" in update else "Enabled")
        assert stopped == ([] if "Enabled" in update else [0])
        assert seen == ["begun", "done"]
        assert service.find(uuid).stats.last_result == "success"  # API-12
        await until(lambda: not service.queue("orders").bodies(), "its deletion")


async def test_while_a_change_is_under_way_there_is_no_other() -> None:
    """API-6; tags are none."""
    async with controlled() as (service, control):
        uuid = await created(service, control)
        arn = done(control.get(uuid), 200)["EventSourceMappingArn"]
        done(await control.update(uuid, {"BatchSize": 7}))
        for answer in (await control.update(uuid, {"BatchSize": 8}), await control.delete(uuid)):
            assert refused(answer) == ("ResourceInUseException", 400)
        done(await control.tag(arn, {"a": "b"}), 204)
        await reached(service, control, uuid, "Enabled")
        assert done(control.get(uuid), 200)["BatchSize"] == 7
        fields = (await kept(service))[uuid].fields
        assert (fields["BatchSize"], fields["Tags"]) == (7, {"a": "b"})
        done(await control.delete(uuid))
        assert refused(await control.tag(arn, {"b": "c"})) == ("ResourceInUseException", 400)
        await reached(service, control, uuid, None)


async def test_a_change_that_has_begun_goes_on_without_who_asked() -> None:
    """CFG-55: half of one would be a mapping that nobody knows of."""
    async with controlled() as (service, control):
        asked = asyncio.create_task(control.create(QUEUE))
        await asyncio.sleep(0)
        asked.cancel()
        await until(lambda: service.clock.advance(1) or service.coordinators, "the mapping")
        (uuid,) = await kept(service)
        await reached(service, control, uuid, "Enabled")


async def test_a_daemon_that_drains_takes_no_changes() -> None:
    """API-1: what it was drained of would be filled again."""
    async with controlled() as (service, control):
        uuid = await created(service, control)
        control._read_only = "It drains."
        arn = done(control.get(uuid), 200)["EventSourceMappingArn"]
        for answer in (
            await control.create({**QUEUE, "FunctionName": OTHER}),
            await control.update(uuid, {"BatchSize": 7}),
            await control.delete(uuid),
            await control.tag(arn, {"a": "b"}),
            await control.pause(uuid),
        ):
            assert answer == Refused("ServiceException", 503, "It drains.")


async def test_two_that_change_the_same_at_once_do_not_mix() -> None:
    """API-6, CFG-55: one of them is refused, and changes nothing."""
    async with controlled() as (service, control):
        uuid = await created(service, control)
        answers = await asyncio.gather(
            control.update(uuid, {"FunctionName": OTHER}), control.update(uuid, {"BatchSize": 8})
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["Done", "Refused"]
        await reached(service, control, uuid, "Enabled")
        found = (await kept(service))[uuid].fields
        assert (found["FunctionName"] == OTHER) is isinstance(answers[0], Done)
        assert ("BatchSize" in found) is isinstance(answers[1], Done)


async def test_one_source_has_one_function_once() -> None:
    """CFG-51, CFG-52: also for two creates at once, and for an update; another reference is another mapping."""
    async with controlled() as (service, control):
        answers = await asyncio.gather(control.create(QUEUE), control.create(QUEUE))
        (first,) = [answer for answer in answers if isinstance(answer, Done)]
        (second,) = [answer for answer in answers if isinstance(answer, Refused)]
        assert (second.code, second.status) == ("ResourceConflictException", 409)
        assert f"already exists. Please update or delete the existing mapping with UUID {first.body['UUID']}" in (
            second.message
        )
        await reached(service, control, first.body["UUID"], "Enabled")
        uuid = await created(service, control, FunctionName=OTHER)
        assert service.find(uuid).mapping.name == "orders-2"
        clash = await control.update(uuid, {"FunctionName": QUEUE["FunctionName"]})
        assert refused(clash) == ("ResourceConflictException", 409)
        assert service.find(uuid).mapping.function_name == OTHER
        assert refused(await control.create({**QUEUE, "EventSourceArn": ARN + "b", "Name": "orders-2"})) == (
            "ResourceConflictException",
            409,
        )


async def test_mappings_of_the_file_are_only_read() -> None:
    """API-1: told with the others; what would change them is refused, with what to do instead."""
    async with controlled(of_file("orders", "orders")) as (service, control):
        await service.polling()
        (mapping,) = (one.mapping for one in service.coordinators.values())
        told = done(control.get(mapping.uuid), 200)
        assert (told["State"], told["EventSourceArn"]) == ("Enabled", mapping.arn.text)
        assert done(control.list({}), 200)["EventSourceMappings"] == [told]
        arn = told["EventSourceMappingArn"]
        assert done(control.list_tags(arn), 200) == {"Tags": {}}
        for answer in (
            await control.update(mapping.uuid, {"BatchSize": 1}),
            await control.delete(mapping.uuid),
            await control.tag(arn, {"a": "b"}),
            await control.untag(arn, ["a"]),
        ):
            assert refused(answer) == ("InvalidParameterValueException", 400)
            assert isinstance(answer, Refused)
            assert "'orders' is one of the configuration file" in answer.message
        again = {"EventSourceArn": mapping.arn.text, "FunctionName": mapping.function_name}
        assert refused(await control.create(again)) == ("ResourceConflictException", 409)


async def test_tags() -> None:
    """CFG-24."""
    async with controlled() as (service, control):
        uuid = await created(service, control, Tags={"a": "1"})
        arn = done(control.get(uuid), 200)["EventSourceMappingArn"]
        before = service.find(uuid)
        done(await control.tag(arn, {"b": "2"}), 204)
        assert done(control.list_tags(arn), 200) == {"Tags": {"a": "1", "b": "2"}}
        done(await control.untag(arn, ["a"]), 204)
        assert done(control.list_tags(arn), 200) == {"Tags": {"b": "2"}}
        assert (await kept(service))[uuid].fields["Tags"] == {"b": "2"}
        assert service.find(uuid) is before
        assert refused(await control.tag(arn, [1])) == ("SerializationException", 400)
        assert refused(await control.tag(arn, None)) == ("SerializationException", 400)
        assert refused(control.list_tags("arn:x")) == ("ValidationException", 400)
        for elsewhere in (arn.replace("123456789012", "999999999999"), arn[:-1] + "0" + "", arn[:-12] + "0" * 12):
            if elsewhere != arn:
                assert refused(control.list_tags(elsewhere)) == ("ResourceNotFoundException", 404)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (SourceProblem.MISSING, "AWS.SimpleQueueService.NonExistentQueue"),
        (
            SourceProblem.DENIED,
            "The provided execution role does not have permissions to call ReceiveMessage on SQS",
        ),
    ],
)
async def test_a_definite_no_refuses(problem: SourceProblem, words: str) -> None:
    """CFG-40, CFG-42, SUR-20: nothing is kept, and the same may be asked again."""
    async with controlled(refusal=SourceError(problem, "no")) as (service, control):
        answer = await control.create(QUEUE)
        assert refused(answer) == ("InvalidParameterValueException", 400)
        assert isinstance(answer, Refused)
        assert words in answer.message
        assert (await kept(service), done(control.list({}), 200)) == ({}, {"EventSourceMappings": []})
        service.refusal = None
        await created(service, control)


async def test_a_function_that_does_not_exist_refuses() -> None:
    """CFG-38, CFG-44."""
    async with controlled() as (service, control):
        for name in ("missing", "python:tests.unit.nowhere:nothing", "python:tests.unit.test_control:nobody"):
            answer = await control.create({**QUEUE, "FunctionName": name})
            assert refused(answer) == ("InvalidParameterValueException", 400)
            assert isinstance(answer, Refused)
            assert answer.message.startswith("Function does not exist")
        answer = await control.create({**QUEUE, "Handler": {"TimeoutInSeconds": 900}})
        assert isinstance(answer, Refused)
        assert answer.message == (
            "Queue visibility timeout: 30 seconds is less than Function timeout: 900 seconds"
        )
        uuid = await created(service, control)
        assert isinstance(await control.update(uuid, {"FunctionName": "missing"}), Refused)
        assert service.find(uuid).mapping.function_name == QUEUE["FunctionName"]


async def test_a_source_that_is_away_is_waited_for_and_the_mapping_can_be_changed_meanwhile() -> None:
    """API-6, API-16: what may last for hours is no use, and what was changed is never Creating again."""
    away = SourceError(SourceProblem.UNREACHABLE, "away")
    async with controlled(refusal=away) as (service, control):
        uuid = done(await control.create(QUEUE))["UUID"]
        assert state(control, uuid) == "Creating"
        await until(service.find(uuid).first_attempt.done, "the first look")
        await turns()
        assert state(control, uuid) == "Creating"
        for update, shown in (({"BatchSize": 7}, "Updating"), ({"Enabled": False}, "Disabled")):
            done(await control.update(uuid, update))
            await until(lambda: control._book.get(uuid).state is None, "the end of the change")
            assert state(control, uuid) == shown
        done(await control.update(uuid, {"Enabled": True}))
        await until(lambda: control._book.get(uuid).state is None, "the end of the change")
        assert state(control, uuid) in {"Enabling", "Updating"}
        done(await control.delete(uuid))
        await reached(service, control, uuid, None)


async def test_a_store_that_cannot_be_written_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """CFG-55: and is told; a deletion that was promised is tried until it is done."""

    async def full(_: Any) -> None:
        raise StoreError("The disk is full.")

    async with controlled() as (service, control):
        uuid = await created(service, control)
        store = await service.opened_store()
        with monkeypatch.context() as patched:
            patched.setattr(store, "save", full)
            for answer in (
                await control.create({**QUEUE, "FunctionName": OTHER}),
                await control.update(uuid, {"BatchSize": 7}),
                await control.delete(uuid),
            ):
                assert answer == Refused("ServiceException", 503, "The disk is full.")
        assert (await kept(service))[uuid].fields == {**QUEUE, "Name": "orders"}
        assert (state(control, uuid), len(service.coordinators)) == ("Enabled", 1)
        monkeypatch.setattr("poller.control_work.FIRST", 0.01)
        with monkeypatch.context() as patched:
            patched.setattr(store, "remove", full)
            done(await control.delete(uuid))
            await until(lambda: service.clock.advance(1) or not service.coordinators, "the end of what ran")
            await turns()
            assert state(control, uuid) == "Deleting"
        await reached(service, control, uuid, None)


async def test_pause_and_resume() -> None:
    """API-8: a mapping of the file until the next start; one of the API as an update of Enabled is."""
    async with controlled(of_file("file", "f")) as (service, control):
        uuid = await created(service, control)
        for name in ("file", "orders"):
            one = service.coordinators[name].mapping.uuid
            assert done(await control.pause(one))["State"] == "Disabling"
            await reached(service, control, one, "Disabled")
            assert done(await control.resume(one))["State"] in {"Enabling", "Enabled"}
            await reached(service, control, one, "Enabled")
        assert (await kept(service))[uuid].fields["Enabled"] is True
        assert refused(await control.pause("nobody's")) == ("ResourceNotFoundException", 404)


async def test_nothing_is_told_before_all_is_known() -> None:
    """API-5: a client that takes "not found" for the end of a mapping must not hear it for a start or a stop."""
    async with controlled() as (service, control):
        uuid = await created(service, control)
        fresh = Control(service)
        for one in (fresh, control):
            if one is control:
                await control.close()
            for answer in (one.get(uuid), one.list({}), one.list_tags("x"), await one.update(uuid, {})):
                assert refused(answer) == ("ServiceException", 503)


@pytest.fixture
def lasting(tmp_path: Path) -> dict[str, Any]:
    return {"state": State("sqlite", str(tmp_path / "state.db"))}


async def test_mappings_are_there_after_a_restart(lasting: dict[str, Any]) -> None:
    """API-2, API-3: as they were, on their way to where they shall be, and never Creating."""
    async with controlled(**lasting) as (service, control):
        on = await created(service, control, BatchSize=7, Tags={"a": "b"})
        off = await created(service, control, FunctionName=OTHER, Enabled=False)
        modified = done(control.get(on), 200)["LastModified"]
        done(await control.update(off, {"BatchSize": 3}))
        await reached(service, control, off, "Disabled")
    async with controlled(**lasting) as (service, control):
        assert state(control, on) in {"Enabling", "Enabled"}
        assert state(control, off) == "Disabled"
        await reached(service, control, on, "Enabled")
        told = done(control.get(on), 200)
        assert (told["BatchSize"], told["LastModified"]) == (7, modified)
        assert done(control.get(off), 200)["BatchSize"] == 3
        assert done(control.list_tags(told["EventSourceMappingArn"]), 200) == {"Tags": {"a": "b"}}
        assert service.queue("orders").service.waiting == 1


async def test_a_deletion_that_was_begun_is_ended_by_the_next_start(lasting: dict[str, Any]) -> None:
    """API-10: it does not run in between."""
    async with controlled(**lasting) as (service, control):
        uuid = await created(service, control)
        await control.close()  # as if the process ended right behind the answer
        store = await service.opened_store()
        await store.save(KeptMapping(uuid, QUEUE, 1.0, deleting=True))
    async with controlled(**lasting) as (service, control):
        assert (state(control, uuid), service.coordinators) == (None, {})
        for _ in range(1_000):
            if not await kept(service):
                break
            await asyncio.sleep(0.01)
        assert await kept(service) == {}


async def test_a_state_file_is_not_made_before_there_is_something_to_keep(lasting: dict[str, Any]) -> None:
    """Whoever has no mappings of the API may run where nothing can be written."""
    there = Path(lasting["state"].path).exists
    async with controlled(of_file("orders", "orders"), **lasting) as (service, control):
        await service.polling()
        assert not there()
        await created(service, control, EventSourceArn=ARN + "b")
        assert there()


async def test_what_the_file_has_now_goes_first(lasting: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """CFG-51: the mapping of the API is held and told; it can be deleted, and runs when it is alone again."""
    async with controlled(**lasting) as (service, control):
        uuid = await created(service, control)
    own = of_file("mine", "orders", QUEUE["FunctionName"])
    with caplog.at_level(logging.ERROR, "poller"):
        async with controlled(own, **lasting) as (service, control):
            told = done(control.get(uuid), 200)
            assert told["State"] == "Disabled"
            assert own.uuid in told["StateTransitionReason"]
            assert len(service.coordinators) == 1
            assert len(done(control.list({}), 200)["EventSourceMappings"]) == 2
    assert "mapping_held" in [record.__dict__.get("action") for record in caplog.records]
    async with controlled(**lasting) as (service, control):
        await reached(service, control, uuid, "Enabled")
    async with controlled(own, **lasting) as (service, control):
        done(await control.delete(uuid))
        await reached(service, control, uuid, None)
        assert await kept(service) == {}


async def test_what_is_held_is_told_beside_what_runs(lasting: dict[str, Any]) -> None:
    """API-3: the live status has it as Disabled, with its reason as trouble and no numbers, until it runs; a name
    that the file has too means the one that runs.
    """
    async with controlled(**lasting) as (service, control):
        uuid = await created(service, control)
    own = of_file("orders", "orders", QUEUE["FunctionName"])
    async with controlled(own, **lasting) as (service, control):
        await service.polling()
        own_status, status = mappings_status(service.metrics, held=control.held)["mappings"]
        assert (own_status["uuid"], own_status["trouble"], own_status["held"]) == (own.uuid, None, False)
        assert (status["uuid"], status["state"], status["held"], status["ok"]) == (uuid, "Disabled", True, 0)
        assert status["trouble"]["level"] == "bad"
        assert own.uuid in status["trouble"]["reason"]
        done(await control.pause(own.uuid))
        await reached(service, control, own.uuid, "Disabled")
        assert (await kept(service))[uuid].fields.get("Enabled", True), "who is held was not meant"
    async with controlled(**lasting) as (service, control):
        await reached(service, control, uuid, "Enabled")
        (status,) = mappings_status(service.metrics, held=control.held)["mappings"]
        assert (status["trouble"], status["held"]) == (None, False)


async def test_a_name_that_the_file_has_now_is_given_up(lasting: dict[str, Any]) -> None:
    """A label is no reason to stop: it runs under another, and keeps that."""
    async with controlled(**lasting) as (service, control):
        uuid = await created(service, control)
    name = f"orders-{uuid[:8]}"
    for file in ([of_file("orders", "b")], []):
        async with controlled(*file, **lasting) as (service, control):
            await reached(service, control, uuid, "Enabled")
            assert service.find(uuid).mapping.name == name
            done(await control.update(uuid, {"BatchSize": 7 + len(file)}))
            await reached(service, control, uuid, "Enabled")


async def test_a_mapping_that_the_rules_have_no_more_is_told_and_can_be_deleted(
    lasting: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It is not thrown away: another version may have made it."""
    uuid = "11111111-2222-4333-8444-555555555555"
    async with controlled(**lasting) as (service, _):
        await (await service.opened_store()).save(KeptMapping(uuid, {**QUEUE, "Newer": 1}, 1.0))
    async with controlled(**lasting) as (service, control):
        assert f"the mapping {uuid} of the control API does not run: Newer" in caplog.text
        assert (await kept(service)).keys() == {uuid}
        for answer in (control.get(uuid), await control.update(uuid, {"BatchSize": 1})):
            assert refused(answer) == (
                "ServiceException",
                503,
            )  # not "not found", which a client takes for deleted
            assert isinstance(answer, Refused)
            assert "cannot run it: Newer" in answer.message
        assert done(await control.delete(uuid)) == {"UUID": uuid, "State": "Deleting"}
        for _ in range(1_000):
            if not await kept(service):
                break
            await asyncio.sleep(0.01)
        assert await kept(service) == {}


async def test_tags_that_come_while_a_change_ends_do_not_bring_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """API-6: the change may end while its tags are written; the mapping is free then, and not in use for ever."""
    async with controlled() as (service, control):
        uuid = await created(service, control)
        arn = done(control.get(uuid), 200)["EventSourceMappingArn"]
        store = await service.opened_store()
        save = store.save

        async def slowly(mapping: KeptMapping) -> None:
            await until(lambda: service.clock.advance(1) or control._book.get(uuid).state is None, "the change")
            await save(mapping)

        done(await control.update(uuid, {"BatchSize": 7}))
        monkeypatch.setattr(store, "save", slowly)
        done(await control.tag(arn, {"a": "b"}), 204)
        monkeypatch.setattr(store, "save", save)
        assert (state(control, uuid), done(control.get(uuid), 200)["BatchSize"]) == ("Enabled", 7)
        assert done(control.list_tags(arn), 200) == {"Tags": {"a": "b"}}
        done(await control.update(uuid, {"BatchSize": 8}))
        await reached(service, control, uuid, "Enabled")
        fields = (await kept(service))[uuid].fields
        assert (fields["BatchSize"], fields["Tags"]) == (8, {"a": "b"})


async def test_a_mapping_whose_handler_cannot_be_had_after_a_restart_is_told(
    lasting: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API-3: as it is when a change leads there; once the handler is mended, switching it on brings it back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "esmcomes.py"
    module.write_text("def handler(event, context): pass\n")
    async with controlled(**lasting) as (service, control):
        uuid = await created(service, control, FunctionName="python:esmcomes:handler")
    del sys.modules["esmcomes"]
    module.write_text("def other_name(event, context): pass\n")
    async with controlled(**lasting) as (service, control):
        await reached(service, control, uuid, "Disabled")
        assert "esmcomes has no 'handler'" in done(control.get(uuid), 200)["StateTransitionReason"]
        (status,) = mappings_status(service.metrics, held=control.held)["mappings"]
        assert status["state"] == "Disabled"
        assert "esmcomes has no 'handler'" in status["trouble"]["reason"]
        sys.modules["esmcomes"].handler = other
        done(await control.update(uuid, {"Enabled": True}))
        await reached(service, control, uuid, "Enabled")
