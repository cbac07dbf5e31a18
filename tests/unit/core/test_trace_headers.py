"""Headers that carry trace contexts: what is taken, what is written, and that nothing else is either."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poller.core.trace_headers import (
    LONGEST,
    TraceContext,
    format_traceparent,
    format_xray,
    parse_traceparent,
    parse_xray,
    trace_fields,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
XRAY = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"
CONTEXT = TraceContext(TRACE, SPAN, sampled=True)
contexts = st.builds(
    TraceContext,
    st.integers(1, 2**128 - 1).map("{:032x}".format),
    st.integers(1, 2**64 - 1).map("{:016x}".format),
    st.booleans(),
)


@given(contexts)
def test_what_is_written_is_read_again(context: TraceContext) -> None:
    assert parse_traceparent(format_traceparent(context)) == context
    assert parse_xray(format_xray(context)) == context


def test_the_forms_are_those_of_the_standards() -> None:
    assert format_traceparent(CONTEXT) == f"00-{TRACE}-{SPAN}-01"
    assert format_xray(CONTEXT) == XRAY
    assert trace_fields(CONTEXT) == {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    assert trace_fields(TraceContext(TRACE, SPAN, sampled=False, state="a=1")) == {
        "traceparent": f"00-{TRACE}-{SPAN}-00",
        "tracestate": "a=1",
    }


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),  # flags that are not known
        (f"00-{TRACE}-{SPAN}-10", False),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"cc-{TRACE}-{SPAN}-01", True),  # a version to come
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
    ],
)
def test_a_traceparent_is_read(header: str, sampled: bool) -> None:
    assert parse_traceparent(header) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        7,
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{'٣' * 32}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-{'x' * LONGEST}",
    ],
)
def test_what_is_no_traceparent_is_no_context(header: object) -> None:
    assert parse_traceparent(header) is None


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ("a=1 , ,\tfw529a3039@dt=FfffffffAg", "a=1,fw529a3039@dt=FfffffffAg"),
        ("", ""),
        (None, ""),
        (["a=1"], ""),
        ("A=1", ""),
        ("a=1,a=2", ""),
        ("a=ü", ""),
        ("a=1=2", ""),
        ("a", ""),
        ("a=1\r\nX-Evil: 1", ""),
        (",".join(f"k{number}=1" for number in range(32)), ",".join(f"k{number}=1" for number in range(32))),
        (",".join(f"k{number}=1" for number in range(33)), ""),
        ("a=" + "x" * LONGEST, ""),
        (
            ",".join(f"k{number}={'v' * 250}" for number in range(32)),
            ",".join(f"k{number}={'v' * 250}" for number in range(32)),
        ),
        (",".join(f"k{number}={'v' * 256}" for number in range(32)), ""),
    ],
)
def test_a_bad_tracestate_costs_nothing_but_itself(state: object, kept: str) -> None:
    assert parse_traceparent(f"00-{TRACE}-{SPAN}-01", state) == TraceContext(TRACE, SPAN, True, kept)


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (XRAY, True),
        (XRAY.replace("Sampled=1", "Sampled=0"), False),
        (XRAY.replace("Sampled=1", "Sampled=?"), False),
        (XRAY.replace(";Sampled=1", ""), False),
        (f"Self=1-5759e988-bd862e3fe1be46a994272793; {XRAY.replace(';', '; ')};Lineage=1:a8:0;=;", True),
    ],
)
def test_an_x_ray_header_is_read(header: str, sampled: bool) -> None:
    assert parse_xray(header) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        {},
        "",
        ";;;=;",
        "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Sampled=1",  # no span to link to
        XRAY.replace("Root=1-", "Root=2-"),
        XRAY.replace("4bf92f35", "4BF92F35"),
        XRAY.replace(SPAN, "0" * 16),
        XRAY.replace(SPAN, SPAN + "0"),
        XRAY.replace("4bf92f35-77b34da6a3ce929d0e0e4736", "00000000-000000000000000000000000"),
        XRAY.replace(";", ","),
        XRAY + "\n" + "x" * LONGEST,
        "Root=;" + XRAY,
    ],
)
def test_what_is_no_x_ray_header_is_no_context(header: object) -> None:
    assert parse_xray(header) is None


@given(st.text(alphabet="0123456789abcf-=;:,RootParentSampled1 \n", max_size=120), st.text(max_size=60))
def test_hostile_headers_are_ignored(header: str, state: str) -> None:
    for found in (parse_traceparent(header, state), parse_xray(header)):
        assert found is None or parse_traceparent(format_traceparent(found), found.state) == found
