"""What a child prints becomes lines of the log, whatever it is."""

import logging

import pytest

from poller.handlers.child_output import MOST_LINE, OutputLines
from poller.telling import Teller


@pytest.fixture
async def output(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="poller")
    return OutputLines(Teller("orders", logging.getLogger("poller")), 4711)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


async def test_whole_lines_are_tagged_with_the_mapping(output: OutputLines, caplog):
    output.data_received(b"one\ntwo\r\nthr")
    assert told(caplog) == ["orders: one", "orders: two"]
    output.data_received(b"ee\n\n  \n")
    assert told(caplog)[2:] == ["orders: three"]
    (record, *_) = caplog.records
    assert (record.levelno, record.mapping, record.action, record.pid) == (
        logging.INFO, "orders", "handler_output", 4711
    )  # fmt: skip


async def test_the_last_line_needs_no_end(output: OutputLines, caplog):
    output.data_received(b"Segmentation fault")
    assert told(caplog) == []
    assert not output.ended.is_set()
    output.connection_lost(None)
    assert told(caplog) == ["orders: Segmentation fault"]
    assert output.ended.is_set()


async def test_bytes_that_are_no_text_do_no_harm(output: OutputLines, caplog):
    output.data_received("é".encode()[:1])
    output.data_received("é".encode()[1:] + b" \xff\xfe%s\n")
    assert told(caplog) == ["orders: é \ufffd\ufffd%s"]


@pytest.mark.parametrize("size", [MOST_LINE, MOST_LINE + 1, 10 * MOST_LINE + 3])
@pytest.mark.parametrize("end", [b"\n", b""])
async def test_a_long_line_is_cut_and_nothing_of_it_is_kept(output: OutputLines, caplog, size: int, end: bytes):
    text = b"x" * size + end
    for start in range(0, len(text), 5_000):
        output.data_received(text[start : start + 5_000])
        assert len(output._rest) < MOST_LINE
    output.connection_lost(None)
    lines = [line.removeprefix("orders: ") for line in told(caplog)]
    assert "".join(lines) == "x" * size
    assert max(map(len, lines)) <= MOST_LINE


async def test_with_nobody_listening_to_that_level_nothing_is_kept(output: OutputLines, caplog):
    caplog.set_level(logging.WARNING, logger="poller")
    output.data_received(b"x" * 100_000 + b"\nrest")
    assert told(caplog) == []
    assert len(output._rest) < MOST_LINE
