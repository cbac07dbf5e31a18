"""requirements.txt is what the image installs: all that the package needs, and nothing of what its tests need."""

import importlib.metadata
import itertools
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = (("linux", "Linux"), ("darwin", "Darwin"))
PYTHONS = ("3.11", "3.12", "3.13")


def pinned(name: str) -> set[str]:
    return {canonicalize_name(one) for one in re.findall(r"^([\w.-]+)==", (ROOT / name).read_text(), re.MULTILINE)}


def needed(*roots: str) -> set[str]:
    """The packages and all that they ask for, on the systems and Pythons that are supported."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(root) for root in roots]
    while todo:
        one = todo.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in seen:
            continue
        seen.add(key)
        todo += [
            asked
            for text in importlib.metadata.requires(one.name) or []
            if wanted(asked := Requirement(text), one)
        ]
    return {name for name, _ in seen}


def wanted(asked: Requirement, by: Requirement) -> bool:
    return asked.marker is None or any(
        asked.marker.evaluate(
            {
                "extra": extra,
                "python_version": python,
                "python_full_version": f"{python}.0",
                "sys_platform": system,
                "platform_system": named,
            }
        )
        for extra, python, (system, named) in itertools.product({""} | by.extras, PYTHONS, SYSTEMS)
    )


def test_the_image_gets_what_the_package_needs_and_no_more() -> None:
    """Issue 6, Deployment: no compiler, linter or test tool in production; the tracing extra is in."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    runtime = pinned("requirements.txt")
    assert runtime == needed(*project["dependencies"], *project["optional-dependencies"]["otel"])
    dev = pinned("requirements-dev.txt")
    assert not runtime & dev
    assert {
        canonicalize_name(Requirement(one).name) for one in project["optional-dependencies"]["dev"]
    } <= runtime | dev


def test_every_pin_has_hashes() -> None:
    """An index that is broken into gives us nothing that we did not look at."""
    for name in ("requirements.txt", "requirements-dev.txt"):
        for block in re.split(r"\n(?=\S)", (ROOT / name).read_text()):
            assert block.startswith("-r ") or block.count("--hash=sha256:") >= 1, block.splitlines()[0]
