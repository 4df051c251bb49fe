"""The files of `deploy/`, held to the code: what a test can say of them without a container runtime or a cluster."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml  # type: ignore[import-untyped]

from starter.cli.main import app
from starter.client.connection import DEFAULT_TASK_QUEUE
from starter.gateway.entrance import OPEN_TO_ALL
from starter.gateway.settings import GatewaySettings
from starter.gateway.settings import variable as gateway_variable
from starter.serving.settings import Settings
from starter.serving.settings import variable as worker_variable

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())
README = (DEPLOY / "README.md").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()

WORKER_VARIABLES = {worker_variable(name) for name in Settings.model_fields} | {"SESSIONS_TASK_QUEUE"}
GATEWAY_VARIABLES = {gateway_variable(name) for name in GatewaySettings.model_fields} | {"SESSIONS_TASK_QUEUE"}
OTHERS = {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"} | {
    "SESSIONS_NOTIFY_SECRET",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
}
"""Variables of Temporal's SDK, of the model's client, of OpenTelemetry, and a secret, which no setting keeps."""

Container = tuple[str, dict[str, str], list[str]]


def documents() -> list[dict[str, Any]]:
    return [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str, name: str) -> dict[str, Any]:
    [found] = [d for d in documents() if d["kind"] == kind and d["metadata"]["name"] == name]
    return found


def settings_map() -> dict[str, str]:
    [generated] = KUSTOMIZATION["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generated["literals"])


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = of_kind("Deployment", name)["spec"]["template"]["spec"]
    return spec


def containers() -> list[Container]:
    """Ours of both: whose it is, its environment, its words."""
    found: list[Container] = []
    for role in ("worker", "gateway"):
        service = COMPOSE["services"][role]
        found.append((role, {n: _resolved(value) for n, value in service["environment"].items()}, service["command"]))
        [container] = pod(f"sessions-{role}")["containers"]
        own = {pair["name"]: pair["value"] for pair in container["env"]}
        found.append((role, settings_map() | own, container["args"]))
    return found


def _resolved(value: str) -> str:
    """What compose makes of `${NAME:-default}` where NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("path", [*MANIFESTS, DEPLOY / "compose.yaml", DEPLOY / "Dockerfile", DEPLOY / "README.md"])
def test_a_file_that_was_not_run_says_so_at_its_top(path: Path) -> None:
    assert re.search(r"[Nn]ot (run|applied|built)\b", "".join(path.read_text().splitlines(keepends=True)[:3]))


@pytest.mark.parametrize(("role", "environment", "words"), containers())
def test_every_variable_and_value_is_one_that_the_program_takes(
    role: str, environment: dict[str, str], words: list[str]
) -> None:
    known = (WORKER_VARIABLES if role == "worker" else GATEWAY_VARIABLES | {"SESSIONS_MODEL"}) | OTHERS
    assert set() == environment.keys() - known
    assert DEFAULT_TASK_QUEUE == environment["SESSIONS_TASK_QUEUE"]
    assert environment["TEMPORAL_ADDRESS"].endswith(":7233")
    if role == "worker":
        assert Settings.from_environment(environment).metrics_address == "0.0.0.0:9464"
    else:
        settings = GatewaySettings.from_environment(environment)
        settings.check_address()
        assert settings.keys == Path("/keys/keys.json")


@pytest.mark.parametrize(("role", "environment", "words"), containers())
def test_every_command_is_one_of_ours(role: str, environment: dict[str, str], words: list[str]) -> None:
    assert [role] == words
    assert _is_a_command(words)
    assert '["sessions"]' in DOCKERFILE
    assert "sessions" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


COMMANDS = [line for line in README.splitlines() if re.match(r"sessions |docker .* (worker|gateway) ", line)]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_is_one_of_ours(line: str) -> None:
    """Behind `exec worker sessions` and `run gateway` too."""
    words = shlex.split(line)
    first = words.index("sessions") if "sessions" in words else words.index("gateway")
    assert _is_a_command(words[first + 1 :])


