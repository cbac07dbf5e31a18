"""The documents for users: their links lead somewhere, their configurations are legal, their Python runs."""

import re
from pathlib import Path

import pytest
import yaml

from poller.actions import ACTIONS, COMMON
from poller.config import Configuration, parse
from poller.core.failed_batch import FailedBatch, read_failure
from poller.core.mapping_shapes import dotted

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "poller" / "README.md", *ROOT.glob("deploy/**/*.md")])
GUIDES = [ROOT / "deploy" / "docs" / name for name in ("operate.md", "migrate.md")]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """Of its headings, as GitHub and GitLab make them."""
    text = re.sub(r"^```.*?^```$", "", document.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(document: Path) -> list[str]:
    """Those inside the project."""
    found = re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8"))
    return [link for link in found if not link.startswith(("http:", "https:"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in links(document):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{link}: there is no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


def test_every_alert_has_its_heading() -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for rule in group["rules"]]
    for rule in rules:
        path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert anchor == f"alert-{rule['alert'].lower()}"
        assert anchor in anchors(ROOT / path)
    told = {anchor for anchor in anchors(GUIDES[0]) if anchor.startswith("alert-")}
    assert told == {f"alert-{rule['alert'].lower()}" for rule in rules}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_configurations_shown_are_legal(guide: Path) -> None:
    """CFG-1."""
    for text in blocks(guide, "yaml"):
        result = parse(text, guide.name, {})
        assert isinstance(result, Configuration), [
            f"{dotted(problem.path)}: {problem.sentence}" for problem in result.problems
        ]


def test_the_python_of_the_guides_runs() -> None:
    """PBR-10: a task as Celery has it, one record at a time."""
    (text,) = blocks(GUIDES[1], "python")
    names: dict[str, object] = {}
    exec(text, names)
    records = [{"messageId": "1", "eventSource": "aws:sqs", "body": body} for body in ['{"to": "ann"}', "{}"]]
    assert names["send_mail"]({"Records": records[1:]}, None) == {"batchItemFailures": [{"itemIdentifier": "1"}]}  # type: ignore[operator]
    assert names["send_mail"]({"Records": records[:1]}, None) == {"batchItemFailures": []}  # type: ignore[operator]


def test_what_is_made_of_a_log_line_is_a_failure_document() -> None:
    """DST-9, ERR-31: its members are those that replay reads, and the fields are those of the line."""
    text = GUIDES[0].read_text("utf-8")
    (members,) = re.findall(r"\{KinesisBatchInfo: \{(.*?)\}\}", text, re.DOTALL)
    made = dict(re.findall(r"(\w+): (\.\w+|\".*?\")", members))
    selected = re.findall(r"(?<=[ (])\.(\w+)", text.partition("{KinesisBatchInfo")[0].rpartition("jq -cR")[2])
    fields = {*(field[1:] for field in made.values() if field.startswith(".")), *selected}
    assert fields - {"action"} <= {*ACTIONS["discarded"].fields, *COMMON}
    values: dict[str, object] = dict.fromkeys(made, "1") | {"batchSize": 1}
    assert isinstance(read_failure({"KinesisBatchInfo": values}), FailedBatch)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_can_be_pasted(document: Path) -> None:
    """zsh, the shell of macOS, takes a comment in pasted text for arguments."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line for language, text in fenced if language in {"", "sh"} for line in text.splitlines()]
    commands = [line for line in lines if re.match(r"(poller|make|aws|docker|kubectl|pip) ", line)]
    assert [line for line in commands if re.search(r"\s#", line)] == []


def test_every_known_surprise_has_our_answer() -> None:
    """SUR-1 to SUR-22."""
    told = re.findall(r"^\| (SUR-\d+) \|", GUIDES[0].read_text("utf-8"), re.MULTILINE)
    contract = re.findall(r"\*\*(SUR-\d+)\*\*", (ROOT / "poller" / "semantics.md").read_text("utf-8"))
    assert told == contract
