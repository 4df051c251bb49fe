"""The import rules and size limits of the README, executed."""

import ast
import importlib
from pathlib import Path

import pytest

from workflows.errors import ErrorType

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("workflows", "activities", "starter", "benchmarks")
FIRST_PARTY = {*PACKAGES, "worker"}
BASE = {f"workflows.{name}" for name in ("contract", "errors", "limits", "fields", "encoding", "progress", "markdown")}
STATE = {
    f"workflows.{name}"
    for name in (
        "pending",
        "ledger",
        "versions",
        "context",
        "state",
        "details",
        "validation",
        "answered",
        "running_task",
        "signals",
        "opening",
    )
}

# The longest prefix that fits a module says which first-party modules it may import.
ALLOWED: dict[str, set[str]] = {
    "workflows": BASE,
    **dict.fromkeys(STATE, BASE | STATE),
    "workflows.alarm": set(),
    "workflows.messages": BASE,
    "workflows.backlog": BASE | {"workflows.messages"},
    "workflows.waiting": BASE,
    "workflows.outcomes": BASE,
    "workflows.running": BASE | STATE | {"workflows.outcomes", "activities.child_tasks"},
    "workflows.metrics": BASE,
    "workflows.visibility": BASE | {"activities.visibility"},
    "workflows.session": BASE
    | STATE
    | {f"workflows.{name}" for name in ("alarm", "backlog", "messages", "metrics", "running", "visibility")}
    | {"activities.fork"},
    "workflows.typed": BASE | {"workflows.validation"},
    "workflows.kinds": BASE | {"activities", "workflows.typed", "workflows.waiting"},
    "activities": BASE | {"activities", "workflows.outcomes"},
    "starter": BASE | {"starter", "workflows.validation"},
    "starter.client": BASE
    | {"starter.calls", "starter.connection", "starter.finding", "workflows.validation", "workflows.context"},
    "starter.calls": BASE,
    "starter.overview": BASE | {"starter", "workflows.visibility"},
    "starter.finding": BASE | {"starter.registration", "workflows.visibility"},
    "starter.registration": {"workflows.visibility"},
    "starter.connection": {"workflows.messages"},
    "starter.deployment": set(),
    "starter.activations": {"workflows.errors"},
    "starter.dev_server": set(),
    "starter.settings": set(),
    "starter.logs": set(),
    "starter.telemetry": {"starter.logs", "starter.settings", "workflows.metrics"},
    "worker": {"workflows", "activities"}
    | {
        f"starter.{name}"
        for name in (
            "connection",
            "deployment",
            "dev_server",
            "activations",
            "registration",
            "settings",
            "telemetry",
        )
    },
    "benchmarks": {"benchmarks", "workflows", "activities", "starter", "worker"},
}
PURE = BASE | STATE
MODULES = [*sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")), ROOT / "worker.py"]
CONFORMANCE = sorted((ROOT / "tests/conformance").glob("*.py"))
CORE_LINES = 2_750
"""About 2,500: a tenth over it is the most that "about" can mean."""
NO_CORE = ("starter", "benchmarks", "activities.offline_model", "activities.openai_model")
"""What holds a client, what measures, and the language models behind their protocol: no session needs them to run."""
FILE_LINES = 300


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from workflows import limits` imports a module, `from workflows.limits import X` a name of one.
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


@pytest.mark.parametrize("module", sorted(PURE))
def test_what_a_session_knows_and_decides_does_not_know_temporal(module: str) -> None:
    imported = _imports((ROOT / Path(*module.split("."))).with_suffix(".py"))
    assert set() == {name for name in imported if name.split(".")[0] == "temporalio"}


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
    """`from workflows import limits` goes past the sandbox's importer: it would execute them again for each run."""
    froms = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    assert set() == {node.module for node in froms} & set(PACKAGES)


@pytest.mark.parametrize("path", sorted(ROOT.glob("[a-z]*/**/__init__.py")), ids=_name)
def test_package_inits_are_empty(path: Path) -> None:
    assert path.read_text() == ""


@pytest.mark.parametrize("name", PACKAGES)
def test_top_level_names_are_ours(name: str) -> None:
    """Another distribution's `workflows` must not be the one that is imported."""
    assert [str(ROOT / name)] == list(importlib.import_module(name).__path__)


def _code_lines(path: Path) -> int:
    """Lines that are not blank, not a comment and not part of a docstring."""
    source = path.read_text()
    texts = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr)]
    strings = [text for text in texts if isinstance(text, ast.Constant) and isinstance(text.value, str)]
    quoted = {line for text in strings for line in range(text.lineno, (text.end_lineno or text.lineno) + 1)}
    lines = enumerate(source.splitlines(), start=1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in quoted for number, line in lines
    )


def test_no_file_is_long() -> None:
    lines = {_name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {} == {name: count for name, count in lines.items() if count > FILE_LINES}


def test_the_core_stays_small() -> None:
    core = [path for path in MODULES if not _name(path).startswith(NO_CORE)]
    core += [ROOT / "starter/calls.py", ROOT / "starter/client.py", ROOT / "starter/connection.py"]
    assert CORE_LINES >= sum(map(_code_lines, core))


def test_nothing_is_called_utils() -> None:
    forbidden = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert set() == {part for path in MODULES for part in _name(path).split(".")} & forbidden
