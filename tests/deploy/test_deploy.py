"""The files of deploy/ fit the product, each other, and what reads them (issue 6, Deployment).

A tool that cannot be had is told as missing. Not shown here, because it needs a Docker engine, a cluster or
AWS: that the image builds on its base images, and that what is accepted also runs there. deploy/README.md says
the same.
"""

import functools
import hashlib
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import validate_parameters

from poller.check import check_file
from poller.cli import commands
from poller.config import load
from poller.errors import ConfigurationError
from poller.http.health import health_app
from poller.iam import make_policy
from poller.metrics import Metrics
from poller.notify import STOP_MARGIN
from poller.settings import Settings
from poller.version import __version__
from tests.servers import harness

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/esm-poller"
NEEDED = Settings().shutdown_timeout + STOP_MARGIN  # seconds that whoever stops the daemon has to leave it
STATE = "/var/lib/esm-poller"
TOKEN = {"STATUS_TOKEN": "t" * 32}


# --- what the files say ---


@functools.cache
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@functools.cache
def manifests() -> dict[str, dict[str, Any]]:
    text = "\n---\n".join(path.read_text() for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")))
    return {one["kind"]: one for one in yaml.safe_load_all(text) if one}


@functools.cache
def task() -> dict[str, Any]:
    return json.loads((DEPLOY / "ecs/task-definition.json").read_text())


class _Template(yaml.SafeLoader):
    """With `!Ref` and the like, as what stands behind them."""


_Template.add_multi_constructor(
    "!",
    lambda loader, _tag, node: getattr(loader, f"construct_{node.id}")(node),  # type: ignore[no-untyped-call]
)


@functools.cache
def stack() -> dict[str, Any]:
    return yaml.load((DEPLOY / "cloudformation/template.yaml").read_text(), _Template)["Resources"]


@functools.cache
def dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")


def instruction(name: str) -> str:
    """What stands behind the last one of that name."""
    return re.findall(rf"^{name}\s+(.*)$", dockerfile(), re.MULTILINE)[-1]


def unit() -> dict[str, list[str]]:
    lines = (DEPLOY / "systemd/esm-poller.service").read_text().splitlines()
    found: dict[str, list[str]] = {}
    for name, value in (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")):
        found.setdefault(name, []).append(value)
    return found


def pod() -> dict[str, Any]:
    return manifests()["Deployment"]["spec"]["template"]["spec"]


def in_stack() -> dict[str, Any]:
    return stack()["Task"]["Properties"]["ContainerDefinitions"][0]


# --- what checks them ---


def told(kind: str, *files: Path) -> str:
    """What the tool says of the files: nothing when all is well."""
    try:
        home = harness.install(harness.DEPLOY_TOOLS)
    except harness.ServerMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(f"TOOL MISSING, and in CI it must be there: {missing}")
        pytest.skip(f"TOOL MISSING, nothing was checked by it: {missing}")
    program = Path(__file__).with_name("tools.py")
    asked = hashlib.sha256(kind.encode())
    for file in (program, *files):
        asked.update(hashlib.sha256(file.read_bytes()).digest())
    # cfn-lint takes four seconds: what was well is asked again when it or the tools, which own the folder, change
    well = home / f"well-{asked.hexdigest()}"
    if well.exists():
        return ""
    command = [str(home / "bin/python"), str(program), kind, *map(str, files)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if not found:
        well.touch()
    return found


def problems(config: Path, environment: dict[str, str]) -> list[str]:
    return [finding.text for finding in check_file(config, environment).findings if finding.level != "info"]


def test_docker_reads_the_dockerfile() -> None:
    """By its own parser."""
    assert not told("dockerfile", DEPLOY / "Dockerfile")


def test_kubernetes_takes_the_manifests() -> None:
    """Strictly. The ServiceMonitor is not Kubernetes's own; its fields are looked at below."""
    assert not told("kubernetes", DEPLOY / "kubernetes/poller.yaml")


def test_cloudformation_takes_the_template() -> None:
    """By cfn-lint."""
    assert not told("cloudformation", DEPLOY / "cloudformation/template.yaml")


def test_compose_takes_its_file() -> None:
    """By the schema of the Compose specification (Apache-2.0), kept beside this file."""
    schema = json.loads(Path(__file__).with_name("compose-spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(compose())


def test_ecs_takes_the_task_definition() -> None:
    """By the model of its API."""
    model = ServiceModel(Loader().load_service_model("ecs", "service-2"))
    validate_parameters(task(), model.operation_model("RegisterTaskDefinition").input_shape)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="TOOL MISSING: systemd-analyze")
def test_systemd_takes_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    """Its analysis knows neither of our path; every word that it does not know would be told."""
    place = tmp_path / "esm-poller.service"
    text = (DEPLOY / "systemd/esm-poller.service").read_text()
    place.write_text(text.replace("/opt/esm-poller/bin/poller", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", str(place)], check=False, capture_output=True, text=True)
    mine = [line for line in done.stderr.splitlines() if "esm-poller" in line]
    assert not mine
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(place)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@pytest.fixture(scope="module")
def helm() -> str:
    found = shutil.which("helm")
    if found is None:
        pytest.skip("TOOL MISSING: helm; the chart was not rendered")
    return found


def rendered(helm: str, *values: str) -> str:
    command = [helm, "template", "orders", str(CHART), "--kube-version", "1.34.0", *values]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_chart_renders_what_kubernetes_takes(helm: str, tmp_path: Path) -> None:
    """As it is, with a mapping, a role and a longer stop, and for queues only; its poller.yaml is a right one."""
    mapping = {"EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:orders", "FunctionName": "orders-handler"}
    full = ["--set-json", f"configuration.EventSourceMappings=[{json.dumps(mapping)}]"]
    full += ["--set", "serviceAccount.roleArn=arn:aws:iam::123456789012:role/x,shutdownTimeoutSeconds=100"]
    files = []
    for name, values in (("plain", []), ("full", full), ("queues", [*full, "--set", "persistence.enabled=false"])):
        file = tmp_path / f"{name}.yaml"
        file.write_text(rendered(helm, *values))
        files.append(file)
        found = {one["kind"]: one for one in yaml.safe_load_all(file.read_text()) if one}
        missing = set() if name != "queues" else {"PersistentVolumeClaim"}
        assert set(found) == set(manifests()) - {"ServiceMonitor"} - missing
        config = tmp_path / "poller.yaml"
        config.write_text(found["ConfigMap"]["data"]["poller.yaml"])
        if name != "plain":
            assert not problems(config, {})
            spec = found["Deployment"]["spec"]["template"]["spec"]
            timeout = load(config, {}).settings.shutdown_timeout
            assert timeout == 100
            assert spec["terminationGracePeriodSeconds"] >= timeout + STOP_MARGIN
            ours, theirs = pod()["containers"][0], spec["containers"][0]
            for same in ("args", "ports", "securityContext", "startupProbe", "livenessProbe", "readinessProbe"):
                assert theirs[same] == ours[same]
    assert not told("kubernetes", *files)
    monitor = next(
        one
        for one in yaml.safe_load_all(rendered(helm, "--set", "serviceMonitor.enabled=true"))
        if one and one["kind"] == "ServiceMonitor"
    )
    assert monitor["spec"]["endpoints"] == manifests()["ServiceMonitor"]["spec"]["endpoints"]


def test_the_chart_asks_and_waits_as_the_manifests_do() -> None:
    """By its text: helm is not everywhere."""
    text = (CHART / "templates/deployment.yaml").read_text()
    container = pod()["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = re.search(rf"{probe}:\n( +httpGet: .*\n(?: +\w+: \d+\n)+)", text)
        assert asked is not None
        assert yaml.safe_load(asked[1]) == container[probe]
    (margin,) = re.findall(
        r"terminationGracePeriodSeconds: {{ add \(int .Values.shutdownTimeoutSeconds\) (\d+) }}", text
    )
    assert int(margin) >= STOP_MARGIN


def test_the_chart_checks_its_values() -> None:
    """What is in values.yaml is allowed; a wrong name, or what the chart decides itself, is not."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    judge = jsonschema.Draft7Validator(schema)
    judge.validate(values)
    assert set(values) <= set(schema["properties"])
    wrong: tuple[dict[str, Any], ...] = (
        {"replicas": 2},
        {"shutdownTimeoutSeconds": "25"},
        {"persistence": {"enabled": True, "accessMode": "ReadWriteMany"}},
        {"configuration": {"EventSourceMappings": [], "Settings": {"State": "memory:"}}},
        {"serviceAccount": {"roleArn": "role/x"}},
    )
    for change in wrong:
        assert not judge.is_valid(values | change), change
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__


# --- they fit the product ---


@pytest.mark.parametrize("file", ["sample/poller.yaml", "ecs/poller.yaml"])
def test_configurations_are_right(file: str) -> None:
    """No error and no warning; every variable is told to the container or has a default."""
    assert not problems(DEPLOY / file, TOKEN)


def test_the_config_map_is_right(tmp_path: Path) -> None:
    """And keeps its state on the volume."""
    config = tmp_path / "poller.yaml"
    config.write_text(manifests()["ConfigMap"]["data"]["poller.yaml"])
    assert not problems(config, {})
    assert load(config, {}).settings.state.path.startswith(f"{STATE}/")


def test_commands_are_real() -> None:
    """What containers and the unit start."""
    exec_start = shlex.split(unit()["ExecStart"][0])
    assert Path(exec_start[0]).name == json.loads(instruction("ENTRYPOINT"))[0] == "poller"
    lines = [
        json.loads(instruction("CMD")),
        exec_start[1:],
        compose()["services"]["poller"]["command"],
        pod()["containers"][0]["args"],
        task()["containerDefinitions"][0]["command"],
        in_stack()["Command"],
    ]
    for name, *arguments in lines:
        assert commands.commands[name].make_context(name, arguments).params["path"].name == "poller.yaml"


def test_probes_ask_paths_that_exist_on_the_port_that_listens() -> None:
    """All three of them, each where it belongs."""
    paths = {resource.canonical for resource in health_app(Metrics()).router.resources()}
    container = pod()["containers"][0]
    asked = {kind: container[kind]["httpGet"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert [one["path"] for one in asked.values()] == ["/startupz", "/livez", "/readyz"]
    (endpoint,) = manifests()["ServiceMonitor"]["spec"]["endpoints"]
    assert {*(one["path"] for one in asked.values()), endpoint["path"]} <= paths
    (port,) = container["ports"]
    (offered,) = manifests()["Service"]["spec"]["ports"]
    assert {one["port"] for one in asked.values()} == {port["name"]} == {offered["targetPort"]}
    assert endpoint["port"] == offered["name"]
    (open_port,) = manifests()["NetworkPolicy"]["spec"]["ingress"][0]["ports"]
    ports = {port["containerPort"], offered["port"], open_port["port"], int(instruction("EXPOSE"))}
    ports |= {one["containerPort"] for one in task()["containerDefinitions"][0]["portMappings"]}
    ports |= {one["FromPort"] for one in stack()["SecurityGroup"]["Properties"]["SecurityGroupIngress"]}
    configs = [manifests()["ConfigMap"]["data"]["poller.yaml"]]
    configs += [(DEPLOY / file).read_text() for file in ("sample/poller.yaml", "ecs/poller.yaml")]
    ports |= {int(yaml.safe_load(text)["Settings"]["Metrics"]["Listen"].removeprefix(":")) for text in configs}
    assert ports == {9464}


def test_everybody_waits_for_the_stop() -> None:
    """Longer than ShutdownTimeoutInSeconds and what the end takes beyond it: what is killed is delivered twice."""
    assert pod()["terminationGracePeriodSeconds"] >= NEEDED
    assert int(compose()["services"]["poller"]["stop_grace_period"].removesuffix("s")) >= NEEDED
    assert task()["containerDefinitions"][0]["stopTimeout"] >= NEEDED
    assert in_stack()["StopTimeout"] >= NEEDED
    assert int(unit()["TimeoutStopSec"][0]) >= NEEDED
    assert instruction("STOPSIGNAL") == "SIGTERM"
    texts = [manifests()["ConfigMap"]["data"]["poller.yaml"], (DEPLOY / "ecs/poller.yaml").read_text()]
    for text in texts:
        assert yaml.safe_load(text)["Settings"]["ShutdownTimeoutInSeconds"] == Settings().shutdown_timeout


def test_one_writer_of_the_state() -> None:
    """The state file is locked: the old one has to be gone before the new one comes, and its disk is its own."""
    assert manifests()["Deployment"]["spec"]["replicas"] == 1
    assert manifests()["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert stack()["Service"]["Properties"]["DeploymentConfiguration"] == {
        "MinimumHealthyPercent": 0,
        "MaximumPercent": 100,
    }
    places = [mount["mountPath"] for mount in pod()["containers"][0]["volumeMounts"] if mount["name"] == "state"]
    places += [mount["containerPath"] for mount in task()["containerDefinitions"][0]["mountPoints"]]
    places += [mount["ContainerPath"] for mount in in_stack()["MountPoints"]]
    places += [
        text.split(":")[1] for text in compose()["services"]["poller"]["volumes"] if text.startswith("state:")
    ]
    assert {*places, instruction("VOLUME"), instruction("WORKDIR"), unit()["WorkingDirectory"][0]} == {STATE}
    assert f"install -d -o 65532 -g 65532 -m 0700 {STATE}" in dockerfile()


def test_no_update_of_the_stack_replaces_the_instance_by_itself() -> None:
    """An image that is looked up changes with time, and the volume cannot follow to a new instance; what a deleted
    stack leaves, a snapshot, is something that the next one can begin with.
    """
    text = (DEPLOY / "cloudformation/template.yaml").read_text()
    parameters = yaml.load(text, _Template)["Parameters"]
    assert parameters["InstanceImage"]["Type"] == "AWS::EC2::Image::Id"
    assert "Default" not in parameters["InstanceImage"]
    assert stack()["State"]["DeletionPolicy"] == "Snapshot"
    assert stack()["State"]["Properties"]["SnapshotId"][1] == "StateSnapshot"


def test_nobody_is_root_and_the_root_is_read_only() -> None:
    """In every place, by the same numeric user, which runAsNonRoot can judge."""
    assert instruction("USER") == task()["containerDefinitions"][0]["user"] == in_stack()["User"] == "65532:65532"
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["runAsUser"] == pod()["securityContext"]["fsGroup"] == 65532
    assert pod()["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert (
        task()["containerDefinitions"][0]["readonlyRootFilesystem"] is in_stack()["ReadonlyRootFilesystem"] is True
    )
    assert all(one["read_only"] for one in compose()["services"].values() if "build" in one)


def test_the_unit_knows_our_exit_codes() -> None:
    """A configuration that cannot be right is not started again and again; the watchdog ends us with a SIGTERM."""
    assert unit()["Type"] == ["notify"]
    assert unit()["RestartPreventExitStatus"] == [str(ConfigurationError.exit_code)]
    assert unit()["Restart"] == ["on-failure"]
    assert unit()["WatchdogSignal"] == ["SIGTERM"]
    assert "WatchdogSec" in unit()


def test_the_unit_leaves_what_metrics_of_the_process_are_read_from() -> None:
    """/proc/stat is not there under ProcSubset=pid, and then there are no process_* at all."""
    assert "ProcSubset" not in unit()


def test_somebody_else_is_process_1() -> None:
    """What a handler's children leave behind goes to process 1, and stays a zombie unless that takes it in."""
    assert all(one["init"] for one in compose()["services"].values() if "build" in one)
    assert pod()["shareProcessNamespace"] is True
    assert "shareProcessNamespace: true\n" in (CHART / "templates/deployment.yaml").read_text()
    assert task()["containerDefinitions"][0]["linuxParameters"]["initProcessEnabled"] is True
    assert in_stack()["LinuxParameters"]["InitProcessEnabled"] is True
    assert "--init" in (DEPLOY / "README.md").read_text()


def test_the_policy_is_what_the_product_prints() -> None:
    """`poller iam` for the same configuration, in the file and in the template."""
    policy = make_policy(load(DEPLOY / "ecs/poller.yaml", {}).mappings)
    assert json.loads((DEPLOY / "ecs/task-role-policy.json").read_text()) == policy
    (inline,) = stack()["TaskRole"]["Properties"]["Policies"]
    granted = {one["Sid"]: one["Action"] for one in inline["PolicyDocument"]["Statement"]}
    assert granted == {one["Sid"]: one["Action"] for one in policy["Statement"]}


def test_variables_are_those_of_the_configuration() -> None:
    """What the task is told is what poller.yaml asks for."""
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "ecs/poller.yaml").read_text()))
    assert {one["name"] for one in task()["containerDefinitions"][0]["environment"]} | {"AWS_REGION"} == asked
    assert {one["Name"] for one in in_stack()["Environment"]} == asked
    sample = set(re.findall(r"Variable: (\w+)", (DEPLOY / "sample/poller.yaml").read_text()))
    assert sample <= set(compose()["services"]["poller"]["environment"])


def test_images_are_pinned_and_what_is_mounted_is_there() -> None:
    """No `latest`, and no folder that Docker would make because the file is missing."""
    services = compose()["services"]
    images = [one["image"] for one in services.values()] + re.findall(
        r"^FROM (\S+:\S+)", dockerfile(), re.MULTILINE
    )
    assert all(re.search(r":(local|v?\d+\.\d+\.\d+)", image) for image in images)
    for one in services.values():
        for place in (text.split(":")[0] for text in one.get("volumes", []) if text.startswith("./")):
            assert (ROOT / place).exists(), place
    for source in re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile(), re.MULTILINE):
        for name in source.split():
            assert f"!{name}" in (ROOT / ".dockerignore").read_text().splitlines()
            assert (ROOT / name).exists()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_tells_well_from_stuck(status: int, code: int) -> None:
    """The same command in the image and on ECS, run for real; a proxy in the environment is not asked."""
    command = json.loads(re.findall(r"CMD (\[\"python\".*\])$", dockerfile(), re.MULTILINE)[0])
    assert task()["containerDefinitions"][0]["healthCheck"]["command"] == ["CMD", *command]
    assert in_stack()["HealthCheck"]["Command"] == ["CMD", *command]

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        text = command[2].replace("9464", str(server.server_port))
        environment = {"http_proxy": "http://127.0.0.1:1", "PATH": os.environ["PATH"]}
        done = subprocess.run([sys.executable, "-S", "-c", text], env=environment, check=False)
        thread.join()
    assert done.returncode == code
