"""The wheel, installed beside the package whose name the repository's `workflows` has, and used from somewhere else."""

import asyncio
import os
import re
import uuid
import zipfile
from pathlib import Path

import pytest

import starter.exports
from starter.dev_server import DevServer
from starter.program import ROOT
from tests.environments import INSTALL_SECONDS, ran, run
from tests.harness import WAIT
from tests.wheels import environment_with


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and `llama-index-workflows`."""
    return environment_with(tmp_path_factory.mktemp("environment"), wheel, "cli,dev", "llama-index-workflows")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with files of its own that are called like ours."""
    for name in ("activities", "worker", "starter"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    return tmp_path


def test_the_wheel_has_one_name_and_all_of_our_code(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        text = "".join(archive.read(name).decode() for name in names)
    assert {"durable_sessions"} == {name.split("/")[0] for name in names}
    ours = [path for folder in ("workflows", "activities", "starter") for path in (ROOT / folder).rglob("*.py")]
    expected = {str(path.relative_to(ROOT)) for path in ours} - {"starter/exports.py"} | {"worker.py", "__init__.py"}
    assert expected == {name.removeprefix("durable_sessions/") for name in names if name.endswith(".py")}
    for start in ("from ", "import "):
        for ours_ in ("workflows", "activities", "starter"):
            assert not any(line.strip().startswith(f"{start}{ours_}") for line in text.splitlines())


@pytest.mark.rare
@pytest.mark.timeout(INSTALL_SECONDS)
def test_the_demo_of_the_installed_wheel_comes_right(installed: Path, project: Path) -> None:
    shown = run(project, installed / "sessions", "demo")
    assert "✓ every task completed" in shown
    assert "✗" not in shown


@pytest.mark.rare
@pytest.mark.timeout(INSTALL_SECONDS)
def test_the_installed_package_and_llama_index_workflows_are_themselves_in_one_process(
    installed: Path, project: Path
) -> None:
    code = "from workflows import Workflow; import durable_sessions.worker, durable_sessions as d; " + "; ".join(
        f"d.{name}" for name in starter.exports.__all__
    )
    run(project, installed / "python", "-c", f"{code}; print(Workflow.__module__, d.Config.__module__)")


@pytest.mark.rare
@pytest.mark.timeout(INSTALL_SECONDS)
def test_the_installed_command_says_its_own_name(installed: Path, project: Path) -> None:
    shown = run(project, installed / "sessions", "--help")
    assert "Usage: sessions [OPTIONS] COMMAND" in shown
    assert "python -m starter" not in shown


@pytest.mark.rare
@pytest.mark.timeout(INSTALL_SECONDS)
def test_a_gateway_without_its_extra_says_what_to_install_and_keys_need_none(installed: Path, project: Path) -> None:
    refused = ran(project, installed / "sessions", "gateway")
    assert 2 == refused.returncode
    assert "pip install 'durable-sessions[gateway]'" in " ".join(refused.stderr.split())
    made = run(
        project, installed / "sessions", *["gateway", "keys", "add", "web", "--owner", "ada", "--keys", "keys.json"]
    )
    assert made.startswith("sk-sessions-")


@pytest.mark.rare
@pytest.mark.timeout(INSTALL_SECONDS)
def test_to_import_the_package_costs_neither_pydantic_nor_temporalio(installed: Path, project: Path) -> None:
    code = "import sys, durable_sessions; print({'pydantic', 'temporalio'} & set(sys.modules))"
    assert "set()" == run(project, installed / "python", "-c", code).strip()


def _files_of_the_documented_project() -> dict[str, str]:
    text = (ROOT / "docs/kinds.md").read_text()
    section = text[text.index("## In a project of your own") : text.index("## On another worker")]
    return dict(re.findall(r"^`([a-z.]+)`[^\n]*:\n\n```[a-z]+\n(.*?)```", section, re.MULTILINE | re.DOTALL))


@pytest.mark.rare
@pytest.mark.timeout(INSTALL_SECONDS)
async def test_the_documented_project_runs_as_its_author_would_run_it(
    installed: Path, project: Path, server: DevServer
) -> None:
    files = _files_of_the_documented_project()
    assert ["pyproject.toml", "shop.py", "ask.py"] == list(files)
    for name, text in files.items():
        (project / name).write_text(text)
    await asyncio.to_thread(run, project, installed / "python", "-m", "pip", "install", "--quiet", "--no-deps", ".")
    environment = {"TEMPORAL_ADDRESS": server.address, "SESSIONS_TASK_QUEUE": f"wheel-{uuid.uuid4().hex}"}
    program = {**os.environ, **environment}
    worker = await asyncio.create_subprocess_exec(installed / "sessions", "worker", cwd=project, env=program)
    try:
        asking = await asyncio.create_subprocess_exec(
            installed / "python", "ask.py", cwd=project, env=program, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(WAIT):
            assert b"A7 costs 42 euros\n" == (await asking.communicate())[0]
    finally:
        worker.kill()
        await worker.wait()


@pytest.mark.parametrize("name", starter.exports.__all__)
def test_every_name_that_is_exported_is_there(name: str) -> None:
    assert name == getattr(starter.exports, name).__name__


def test_a_name_that_is_not_exported_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Harness'"):
        _ = starter.exports.Harness
