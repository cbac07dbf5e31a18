"""Does what deploy/Dockerfile says where there is no Docker: `python -m tests.deploy.image FOLDER`.

Each COPY and RUN of its stages is done in the folder, in the place of the image's root; then the image's
commands run as its user, with a tree that this user cannot write to and nothing of the machine's environment.
What only Docker has (base images, layers, the health check's clock) is not shown by this. It takes a minute and
a package index, so it is no part of `make test`. The Python that runs this is the image's: it needs the package
`dockerfile` and, where this is root, a place that other users can reach.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PLACES = ("/opt/esm-poller", "/var/lib/esm-poller", "/wheels", "/build")


def build(folder: Path) -> dict[str, str]:
    """Does the steps of all stages; the environment of the last one."""
    from dockerfile import parse_file  # noqa: PLC0415 - of the environment of tools

    folder.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "python")], check=True)
    environment = {"PATH": f"{folder}/python/bin:/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    where, stage = folder, ""
    stages: dict[str, Path] = {}
    for step in parse_file(str(ROOT / "deploy/Dockerfile")):
        match step.cmd.upper():
            case "FROM":
                where = stages.get(step.value[0], folder)
                stage = step.value[-1]
            case "ENV":
                for name, value in zip(step.value[::3], step.value[1::3], strict=True):
                    environment[name] = _placed(value, folder).replace("$PATH", environment["PATH"])
            case "WORKDIR":
                where = Path(_placed(step.value[0], folder))
                where.mkdir(parents=True, exist_ok=True)
                stages[stage] = where
            case "COPY" if not step.flags:
                for source in step.value[:-1]:
                    _copy(ROOT / source, where / step.value[-1])
            case "RUN":
                subprocess.run(_placed(step.value[0], folder), shell=True, cwd=where, env=environment, check=True)
    return environment


def _placed(text: str, folder: Path) -> str:
    for place in _PLACES:
        text = text.replace(place, f"{folder}{place}")
    return text


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def use(folder: Path, environment: dict[str, str]) -> None:
    """As the image's user: the sample's configuration is checked, and the demo accounts for all of its records."""
    who = {"user": 65532, "group": 65532, "extra_groups": []} if os.geteuid() == 0 else {}
    state = folder / "var/lib/esm-poller"
    environment = {name: value for name, value in environment.items() if not name.startswith("PIP_")}
    environment["PYTHONPATH"] = str(ROOT / "deploy/sample")
    environment["STATUS_TOKEN"] = "x" * 32
    sample = str(ROOT / "deploy/sample/poller.yaml")
    for command in ("poller --version", f"poller check -c {sample}", "poller demo --records 40 --seconds 1"):
        subprocess.run(command.split(), env=environment, cwd=state, check=True, **who)
    touched = subprocess.run(["touch", f"{folder}/opt/esm-poller/x"], check=False, capture_output=True, **who)
    assert touched.returncode, "the image's user can change what is installed"
    for name in ("pip", "pytest", "mypy", "boto3"):
        found = subprocess.run(
            ["python", "-c", f"import {name}"], env=environment, check=False, capture_output=True
        )
        assert found.returncode, f"{name} is in the image"
    print(
        subprocess.check_output(["du", "-sh", str(folder / "opt/esm-poller")], text=True).split()[0], "installed"
    )


if __name__ == "__main__":
    place = Path(sys.argv[1]).resolve()
    use(place, build(place))
    print(json.dumps({"image": "its steps and its command work"}))
