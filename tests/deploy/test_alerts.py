"""Alert rules: each fires when it should and not before; the cases notice a rule that was changed.

The cases are alerts_test.yaml, for promtool. They run here on an evaluator of our own, and on promtool where it is
installed (Debian: prometheus), whose verdict must be the same.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.promql import Tree, parse_all
from tests.deploy.rule_cases import Cases, rules_of, seconds
from tests.servers import harness

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
CASES = Cases(FOLDER / "alerts_test.yaml")
RULES = {rule["alert"]: rule for rule in rules_of(FOLDER / "alerts.yaml")}
PROMTOOL = shutil.which("promtool")
# what metrics.md of the house and its users count on
LISTED = {
    *("Stalled", "LagGrowing", "LagNearRetention", "ShardBlocked", "Dropping", "DestinationFailing"),
    *("HighFailureRatio", "HandlerNearTimeout", "DuplicatesLikely", "Saturated", "CheckpointFailing"),
    *("LeaseFlapping", "LoopBlocked", "Restarting"),
}
PAGES = {"Down", "Stalled", "LagNearRetention", "Dropping", "RecordsMissed", "CheckpointFailing"}


def changed(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rule with one thing that is wrong about it, and what that is."""
    expression = rule["expr"]
    for found in re.finditer(r"(?:[<>]=?|==|\*) ([\d.]+)|([\d.]+) \*", expression):
        group = 1 if found[1] else 2
        number = float(found[group])
        others = (number + 1, number - 1) if number in {2, 3} else (number * 1.25, number * 0.8)
        if not number:
            others = (1.5, -1.0)
        if "==" in found[0]:
            others = (0.0,) if number else (1.0,)
        for other in others:
            start, end = found.span(group)
            yield f"{found[0]}: {other:g}", rule | {"expr": f"{expression[:start]}{other:g}{expression[end:]}"}
    for found in re.finditer(r"=~?\"[^\"]*\"", expression):
        start, end = found.span()
        yield f"not {found[0]}", rule | {"expr": f'{expression[:start]}="nothing"{expression[end:]}'}
    if "for" in rule:
        yield "no for", {key: value for key, value in rule.items() if key != "for"}
        yield "for longer", rule | {"for": f"{seconds(rule['for']) / 60 + 2:.0f}m"}


CHANGED = [(f"{name}, {what}", other) for name, rule in RULES.items() for what, other in changed(rule)]


@pytest.fixture(scope="module")
def trees() -> dict[str, Tree]:
    rules = [*RULES.values(), *(rule for _, rule in CHANGED)]
    try:
        return parse_all([*(rule["expr"] for rule in rules), *CASES.expressions])
    except harness.ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"PARSER MISSING, and in CI it must be there: {missing}")
        pytest.skip(f"PARSER MISSING, no alert was tested: {missing}")


def test_every_alert_that_was_promised_is_there() -> None:
    assert {name.removeprefix("Poller") for name in RULES} >= LISTED
    assert len(RULES) == len(rules_of(FOLDER / "alerts.yaml")), "a name is there twice"
    assert CASES.by_alert.keys() == RULES.keys()


@pytest.mark.parametrize("name", RULES)
def test_it_fires_when_it_should_and_not_before(name: str, trees: dict[str, Tree]) -> None:
    checks = CASES.by_alert[name]["promql_expr_test"]
    assert any(check["exp_samples"] for check in checks), "no case fires"
    assert any("near" in one["series"] or "long-ago" in one["series"] or "accepted" in one["series"]
               for one in CASES.by_alert[name]["input_series"])  # fmt: skip
    assert CASES.failures(RULES[name], trees) == []


@pytest.mark.parametrize("name", RULES)
def test_it_says_what_to_do_about_what_it_names(name: str, trees: dict[str, Tree]) -> None:
    """A text with a label that the expression does not have would have a hole there."""
    rule = RULES[name]
    assert rule["labels"] == {"severity": "critical" if name.removeprefix("Poller") in PAGES else "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"deploy/docs/operate.md#alert-{name.lower()}"
    used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert used & {"mapping", "instance", "job"}
    _, fired = CASES.played(rule, trees)
    assert fired
    for labels in fired:
        assert used <= {label for label, _ in labels}


def test_the_guide_has_a_section_for_each_and_for_no_other() -> None:
    guide = (ROOT / "deploy" / "docs" / "operate.md").read_text()
    assert re.findall(r"^#+ Alert (\w+)$", guide, re.MULTILINE) == list(RULES)


@pytest.mark.parametrize(("what", "rule"), CHANGED, ids=[what for what, _ in CHANGED])
def test_a_rule_that_was_changed_is_noticed(what: str, rule: dict[str, Any], trees: dict[str, Tree]) -> None:
    assert CASES.failures(rule, trees), what


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on this machine: our evaluator stands alone")
def test_promtool_says_the_same(tmp_path: Path) -> None:
    """Of the rules as they are and of some that were changed: what differs would be a fault of our evaluator."""
    assert PROMTOOL is not None
    told = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())
    (tmp_path / "rules.yaml").write_text((FOLDER / "alerts.yaml").read_text())
    files = [FOLDER / "alerts_test.yaml"]
    for number, (_, rule) in enumerate(CHANGED[::5]):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
        case = told | {"rule_files": [f"{number}.yaml"], "tests": [CASES.by_alert[rule["alert"]]]}
        files.append(tmp_path / f"{number}_test.yaml")
        files[-1].write_text(yaml.safe_dump(case))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", *map(str, files)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # where it says what failed
        text=True,
        timeout=120,
        env=os.environ | {"GOMAXPROCS": "1", "GOGC": "400"},  # a third of its time is garbage collection
    )
    verdicts = dict(re.findall(r"Unit Testing:\s+(\S+)\s+(SUCCESS|FAILED)", done.stdout))
    assert verdicts.keys() == set(map(str, files)), done.stdout
    assert [file for file, verdict in verdicts.items() if verdict == "SUCCESS"] == [str(files[0])], done.stdout


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on this machine")
def test_promtool_takes_the_configuration() -> None:
    assert PROMTOOL is not None
    for command, file in (("config", "prometheus.yml"), ("rules", "alerts.yaml")):
        done = subprocess.run(
            [PROMTOOL, "check", command, file], cwd=FOLDER, check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_loads_the_rules_and_scrapes_the_daemon() -> None:
    told = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert [(FOLDER / name).resolve() for name in told["rule_files"]] == [FOLDER / "alerts.yaml"]
    (job,) = told["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["poller:9464"]}]
