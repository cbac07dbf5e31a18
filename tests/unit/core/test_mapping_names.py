"""URLs of endpoints and targets."""

import pytest

from poller.core.mapping_names import url_problem


@pytest.mark.parametrize(
    ("host", "good"),
    [("10.0.0.255", True), ("10.0.0.256", False), ("255.255.255.255", True), ("10.0.0", True), ("[::1]", True)],
)
def test_an_address_has_numbers_up_to_255(host: str, good: bool) -> None:
    """CFG-2: of a target, as of an endpoint."""
    assert (url_problem(f"http://{host}/x") is None) is good


@pytest.mark.parametrize(
    ("url", "query", "words"),
    [
        ("http://a.b/c?d=e", True, None),
        ("http://a.b/c?d=e", False, "has neither query nor fragment"),
        ("http://a.b/c#d", True, "has no fragment"),
        ("http://u:p@a.b/", True, "user name or password"),
        ("ftp://a.b/", True, "not the URL of an endpoint"),
        ("http://a.b:x/", True, "not a URL"),
    ],
)
def test_what_a_url_may_have(url: str, query: bool, words: str | None) -> None:
    """CFG-2: a target has a query, an endpoint none; what is allowed is told."""
    wrong = url_problem(url, query=query)
    if words is None:
        assert wrong is None
        return
    assert wrong is not None
    assert words in wrong
    assert wrong.endswith("a port, a path and a query" if query else "a port and a path")