def _is_a_command(words: list[str]) -> bool:
    """Whether the first words lead to a command, and it has all the options among the others."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    if hasattr(command, "commands") and (words or not command.invoke_without_command):
        return False
    options = {option for parameter in command.params for option in parameter.opts}
    return {word for word in words if word.startswith("-")} <= options


def test_what_is_no_command_is_told_from_one() -> None:
    no_commands = (["workers"], ["gateway", "key"], ["gateway", "keys"], ["gateway", "keys", "add", "x", "--own", "a"])
    assert [False] * 4 == [_is_a_command(words) for words in no_commands]


def test_ports_and_probes_are_those_that_are_served() -> None:
    for role, environment, _ in containers():
        name = "SESSIONS_METRICS_ADDRESS" if role == "worker" else "SESSIONS_GATEWAY_PORT"
        port = int(environment[name].rpartition(":")[2])
        [container] = pod(f"sessions-{role}")["containers"]
        assert [port] == [each["containerPort"] for each in container["ports"]]
        assert container["readinessProbe"]["httpGet"]["port"] == container["ports"][0]["name"]
    [gateway] = pod("sessions-gateway")["containers"]
    assert {gateway[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")} == set(OPEN_TO_ALL)
    [worker] = pod("sessions-worker")["containers"]
    assert "/metrics" == worker["readinessProbe"]["httpGet"]["path"]
    [served] = of_kind("Service", "sessions-gateway")["spec"]["ports"]
    assert served["targetPort"] == gateway["ports"][0]["name"]
    assert ["127.0.0.1:8243:8243"] == COMPOSE["services"]["gateway"]["ports"]
    assert all(port.startswith("127.0.0.1:") for each in COMPOSE["services"].values() for port in each.get("ports", []))


def test_what_is_stopped_is_given_more_time_than_its_grace() -> None:
    for role, environment, _ in containers():
        name = "SESSIONS_SHUTDOWN_GRACE" if role == "worker" else "SESSIONS_GATEWAY_GRACE"
        assert seconds(COMPOSE["services"][role]["stop_grace_period"]) > float(environment[name]) + 5
        spec = pod(f"sessions-{role}")
        before = spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert spec["terminationGracePeriodSeconds"] > float(environment[name]) + before + 5


def test_whatever_a_file_refers_to_is_there_or_made_on_the_page() -> None:
    resources = {path.name for path in MANIFESTS} - {"kustomization.yaml"}
    assert resources == set(KUSTOMIZATION["resources"])
    [generated] = KUSTOMIZATION["configMapGenerator"]
    made = {*re.findall(r"create secret generic (\S+)", README), generated["name"]}
    used = set()
    for name in ("sessions-worker", "sessions-gateway"):
        deployment, spec = of_kind("Deployment", name), pod(name)
        assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"] == of_kind("PodDisruptionBudget", name)["spec"]["selector"]
        [container] = spec["containers"]
        assert container["image"] == KUSTOMIZATION["images"][0]["name"]
        used |= {next(iter(source.values()))["name"] for source in container["envFrom"]}
        used |= {volume["secret"]["secretName"] for volume in spec.get("volumes", [])}
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        assert mounts == {volume["name"] for volume in spec.get("volumes", [])}
    assert used == made
    services, volumes = COMPOSE["services"], COMPOSE["volumes"]
    for service in services.values():
        assert set() == service.get("depends_on", {}).keys() - services.keys()
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in volumes


def test_workers_scale_by_the_task_queue_that_they_serve() -> None:
    scaled = of_kind("ScaledObject", "sessions-worker")["spec"]
    assert of_kind("Deployment", scaled["scaleTargetRef"]["name"])["spec"]["replicas"] == scaled["minReplicaCount"]
    [trigger] = scaled["triggers"]
    settings, metadata = settings_map(), trigger["metadata"]
    assert "temporal" == trigger["type"]
    assert [settings[name] for name in ("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "SESSIONS_TASK_QUEUE")] == [
        metadata[name] for name in ("endpoint", "namespace", "taskQueue")
    ]
    assert {"workflow", "activity"} == set(metadata["queueTypes"].split(","))


def test_the_image_has_what_the_wheel_is_made_of_and_extras_that_there_are() -> None:
    copied = {word for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]}
    assert [] == [name for name in copied if not (ROOT / name).exists()]
    assert {"workflows", "activities", "starter", "worker.py", "setup.py", "pyproject.toml"} <= copied
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert copied == allowed
    [extras] = re.findall(r"\$wheel\[([\w,-]+)\]", DOCKERFILE)
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set() == set(extras.split(",")) - offered.keys()
    [user] = re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
    assert {int(user)} == {pod(f"sessions-{role}")["securityContext"]["runAsUser"] for role in ("worker", "gateway")}
