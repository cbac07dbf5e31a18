"""python:package.module:attribute, and the one sentence when there is no such thing."""

import sys
from pathlib import Path

import pytest

from poller.errors import ConfigurationError
from poller.handlers.importing import import_target


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refusal(target: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        import_target(target)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_imports_from_the_working_directory(project: Path):
    (project / "esmshop").mkdir()
    (project / "esmshop/orders.py").write_text("def handler(event, context): return 7\n")
    assert import_target("esmshop.orders:handler")({}, None) == 7
    assert sys.path[0] == str(project)
    import_target("esmshop.orders:handler")
    assert sys.path.count(str(project)) == 1


def test_the_attribute_may_be_dotted(project: Path):
    (project / "esmdotted.py").write_text("class Orders:\n    @staticmethod\n    def take(e, c): return 3\n")
    assert import_target("esmdotted:Orders.take")({}, None) == 3


def test_no_such_module_names_it_and_where_it_was_looked_for(project: Path):
    text = refusal("esmnone.orders:handler")
    assert "no module 'esmnone'" in text
    assert str(project) in text


def test_no_such_module_in_the_package(project: Path):
    (project / "esmpart").mkdir()
    (project / "esmpart/__init__.py").touch()
    text = refusal("esmpart.orders:handler")
    assert "no module 'esmpart.orders' in the package 'esmpart'" in text


def test_a_module_that_the_module_needs_is_missing(project: Path):
    (project / "esmneeds.py").write_text("import os\nimport esmabsent\n")
    text = refusal("esmneeds:handler")
    assert "importing 'esmneeds' failed at esmneeds.py:2: ModuleNotFoundError" in text
    assert "esmabsent" in text


def test_no_such_attribute_suggests_a_similar_one(project: Path):
    (project / "esmtypo.py").write_text("def handler(e, c): pass\n")
    assert "esmtypo has no 'handlr'; did you mean 'handler'?" in refusal("esmtypo:handlr")
    assert "did you mean" not in refusal("esmtypo:zzz")


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("import json\n\njson.loads('{')\n", "JSONDecodeError", "esmbad.py:3"),
        ("import sys\nsys.exit('no settings')\n", "SystemExit", "no settings"),
        ("class B(BaseException): pass\nraise B('mine')\n", "B", "mine"),
        ("x = 1\ndef f(:\n", "SyntaxError", "esmbad.py:2"),
        ("class E(Exception):\n    def __str__(self): raise self\nraise E\n", "E", "esmbad.py:3"),
        ("def __getattr__(name): raise OSError('gone')\n", "OSError", "gone"),
    ],
)
def test_a_module_that_raises_is_named_with_the_line(project: Path, source: str, kind: str, words: str):
    (project / "esmbad.py").write_text(source)
    text = refusal("esmbad:handler")
    assert kind in text
    assert words in text


@pytest.mark.parametrize(
    "target", ["", "shop", "shop:", ":handler", "shop.:handler", "shop/orders.py:handler", "a:b c"]
)
def test_not_of_the_form(target: str):
    assert "is not of the form python:package.module:attribute" in refusal(target)
