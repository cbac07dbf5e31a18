"""Which frame of a stack is the user's."""

import json
import os
from pathlib import Path

import pytest

from poller import frames

STANDARD = json.__file__
INSTALLED = pytest.__file__
OURS = str(Path(frames.__file__).parent / "core" / "batcher.py")


@pytest.mark.parametrize(
    ("stack", "place"),
    [
        ([], ""),
        ([(STANDARD, 1), (INSTALLED, 2), ("/app/shop.py", 3), ("/app/main.py", 4), (OURS, 5)], "/app/shop.py:3"),
        ([("<frozen importlib._bootstrap>", 1), ("/app/shop.py", 3)], "/app/shop.py:3"),
        ([(STANDARD, 1), (INSTALLED, 2), (OURS, 5)], f"{INSTALLED}:2"),
        ([(STANDARD, 1)], f"{STANDARD}:1"),
    ],
)
def test_the_innermost_frame_of_the_users(stack, place: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(os.sep)
    assert frames.user_place(stack) == place.removeprefix(os.sep)


def test_a_traceback_is_read_from_its_end():
    def inner():
        json.loads("{")

    with pytest.raises(json.JSONDecodeError) as caught:
        inner()
    places = frames.of_traceback(caught.value.__traceback__)
    assert places[-1][0] == __file__
    assert "json" in places[0][0]
    line = inner.__code__.co_firstlineno + 1
    assert frames.user_place(places).endswith(f"test_frames.py:{line}")
