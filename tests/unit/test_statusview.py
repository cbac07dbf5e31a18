"""The table of mappings."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from poller.statusview import duration, short, show


def mapping(**more):
    return {
        "name": "orders",
        "state": "Enabled",
        "finished": False,
        "in_per_second": 12_345.6,
        "queue_messages": 1_204_000,
        "oldest_pending_seconds": 31.2,
        "in_flight": 9_500,
        "batch_size_average": 99.7,
        "ok": 1_204_333,
        "failed": 123_456,
        "retries": 99_999,
        "last_result": "success",
        "last_error": None,
        **more,
    }


def shown(*mappings, width=80, **more):
    console = Console(file=io.StringIO(), width=width, **more)
    show({"mappings": list(mappings)}, console)
    return console.file.getvalue()


def test_the_fullest_row_fits_80_columns_with_every_number_whole():
    text = shown(mapping(state="Disabling", name="a-long-name-of-a-mapping"))

    assert all(len(line) <= 80 for line in text.splitlines())
    for whole in ("Disabling", "12.3k", "1.2M 31s", "9,500", "99.7", "1.2M", "123k", "100k"):
        assert whole in text
    assert "a-long" in text
    assert "succ" in text


def test_why_a_mapping_does_not_run_is_said_whole():
    """API-3: nothing else in the terminal does, and it says what to do."""
    trouble = {"level": "bad", "reason": f"it does not run: {'so and so, ' * 9}change it."}
    text = shown(mapping(), mapping(name="held", state="Disabled", held=True, trouble=trouble))

    assert all(len(line) <= 80 for line in text.splitlines())
    assert f"held: {trouble['reason']}" in " ".join(text.split())


@pytest.mark.parametrize("width", [6, 10, 15, 20])
@pytest.mark.parametrize("many", [1, 2])
def test_a_very_narrow_terminal_shows_names_at_least(width, many):
    text = shown(*(mapping(), stream())[:many], width=width)

    lines = text.splitlines()
    assert all(len(line) <= width for line in lines)
    assert [line.split()[0] for line in lines] == ["name", "orders", "clicks"][: 1 + many], (
        "and one line of headings"
    )
    assert ("1.2M 31s" in text) == (width >= 15)


@pytest.mark.parametrize("width", [20, 30, 40, 60, 79])
def test_a_narrow_terminal_does_without_numbers_and_not_without_names(width):
    text = shown(mapping(), stream(), width=width)

    assert all(len(line) <= width for line in text.splitlines())
    queue, clicks = (line.split() for line in text.splitlines()[-2:])
    assert (queue[0], clicks[0]) == ("orders", "clicks")
    assert "5m" in clicks
    assert ("Enabled" in clicks) == (width >= 30)
    assert ("12.3k" in clicks) == (width >= 40)
    assert not any("…" in cell for cell in queue + clicks[:-1])


def test_a_wide_terminal_shows_names_and_results_whole():
    text = shown(mapping(name="a-long-name-of-a-mapping", last_result="invalid_response"), width=200)

    assert "a-long-name-of-a-mapping" in text
    assert "invalid response" in text
    for heading in ("name", "state", "in/s", "lag", "flight", "batch", "ok", "failed", "retries", "result"):
        assert heading in text


def test_columns_stand_below_each_other_whatever_the_names_are_written_in():
    text = shown(
        mapping(), mapping(name="注文の受付処理をする関数", failed=0), stream() | {"name": "b\x1b[2J"}, width=80
    )

    lines = text.splitlines()
    places = {cell_len(line[: line.index("Enabled")]) for line in lines if "Enabled" in line}
    assert len(places) == 1
    assert lines[-2].split()[0].endswith("…") or lines[-2].split()[1] == "…"
    assert {cell_len(line[: line.rindex(" succ")]) for line in lines[2:]} == {
        cell_len(lines[1][: lines[1].rindex(" result")])
    }
    assert "\x1b" not in text


def test_what_is_wrong_is_red_where_there_are_colours():
    rows = mapping(trouble={"level": "bad"}), stream(last_result="error")
    terminal = {"width": 110, "force_terminal": True, "color_system": "standard"}
    colours = shown(*rows, **terminal)

    for each in ("\x1b[1;31morders", "\x1b[32mEnabled", "\x1b[31m1,250", "100\x1b[31m/3", "\x1b[31merror"):
        assert each in colours
    plain = shown(*rows, **terminal, no_color=True)
    assert "\x1b[1morders" in plain, "NO_COLOR leaves what is bold"
    assert "\x1b[3" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", colours) == shown(*rows, width=110)


def test_a_mapping_that_has_done_nothing_shows_dashes_not_zeros_it_does_not_know():
    text = shown(
        mapping(
            queue_messages=None,
            oldest_pending_seconds=0.0,
            batch_size_average=None,
            last_result="",
            in_per_second=0.0,
        )
    )

    row = text.splitlines()[-1].split()
    assert row[:4] == ["orders", "Enabled", "0", "-"]
    assert row[-1] == "-"


def stream(**more):
    told = mapping(
        name="clicks",
        shards={"waiting_parent": 2, "leased": 0, "reading": 97, "blocked": 3, "done": 40},
        iterator_age_seconds=312.0,
        behind_latest_seconds=45.0,
        discarded=1_250,
        **more,
    )
    del told["queue_messages"]
    return told


def test_a_stream_stands_beside_a_queue():
    text = shown(mapping(), stream(), width=110)

    queue, clicks = text.splitlines()[-2:]
    assert queue.split()[:4] == ["orders", "Enabled", "12.3k", "1.2M"]
    assert queue.split()[-4:] == ["100k", "-", "-", "success"], "a queue gives nothing up and has no shards"
    assert clicks.split() == [
        *("clicks", "Enabled", "12.3k", "5m", "9,500", "99.7", "1.2M", "100k", "1,250", "100/3", "success")
    ]


def test_the_fullest_stream_fits_80_columns_with_every_number_whole():
    shards = {"reading": 4_000, "blocked": 1_000}
    text = shown(
        mapping(state="Disabling", name="a-long-name"),
        stream(state="Disabling") | {"shards": shards, "discarded": 123_456, "iterator_age_seconds": 90_000.0},
    )

    assert all(len(line) <= 80 for line in text.splitlines())
    for whole in ("Disabling", "12.3k", "1.2M 31s", "9,500", "99.7", "100k", "123k", "5000/1000", "25h"):
        assert whole in text
    assert "a-lon" in text
    assert "succ" in text


@pytest.mark.parametrize(
    ("age", "behind", "lag"), [(0.0, None, "0s"), (0.9, 0.0, "0s"), (2.0, None, "2s"), (2.0, 7_200.0, "2h")]
)
def test_the_lag_of_a_stream_is_the_worse_of_age_and_distance(age, behind, lag):
    told = stream() | {"iterator_age_seconds": age, "behind_latest_seconds": behind}

    assert shown(told).splitlines()[-1].split()[3] == lag


def test_shards_without_a_failing_one_are_one_number():
    told = stream() | {"shards": {"reading": 4, "blocked": 0}, "discarded": 0}

    assert shown(told).splitlines()[-1].split()[-3:-1] == ["0", "4"]


def test_a_finished_mapping_says_so():
    assert "Finished" in shown(mapping(finished=True))


def test_errors_stand_below_and_cannot_steer_the_terminal():
    error = {"message": "ValueError: \x1b[2J" + "x" * 300, "at": "2026-01-02T03:04:05.000Z"}
    text = shown(mapping(last_error=error, name="or\nders"))

    assert "03:04:05 or ders: ValueError:" in text
    assert "\x1b" not in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_no_mappings_is_said():
    assert shown() == "no mappings\n"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.44, "0.4"),
        (12.5, "12.5"),
        (12.0, "12"),
        (999.9, "1,000"),
        (9_999, "9,999"),
        (9_999.6, "10.0k"),
        (99_949, "99.9k"),
        (99_950, "100k"),
        (999_949, "1000k"),
        (999_950, "1.0M"),
        (99_950_000, "100M"),
        (1_500_000_000, "1.5G"),
    ],
)
def test_numbers_have_at_most_five_characters(number, text):
    assert short(number) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1s"), (99.4, "99s"), (100, "2m"), (5_999, "100m"), (7_200, "2h")]
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


# --- fetch ---
