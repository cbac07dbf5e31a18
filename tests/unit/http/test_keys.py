"""Keys of the control listener: where they come from, and what is said of those that are none."""

import pytest

from poller.errors import ConfigurationError
from poller.http.keys import Keys, read_keys
from poller.settings import Settings

TOKEN = "0123456789abcdef"
BOTH = Settings(control_token_variable="TOKEN", control_keys_variable="PAIRS")


def test_nothing_named_is_nothing_wanted():
    assert not read_keys(Settings(), {"TOKEN": TOKEN}).wanted


def test_keys_are_read_from_their_variables_and_shown_to_nobody():
    keys = read_keys(BOTH, {"TOKEN": f" {TOKEN}\n", "PAIRS": f"A:{TOKEN}/+=:\n B.2:{TOKEN}"})
    assert keys == Keys(TOKEN, {"A": f"{TOKEN}/+=:", "B.2": TOKEN})
    assert keys.wanted
    assert TOKEN not in repr(keys)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "TokenVariable: the environment variable TOKEN is not set"),
        ({"TOKEN": " "}, "TokenVariable: the environment variable TOKEN is empty"),
        ({"TOKEN": "hunter2"}, "TokenVariable: the environment variable TOKEN is no token; allowed: 16 or more"),
        ({"TOKEN": "hunter2 hunter2 hunter2"}, "TOKEN is no token"),
        ({"TOKEN": "hunter2hunter2hunter2\udcff"}, "TOKEN is no token"),
        ({"TOKEN": TOKEN}, "AccessKeysVariable: the environment variable PAIRS is not set"),
        ({"TOKEN": TOKEN, "PAIRS": f"A:{TOKEN} hunter2hunter2hunter2"}, "no usable pair in place 2"),
        ({"TOKEN": TOKEN, "PAIRS": "A:hunter2"}, "no usable pair in place 1"),
        ({"TOKEN": TOKEN, "PAIRS": f"A/b:{TOKEN}"}, "no usable pair in place 1"),
        ({"TOKEN": TOKEN, "PAIRS": f"A:{TOKEN} A:hunter2hunter2hunter2"}, "no usable pair in place 2"),
    ],
)
def test_what_is_no_key_is_one_sentence_without_it(environment, said):
    with pytest.raises(ConfigurationError) as caught:
        read_keys(BOTH, environment)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
