"""Asks the tools of tests/servers/deploy-tools.txt about files, in their Python: `tools.py KIND FILE...`.

It prints one problem a line, and nothing when all is well. One process looks at all files of a kind, because most
of the time goes into the imports.
"""

import sys
from pathlib import Path

KUBERNETES = ("1.33.0", "1.37.0")  # the oldest that is still kept, and the newest that is known


def dockerfile(path: Path) -> list[str]:
    """By Docker's own parser; then what it does not look at: unknown instructions, stages that are not there."""
    from dockerfile import GoParseError, parse_file  # noqa: PLC0415 - each kind imports its own

    try:
        steps = parse_file(str(path))
    except GoParseError as error:
        return [str(error)]
    known = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN"}
    known |= {"STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
    problems = [
        f"line {step.start_line}: no instruction {step.cmd}" for step in steps if step.cmd.upper() not in known
    ]
    stages = {step.value[-1] for step in steps if step.cmd.upper() == "FROM" and len(step.value) == 3}
    asked = [flag.removeprefix("--from=") for step in steps for flag in step.flags if flag.startswith("--from=")]
    return problems + [f"no stage {stage}" for stage in asked if stage not in stages]


def kubernetes(path: Path) -> list[str]:
    """Each document, strictly, by the schemas of the oldest and the newest version."""
    import kubernetes_validate  # noqa: PLC0415
    import yaml  # noqa: PLC0415

    problems = []
    for document in filter(None, yaml.safe_load_all(path.read_text())):
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = ".".join(str(part) for part in error.path)
                problems.append(f"{document['kind']} {version} {where}: {error.message}")
            except kubernetes_validate.SchemaNotFoundError as error:
                problems.append(f"{document['kind']}: {error}")
    return problems


def cloudformation(path: Path) -> list[str]:
    """By cfn-lint, for one region."""
    from cfnlint.api import lint_file  # noqa: PLC0415
    from cfnlint.config import ManualArgs  # noqa: PLC0415

    matches = lint_file(path, config=ManualArgs(regions=["eu-west-1"]))
    return [f"line {match.linenumber}: {match.rule.id} {match.message}" for match in matches]


if __name__ == "__main__":
    look = {"dockerfile": dockerfile, "kubernetes": kubernetes, "cloudformation": cloudformation}[sys.argv[1]]
    for name in sys.argv[2:]:
        for problem in look(Path(name)):
            print(f"{Path(name).name}: {problem}")
