"""Settings: where state may live, the environment, and that defaults are those of the documentation."""

import pytest

from poller.errors import ConfigurationError
from poller.settings import Settings, State, environment, parse_state


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("memory:", State("memory")),
        ("sqlite:poller.db", State("sqlite", "poller.db")),
        ("sqlite:/var/lib/a b/poller.db", State("sqlite", "/var/lib/a b/poller.db")),
        ("sqlite:../state.db", State("sqlite", "../state.db")),
    ],
)
def test_places_for_state(text: str, state: State) -> None:
    """STR-31: only a file outlasts the process."""
    assert parse_state(text) == state
    assert state.lasting == text.startswith("sqlite:")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dynamodb:leases", "dynamodb: is for fleets of pollers, which are not part of this version"),
        ("dynamodb:", "not part of this version"),
        ("", "'' is not a place for state"),
        ("memory", "'memory' is not a place for state"),
        ("memory:x", "is not a place"),
        ("sqlite", "is not a place"),
        ("sqlite:", "is not a place"),
        ("sqlite: ", "is not a place"),
        ("sqlite: poller.db", "is not a place"),
        ("sqlite::memory:", "is no file, so that positions would be lost"),
        ("sqlite:///poller.db", "is a URL, not a path: write sqlite:poller.db"),
        ("sqlite:a\0b", "is not a place"),
        ("redis://h", "is not a place"),
    ],
)
def test_what_is_no_place_for_state(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_state(text)
    assert words in str(caught.value)
    assert str(caught.value).endswith("allowed: memory: or sqlite:<path>.")
    assert str(caught.value).isprintable()


def test_defaults() -> None:
    """Durable state, listeners on loopback only, 25 seconds to stop in."""
    settings = Settings()
    assert settings.state == State("sqlite", "poller.db")
    assert (settings.metrics_listen, settings.control_listen) == ("127.0.0.1:9464", "127.0.0.1:9465")
    assert (settings.shutdown_timeout, settings.log_level, settings.log_format) == (25.0, "INFO", "auto")
    assert (settings.region, settings.account_id, settings.endpoint_url) == (None, None, None)


def test_the_environment_is_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy: nobody changes the process's own through it."""
    monkeypatch.setenv("POLLER_TEST_ONE", "1")
    taken = environment()
    assert taken["POLLER_TEST_ONE"] == "1"
    monkeypatch.setenv("POLLER_TEST_ONE", "2")
    assert taken["POLLER_TEST_ONE"] == "1"
    taken["POLLER_TEST_TWO"] = "3"
    assert "POLLER_TEST_TWO" not in environment()
