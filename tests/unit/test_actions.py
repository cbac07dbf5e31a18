"""The closed list of what a log line may say it is about."""

import functools
import inspect
from pathlib import Path

from poller import actions
from poller.actions import ACTIONS, COMMON, Action
from tests.unit.log_calls import LogCall, log_calls

DOCUMENT = Path(__file__).resolve().parents[2] / "deploy" / "docs" / "logs.md"


@functools.cache
def calls() -> list[LogCall]:
    """Those of the package; here and not at import, which each worker of a run does."""
    return [call for call in log_calls() if not call.where.startswith("telling.py:")]


def rows() -> list[str]:
    """The table of deploy/docs/logs.md."""
    written = []
    for name, one in ACTIONS.items():
        levels, fields = ", ".join(one.level), ", ".join(f"`{field}`" for field in one.fields)
        written.append(f"| `{name}` | {levels} | {fields} | {one.meaning} |")
    return written


def wrong(call: LogCall) -> str | None:
    """What a call says that the list does not."""
    action = ACTIONS.get(call.action or "")
    if action is None:
        return f"{call.where}: {call.action!r} is no action of poller/actions.py"
    if call.level is not None and call.level not in action.level:
        return f"{call.where}: {call.action} is not told at {call.level}"
    if more := call.fields - set(action.fields) - set(COMMON):
        return f"{call.where}: {call.action} has no field {', '.join(sorted(more))}"
    return None


def test_every_log_call_is_in_the_list() -> None:
    assert len(calls()) > 60
    assert [found for call in calls() if (found := wrong(call)) is not None] == []


def test_the_list_has_nothing_that_nobody_says() -> None:
    assert set(ACTIONS) == {call.action for call in calls()}


def test_a_call_outside_of_the_list_would_be_seen() -> None:
    good = next(call for call in calls() if call.action == "poll_failed")
    assert wrong(good) is None
    for bad in (
        good._replace(action="pol_failed"),
        good._replace(action=None),
        good._replace(level="error"),
        good._replace(fields=frozenset({"body"})),
    ):
        assert wrong(bad) is not None, bad


def test_the_list_is_orderly() -> None:
    for name, action in ACTIONS.items():
        assert isinstance(action, Action)
        assert action.meaning.endswith("."), name
        assert not set(action.fields) & set(COMMON), name
        assert len(set(action.fields)) == len(action.fields), name
    names = inspect.getsource(actions)
    assert all(names.count(f'    "{name}": Action(') == 1 for name in ACTIONS)


def test_the_document_is_the_list() -> None:
    """deploy/docs/logs.md, row for row; the fields of every line stand before the table."""
    before, _, table = DOCUMENT.read_text(encoding="utf-8").partition("## Actions")
    wanted = "\n".join(rows())
    assert [line for line in table.splitlines() if line.startswith("| `") and "---" not in line][1:] == rows(), (
        f"deploy/docs/logs.md is not the list of poller/actions.py; its rows are to be:\n{wanted}"
    )
    assert [field for field in COMMON if f"`{field}`" not in before] == []
