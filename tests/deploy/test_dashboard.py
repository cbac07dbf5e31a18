"""The dashboard: that Grafana can load it, and that it is what its script makes.

No Grafana runs here: what it needs of a panel is checked field by field. Whether the queries find anything is
tested against a real daemon, in tests/acceptance/test_monitoring.py.
"""

import importlib.util
import itertools
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
BOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
QUERIES = [(panel["title"], target) for panel in PANELS for target in panel.get("targets", [])]
# units of Grafana that are ours: a wrong word is shown as a bare number
UNITS = {"s", "short", "cps", "percentunit", "bytes"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_dashboard", FOLDER / "make_dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_is_what_its_script_makes(script: ModuleType) -> None:
    assert (FOLDER / "dashboard.json").read_text() == script.text(), "run python deploy/grafana/make_dashboard.py"


def test_it_can_be_loaded() -> None:
    assert set(BOARD) >= {
        "uid",
        "title",
        "schemaVersion",
        "panels",
        "templating",
        "time",
        "refresh",
        "annotations",
    }
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", BOARD["uid"])
    assert "id" not in BOARD, "a number that another Grafana gave would overwrite a dashboard there"
    assert [variable["name"] for variable in BOARD["templating"]["list"]] == ["datasource", "source", "mapping"]
    assert BOARD["templating"]["list"][0]["type"] == "datasource"
    for variable in BOARD["templating"]["list"][1:]:
        assert variable["datasource"]["uid"] == "${datasource}"
        assert variable["query"]["query"] == variable["definition"]
        assert variable["multi"]
        assert variable["includeAll"]


def test_rows_are_those_of_the_list() -> None:
    rows = [panel["title"] for panel in PANELS if panel["type"] == "row"]
    assert rows == ["State", "Queues", "Streams", "Batches", "Handler", "Process"]


def test_panels_are_numbered_and_lie_side_by_side() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
    for one, other in itertools.combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@pytest.mark.parametrize("panel", [one for one in PANELS if one["type"] != "row"], ids=lambda one: one["title"])
def test_a_panel_has_all_that_it_needs(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"timeseries", "stat", "heatmap", "status-history"}
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["description"].endswith(".")
    told = panel["fieldConfig"]["defaults"]
    assert told["unit"] in UNITS
    values = [step["value"] for step in told["thresholds"]["steps"]]
    assert values[0] is None
    assert values[1:] == sorted(values[1:])
    assert panel["targets"]
    for place, target in enumerate(panel["targets"]):
        assert target["refId"] == "ABCDEF"[place]
        assert target["datasource"] == panel["datasource"]
        assert target["legendFormat"]
    if panel["type"] == "heatmap":
        assert panel["targets"][0]["format"] == "heatmap"
        assert panel["options"]["calculate"] is False


@pytest.mark.parametrize(("title", "target"), QUERIES, ids=[f"{title} {one['refId']}" for title, one in QUERIES])
def test_a_query_of_mappings_shows_the_chosen_ones_only(title: str, target: dict[str, Any]) -> None:
    of_mappings = re.findall(r"(esm_(?!aws|event_loop_lag|build)\w+)(\{[^}]*\})?", target["expr"])
    for name, matchers in of_mappings:
        assert 'mapping=~"$mapping"' in matchers, (title, name)
        assert 'source=~"$source"' in matchers, (title, name)
    assert not re.search(r"\[\d", target["expr"]), "a fixed range shows gaps when zoomed out"
