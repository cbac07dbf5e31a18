"""What `poller top` shows, and what its keys do."""

import io

import pytest
from rich.console import Console

from poller.topview import HELP, Order, View, in_order, lines, press


def mapping(name, **more):
    return {
        "name": name,
        "uuid": f"u-{name}",
        "state": "Enabled",
        "finished": False,
        "trouble": None,
        "source_arn": f"arn:aws:sqs:eu-west-1:123456789012:{name}",
        "in_per_second": 12_345.6,
        "out_per_second": 12_000.0,
        "lag_seconds": 3.0,
        "in_flight_batches": 700,
        "limit": 1_000,
        "retries": 99_999,
        "last_error": None,
        **more,
    }


def stream(name, strip, **more):
    counts = {"reading": strip.count("r"), "blocked": strip.count("b"), "done": strip.count("d")}
    return mapping(name, shards=counts, shard_strip=strip, discarded=1_250, **more)


def screen(mappings, view=View(), width=80, height=24, problem=""):  # noqa: B008 - it is frozen
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(lines({"mappings": mappings}, view, width, height, problem))
    return console.file.getvalue().splitlines()


BAD = {"level": "bad", "reason": "1 of 4 shards stands still"}


def test_everything_fits_80_columns_and_24_lines():
    error = {"message": "ValueError: " + "x" * 300, "at": "2026-01-02T03:04:05.000Z"}
    many = [mapping(f"queue-{number}") for number in range(300)]
    shown = screen([stream("s" * 140, "rrbd" * 250, trouble=BAD, last_error=error), *many], problem="gone" * 99)

    assert len(shown) <= 24
    assert all(len(line) <= 80 for line in shown)
    text = "\n".join(shown)
    for whole in (
        "301 mappings",
        "12.3k",
        "12.0k",
        "700/1,000",
        "100k",
        "1,250",
        "3s",
        "1 of 4 shards stands still",
    ):
        assert whole in text
    assert "last error 03:04:05 UTC: ValueError: xxx" in text
    assert "250 standing still (b)  500 reading (r)  250 done (d)" in text
    assert "more below" in text


@pytest.mark.parametrize("width", [20, 30, 40, 60])
def test_a_narrow_terminal_does_without_numbers_and_not_without_names(width):
    shown = screen([stream("clicks", "rr"), mapping("payments")], width=width)

    assert all(len(line) <= width for line in shown)
    rows = [line.split() for line in shown if line.lstrip().startswith(("clicks ", "payments "))]
    assert [row[0] for row in rows] == ["clicks", "payments", "clicks"], "two rows, and the details of the first"
    assert "3s" in rows[0]
    assert ("1,250" in rows[0]) == (width >= 30)
    assert ("12.3k" in rows[0]) == (width >= 40)
    assert not any("…" in cell for cell in rows[0] + rows[1])


def test_the_keys_are_told_as_long_as_there_is_nothing_worse_to_tell():
    assert screen([mapping("a")])[1].strip() == HELP
    assert screen([mapping("a")], problem="gone")[1].strip() == "gone"


def test_the_chosen_one_is_on_the_screen_wherever_it_stands():
    many = [mapping(f"queue-{number:03}") for number in range(300)]
    view = View()
    for _ in range(250):
        view = press(view, "j", many)

    text = "\n".join(screen(many, view))
    assert "queue-250" in text
    assert "arn:aws:sqs:eu-west-1:123456789012:queue-250" in text
    for _ in range(400):
        view = press(view, "\x1b[B", many)
    assert view.chosen == "u-queue-299"
    for _ in range(400):
        view = press(view, "\x1b[A", many)
    assert view.chosen == "u-queue-000"


def test_what_is_in_trouble_comes_first_until_another_order_is_wanted():
    one = mapping("b", lag_seconds=1.0, in_per_second=1.0)
    two = mapping("a", lag_seconds=9.0, in_per_second=0.0, trouble={"level": "warn", "reason": ""})
    three = mapping("c", lag_seconds=0.0, in_per_second=5.0, trouble=BAD)

    view, orders = View(), []
    for _ in Order:
        orders.append((view.order, "".join(each["name"] for each in in_order([one, two, three], view.order))))
        view = press(view, "s", [])
    assert dict(orders) == {
        Order.TROUBLE: "cab",
        Order.LAG: "abc",
        Order.IN: "cba",
        Order.NAME: "abc",
        Order.GIVEN: "bac",
    }
    assert view.order is Order.TROUBLE


def test_the_chosen_one_stays_chosen_when_the_order_changes():
    mappings = [mapping("a"), mapping("b"), mapping("c", trouble=BAD)]
    view = press(View(), "j", mappings)
    assert view.chosen == "u-a"
    assert press(view, "s", mappings).chosen == "u-a"


@pytest.mark.parametrize("key", ["q", "\x03"])
def test_keys_that_end_it(key):
    assert press(View(), key, []) is None


def test_keys_that_mean_nothing_change_nothing():
    assert press(View(), "x", []) == press(View(), "j", []) == press(View(), "\x1b[C", []) == View()


def test_no_mappings_is_said():
    assert "no mappings" in "\n".join(screen([]))


def test_what_is_told_cannot_steer_the_terminal():
    told = mapping("or\x1b[2Jders\n", source_arn="\x1b]0;x\x07", trouble={"level": "bad", "reason": "\x1b[31m"})
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=False)
    console.print(lines({"mappings": [told]}, View(), 80, 24, "\x1b[2J"))

    assert "\x1b" not in console.file.getvalue()
    assert "\x07" not in console.file.getvalue()
