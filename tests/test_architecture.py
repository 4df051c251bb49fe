"""The import rules and size limits of the README, executed."""

import ast
import importlib
from pathlib import Path

import pytest

from workflows import contract
from workflows.wire import records, requests, tasks
from workflows.wire.errors import ErrorType

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("workflows", "activities", "starter", "benchmarks", "examples")
FIRST_PARTY = {*PACKAGES, "worker"}
WIRE = {"workflows.wire", "workflows.contract"}
CLIENT = WIRE | {"starter.client"}

# The longest prefix that fits a module says which first-party modules it may import. The picture is in CONTRIBUTING.md.
ALLOWED: dict[str, set[str]] = {
    "workflows": set(),
    "workflows.wire": {"workflows.wire"},
    "workflows.contract": {"workflows.wire"},
    "workflows.state": WIRE | {"workflows.state"},
    "workflows.temporal": WIRE | {"workflows.state", "workflows.temporal", "activities"},
    "workflows.session": WIRE | {"workflows.state", "workflows.temporal", "activities"},
    "workflows.scheduled_task": WIRE | {"activities"},
    "workflows.notification": WIRE | {"activities"},
    "workflows.kinds": WIRE | {"workflows.kinds", "activities"},
    "workflows.frameworks": WIRE | {"workflows.frameworks", "workflows.kinds", "activities"},
    "activities": WIRE | {"activities"},
    # Whether a new session's context fits is found out before it costs the id.
    "starter": set(),
    "starter.exports": CLIENT
    | {"activities.files", "activities.spans", "activities.stream", "workflows.frameworks", "workflows.kinds"},
    "starter.program": set(),
    "starter.worker_process": {"starter.program"},
    "starter.workflow_tasks": set(),
    "starter.client": CLIENT | {"workflows.state.context", "starter.encryption", "starter.workflow_tasks"},
    "starter.client.connection": WIRE | {"starter.encryption", "starter.tracing.setting"},
    "starter.tracing": WIRE | {"activities.spans", "starter.tracing", "workflows.temporal.metrics"},
    "starter.tracing.setting": {"starter.tracing"},
    "starter.encryption": WIRE | {"activities.file_store", "starter.encryption", "starter.named"},
    "starter.client.files": WIRE | {"activities.file_store"},
    "starter.client.erasure": WIRE | {"activities.file_store", "starter.client"},
    "starter.serving": WIRE
    | {"starter.named", "starter.serving", "starter.workflow_tasks", "workflows.temporal.metrics"},
    "starter.serving.telemetry": {"activities.first_text", "starter.serving", "workflows.temporal.metrics"},
    "starter.serving.settings": WIRE | {"activities.notify"},
    "starter.serving.streaming": WIRE | {"activities.stream"},
    "starter.cli": CLIENT | {"starter.cli", "starter.encryption", "starter.program"},
    "starter.cli.main": {"starter.cli", "starter.program", "starter.tracing.setting"},
    "starter.cli.serving": {
        "starter.cli",
        "starter.dev_loop",
        "starter.dev_server",
        "starter.encryption",
        "starter.program",
    },
    "starter.cli.gateway": {"starter.cli", "starter.gateway", "starter.program", "starter.serving.logs"},
    "starter.gateway": CLIENT | {"starter.gateway", "starter.tracing.setting"},
    "starter.dev_loop": {"starter.dev_server", "starter.encryption", "starter.program", "starter.worker_process"},
    "starter.dev_server": set(),
    "starter.demo": CLIENT | {"starter.dev_server", "starter.program", "starter.worker_process"},
    "starter.__main__": {"starter.cli"},
    "worker": {
        "workflows",
        "activities",
        "starter.client.connection",
        "starter.dev_server",
        "starter.encryption",
        "starter.serving",
        "starter.tracing.setting",
    },
    "benchmarks": {"benchmarks", "workflows", "activities", "starter", "worker"},
    # What a kind of somebody else's imports from `durable_sessions`.
    "examples": {"examples", "workflows.contract", "workflows.kinds", "workflows.wire.conversation"},
}
KNOWS_TEMPORAL = {f"workflows.wire.{name}" for name in ("attributes", "escapes", "messages", "outcomes", "sealing")}
"""What of the wire is made of Temporal's own types: payloads, failures, search attributes."""
MODULES = [*sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")), ROOT / "worker.py"]
CONFORMANCE = sorted((ROOT / "tests/conformance").glob("*.py"))
LONG_LINES = 400
"""A file beyond it says why in its docstring, as "Long: ..."."""
RE_EXPORTS = {"starter.client.__init__"}
"""The one package that is a door: programs import from it. All others are only folders."""


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from workflows import limits` imports a module, `from workflows.wire.limits import X` a name of one.
            nested = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in nested if (ROOT / Path(*name.split("."))).with_suffix(".py").exists()}
            found.update(modules or {node.module})
    return found


def _within(module: str, prefixes: set[str]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_one_way(path: Path) -> None:
    module = _name(path)
    rule = max((prefix for prefix in ALLOWED if _within(module, {prefix})), key=len)
    ours = {name for name in _imports(path) if name.split(".")[0] in FIRST_PARTY}
    assert set() == {name for name in ours if not _within(name, ALLOWED[rule])}


@pytest.mark.parametrize("path", [p for p in MODULES if _name(p).startswith(("workflows.wire.", "workflows.state."))])
def test_what_a_session_knows_and_decides_does_not_know_temporal(path: Path) -> None:
    temporal = {name for name in _imports(path) if name.split(".")[0] == "temporalio"}
    assert (_name(path) in KNOWS_TEMPORAL) == bool(temporal)


def test_the_contract_has_every_wire_type_of_its_three_files() -> None:
    models = {
        name
        for module in (records, requests, tasks)
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    assert models <= set(contract.__all__)


@pytest.mark.parametrize("path", [p for p in MODULES if _name(p).startswith("workflows")], ids=_name)
def test_workflow_code_has_no_clock_environment_file_or_chance(path: Path) -> None:
    assert set() == _imports(path) & {"time", "os", "random", "uuid", "pathlib", "secrets", "socket", "subprocess"}
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert set() == called & {"datetime.now", "datetime.utcnow", "open", "print", "input"}


@pytest.mark.parametrize("path", CONFORMANCE, ids=_name)
def test_the_conformance_suite_knows_nothing_but_the_contract(path: Path) -> None:
    """It must be able to check another implementation, in another language."""
    ours = {name for name in _imports(path) if name.split(".")[0] in {*FIRST_PARTY, "tests"}}
    assert set() == {name for name in ours if not _within(name, {"tests.conformance"})}


def test_every_error_of_the_contract_is_checked_by_the_conformance_suite() -> None:
    suite = "".join(path.read_text() for path in CONFORMANCE)
    assert [] == [name for name in ErrorType if f'"{name}"' not in suite]


@pytest.mark.parametrize("path", [p for p in MODULES if "@workflow.defn" in p.read_text()], ids=_name)
def test_a_workflows_module_passes_others_through_by_their_full_name(path: Path) -> None:
    """`from workflows.wire import limits` goes past the sandbox's importer: each run would execute it again."""
    froms = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    folders = {_name(path.parent) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
    assert set() == {node.module for node in froms} & folders


@pytest.mark.parametrize("path", sorted(ROOT.glob("[a-z]*/**/__init__.py")), ids=_name)
def test_package_inits_are_empty(path: Path) -> None:
    """The sandbox executes those on a kind's way again for each of its runs."""
    assert (_name(path) in RE_EXPORTS) == bool(path.read_text())


@pytest.mark.parametrize("name", PACKAGES)
def test_top_level_names_are_ours(name: str) -> None:
    """Another distribution's `workflows` must not be the one that is imported."""
    assert [str(ROOT / name)] == list(importlib.import_module(name).__path__)


def test_a_long_file_says_why() -> None:
    long = [path for path in MODULES if len(path.read_text().splitlines()) > LONG_LINES]
    assert [] == [
        _name(path) for path in long if "Long: " not in (ast.get_docstring(ast.parse(path.read_text())) or "")
    ]


def test_nothing_is_called_utils() -> None:
    forbidden = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert set() == {part for path in MODULES for part in _name(path).split(".")} & forbidden
