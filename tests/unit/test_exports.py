"""The public names of the package, and when they are loaded."""

import subprocess
import sys

import pytest

import poller
import poller.embed
import poller.errors
import poller.per_record


@pytest.mark.parametrize("name", [name for name in poller.__all__ if name != "__version__"])
def test_every_public_name_is_there(name: str) -> None:
    homes = {"each": poller.per_record} | dict.fromkeys(["Mapping", "Poller", "run"], poller.embed)
    home = homes.get(name, poller.errors)
    assert getattr(poller, name) is getattr(home, name)


def test_there_are_no_others() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        poller.nothing  # type: ignore[attr-defined]  # noqa: B018 - the look is what is tested


def test_the_command_line_is_there_before_the_rest_is_loaded() -> None:
    """A Ctrl-C at the start is its to answer, not the interpreter's."""
    code = "import sys, poller.cli; print({'aiobotocore', 'poller.service'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_a_file_is_read_without_an_http_library_and_an_aws_sdk() -> None:
    """They are half a second, and who has mistyped a field waits for none of it."""
    code = "import sys, poller.cli, poller.config; print({'aiobotocore', 'aiohttp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"
