"""promtool's unit tests of rules, run by ourselves: series in its notation, rules evaluated step by step, checks.

Only what alerts_test.yaml uses: promql_expr_test. Everything else in a file is refused.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.promql import NAME, Labels, Sample, Storage, Tree, evaluate

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SERIES = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)?\{(?P<labels>.*)\}")
_ALERT = re.compile(r'alertname="(\w+)"')
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_MISSING = re.compile(r"_(?:x(\d+))?")
_VALUES = re.compile(r"(?P<start>-?[\d.]+)(?:(?P<step>[+-][\d.]+))?(?:x(?P<times>\d+))?")


def seconds(text: str) -> float:
    """A duration such as 1m, 90s or 1h30m."""
    parts = re.findall(r"(\d+)([smhd])", text)
    assert parts, text
    assert "".join(number + unit for number, unit in parts) == text, text
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)


def values(text: str, interval: float) -> list[Sample]:
    """`1+2x3` is 1 3 5 7, `5x2` is 5 5 5, `_` and `_x2` are samples that are missing, `stale` ends the series."""
    found: list[float | None] = []
    stale = set()
    for part in text.split():
        if missing := _MISSING.fullmatch(part):
            found += [None] * int(missing[1] or 1)
            continue
        if part == "stale":
            stale.add(len(found))
            found.append(None)
            continue
        told = _VALUES.fullmatch(part)
        assert told, part
        start, step, times = float(told["start"]), float(told["step"] or 0), int(told["times"] or 0)
        found += [start + step * number for number in range(times + 1)]
    return [
        (number * interval, value) for number, value in enumerate(found) if value is not None or number in stale
    ]


def series(text: str) -> dict[str, str]:
    """Labels of `name{label="value"}`."""
    told = _SERIES.fullmatch(text.strip())
    assert told, text
    labels = dict(_LABEL.findall(told["labels"]))
    return {NAME: told["name"], **labels} if told["name"] else labels


class Rule:
    """An alert rule and what it was when it was last evaluated: since when each of its alerts is active."""

    def __init__(self, told: Mapping[str, Any], tree: Tree) -> None:
        self.name = str(told["alert"])
        self._labels = dict(told.get("labels", {}))
        self._hold = seconds(told["for"]) if "for" in told else 0.0
        self._tree = tree
        self._active: dict[Labels, float] = {}
        self._shown: set[Labels] = set()

    def step(self, storage: Storage, now: float) -> None:
        """One evaluation; what it comes to is written to the series ALERTS, as Prometheus does."""
        found = evaluate(self._tree, storage, now)
        assert isinstance(found, dict), "an alert needs a vector"
        self._active = {labels: self._active.get(labels, now) for labels in found}
        shown = set()
        for labels, since in self._active.items():
            state = "firing" if now - since >= self._hold else "pending"
            named = {key: value for key, value in labels if key != NAME} | self._labels
            alert = named | {NAME: "ALERTS", "alertname": self.name, "alertstate": state}
            shown.add(frozenset(alert.items()))
        for alert in self._shown - shown:
            storage.add(dict(alert), [(now, None)])
        for alert in shown:
            storage.add(dict(alert), [(now, 1.0)])
        self._shown = shown


def rules_of(file: Path) -> list[dict[str, Any]]:
    """The rules of all groups of a rule file."""
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


class Cases:
    """A file of cases, by the alert that each is about."""

    def __init__(self, file: Path) -> None:
        told = yaml.safe_load(file.read_text())
        assert set(told) == {"rule_files", "evaluation_interval", "tests"}, set(told)
        self.rule_files = [file.parent / name for name in told["rule_files"]]
        self._every = seconds(told["evaluation_interval"])
        self.by_alert: dict[str, Any] = {}
        for test in told["tests"]:
            assert set(test) == {"name", "interval", "input_series", "promql_expr_test"}, set(test)
            (alert,) = {name for check in test["promql_expr_test"] for name in _ALERT.findall(check["expr"])}
            assert alert not in self.by_alert, alert
            self.by_alert[alert] = test

    @property
    def expressions(self) -> list[str]:
        """Those of the checks."""
        return [check["expr"] for test in self.by_alert.values() for check in test["promql_expr_test"]]

    def failures(self, rule: Mapping[str, Any], trees: Mapping[str, Tree]) -> list[str]:
        """What the case of the rule's alert expects and is not so, a line for each."""
        return self.played(rule, trees)[0]

    def played(self, rule: Mapping[str, Any], trees: Mapping[str, Tree]) -> tuple[list[str], set[Labels]]:
        """The same, with the labels of all alerts that fired."""
        test = self.by_alert[rule["alert"]]
        storage = Storage()
        for one in test["input_series"]:
            storage.add(series(one["series"]), values(str(one["values"]), seconds(test["interval"])))
        evaluated = Rule(rule, trees[rule["expr"]])
        wrong, now = [], 0.0
        for check in sorted(test["promql_expr_test"], key=lambda check: seconds(check["eval_time"])):
            while now <= seconds(check["eval_time"]):
                evaluated.step(storage, now)
                now += self._every
            wrong += _failures(test["name"], check, trees[check["expr"]], storage)
        fired = {("alertstate", "firing"), (NAME, "ALERTS")}
        return wrong, {labels for labels in storage.series if fired <= labels}


def _failures(name: str, check: Mapping[str, Any], tree: Tree, storage: Storage) -> list[str]:
    found = evaluate(tree, storage, seconds(check["eval_time"]))
    assert isinstance(found, dict), check["expr"]
    expected = {frozenset(series(one["labels"]).items()): float(one["value"]) for one in check["exp_samples"]}
    if found.keys() == expected.keys() and all(math.isclose(found[key], expected[key]) for key in found):
        return []
    return [f"{name}: at {check['eval_time']} {check['expr']} is {_told(found)}, not {_told(expected)}"]


def _told(vector: Mapping[Labels, float]) -> str:
    return str(sorted((sorted(labels), value) for labels, value in vector.items()))
