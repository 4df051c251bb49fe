"""Kinds that this project does not know: found by name, checked at the start, hosted beside sessions or apart."""

import asyncio
import os
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.converter import DataConverter
from temporalio.plugin import SimplePlugin

from starter.dev_server import DevServer
from starter.program import WORKER
from starter.serving.kinds import KindsError, check_converters, check_kinds, installed_kinds, kinds_named
from tests.harness import WAIT, Harness, run_task
from tests.servers import Server
from worker import KINDS
from workflows.contract import Config
from workflows.kinds.unknown import UnknownKindWorkflow
from workflows.session import SessionWorkflow
from workflows.wire.messages import DATA_CONVERTER

SHOP = """
from temporalio import workflow
from temporalio.plugin import SimplePlugin

@workflow.defn(name="Price", failure_exception_types=[Exception])
class PriceWorkflow:
    @workflow.run
    async def run(self, task: dict) -> dict:
        return {"output": f"{task['input']} costs 42"}

KINDS = SimplePlugin("shop", workflows=[PriceWorkflow])
BOTH = [KINDS, SimplePlugin("more")]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a module of kinds under a name of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def write(folder: Path, text: str) -> str:
    """A module that nothing has imported yet; its name."""
    name = f"kinds_of_{folder.name}".replace("-", "_")
    (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return name


def test_kinds_are_found_in_the_current_folder(folder: Path) -> None:
    name = write(folder, SHOP)
    assert ["shop"] == [plugin.name() for plugin in kinds_named(f"{name}:KINDS", "test")]
    assert ["shop", "more"] == [plugin.name() for plugin in kinds_named(f"{name}:BOTH", "test")]


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("shop", "must be module:attribute"),
        (":KINDS", "must be module:attribute"),
        ("shop:", "must be module:attribute"),
        ("no_such_module_here:KINDS", "there is no module 'no_such_module_here'"),
        ("json.no_such_part:KINDS", "there is no module 'json.no_such_part'"),
        ("json:KINDS", "json has no 'KINDS'"),
        ("json:JSONDecoder.kinds", "json has no 'kinds'"),
        ("json:loads", "is no temporalio.plugin.SimplePlugin, nor a list of them, but function"),
    ],
)
def test_what_is_not_there_is_named(named: str, why: str) -> None:
    with pytest.raises(KindsError) as caught:
        kinds_named(named, "SESSIONS_KINDS")
    assert str(caught.value).startswith(f"SESSIONS_KINDS: {named!r}")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_module_here", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("def (", "SyntaxError: "),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('wrong module')", "SystemExit: wrong module"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_line(folder: Path, text: str, why: str) -> None:
    name = write(folder, f"\n{text}\n")
    with pytest.raises(KindsError) as caught:
        kinds_named(f"{name}:KINDS", "SESSIONS_KINDS")
    assert f"SESSIONS_KINDS: '{name}:KINDS' cannot be imported: {why}" in str(caught.value)
    assert f"{name}.py, line 2)" in str(caught.value)
    assert 1 == len(str(caught.value).splitlines())


@workflow.defn(name="Price")
class Price:
    @workflow.run
    async def run(self) -> None: ...


@workflow.defn(name="Refund")
class Refund:
    @workflow.run
    async def run(self) -> None: ...


@workflow.defn(name="Transfer")
class Transfer:
    @workflow.run
    async def run(self) -> None: ...


@workflow.defn(name="Answer")
class Answer:
    @workflow.run
    async def run(self) -> None: ...


@workflow.defn(name="Session")
class Session:
    @workflow.run
    async def run(self) -> None: ...


def _plugin(name: str, *kinds: type) -> SimplePlugin:
    return SimplePlugin(name, workflows=kinds)


OURS = [SessionWorkflow, *KINDS]


def test_kinds_of_names_of_their_own_are_taken() -> None:
    check_kinds([_plugin("shop", Price, Refund), _plugin("bank", Transfer)], OURS)


@pytest.mark.parametrize(
    ("plugins", "why"),
    [
        ([_plugin("shop", Price), _plugin("bank", Price)], "'bank' has a kind 'Price', which plugin 'shop' has"),
        ([_plugin("shop", Price, Price)], "'shop' has a kind 'Price', which plugin 'shop' has"),
        ([_plugin("shop", Answer)], "'shop' has a kind 'Answer', which this project has"),
        ([_plugin("shop", Session)], "'shop' has a kind 'Session', which this project has"),
    ],
    ids=["two sets", "one set", "a kind of ours", "the session"],
)
def test_a_kind_that_is_there_twice_is_named(plugins: list[SimplePlugin], why: str) -> None:
    with pytest.raises(KindsError, match=why):
        check_kinds(plugins, OURS)


def test_a_kind_that_takes_every_name_is_refused() -> None:
    with pytest.raises(KindsError, match="a dynamic workflow, which would take every kind"):
        check_kinds([SimplePlugin("all", workflows=[UnknownKindWorkflow])], OURS)


def test_a_set_with_a_data_converter_of_its_own_needs_a_worker_of_its_own() -> None:
    check_converters(
        [SimplePlugin("same", data_converter=lambda converter: converter or DATA_CONVERTER)], DATA_CONVERTER
    )
    for other in (DataConverter.default, lambda _: DataConverter.default):
        with pytest.raises(KindsError, match="'shop' has a data converter of its own"):
            check_converters([SimplePlugin("shop", data_converter=other)], DATA_CONVERTER)


def test_a_set_that_will_not_have_our_data_converter_needs_a_worker_of_its_own() -> None:
    """`OpenAIAgentsPlugin` raises for a converter that is not its own."""

    def insists(_: DataConverter | None) -> DataConverter:
        raise ValueError("The payload converter must be of type OpenAIPayloadConverter.")

    with pytest.raises(KindsError, match="'agents' has a data converter of its own; it needs a worker of its own"):
        check_converters([SimplePlugin("agents", data_converter=insists)], DATA_CONVERTER)


TRACING = "OPENAI_AGENTS_DISABLE_TRACING"


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, "true"), ("", "true"), ("false", "false"), ("1", "1")],
    ids=["not set", "empty", "asked for", "refused"],
)
def test_a_framework_exports_traces_only_where_that_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    """`tests/test_examples.py` has what that keeps a framework from."""
    monkeypatch.setenv(TRACING, before or "")
    if before is None:
        monkeypatch.delenv(TRACING)
    module = write(folder, f"import os\nfound = os.environ['{TRACING}']\n{SHOP}")
    kinds_named(f"{module}:KINDS", "test")
    assert after == sys.modules[module].found


def test_installed_packages_offer_kinds(folder: Path) -> None:
    name = write(folder, SHOP)
    information = folder / "my_shop-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-shop\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[sessions.kinds]\nshop = {name}:KINDS\n")
    assert [] == installed_kinds()
    sys.path.append(str(folder))
    assert ["shop"] == [plugin.name() for plugin in installed_kinds()]
    (information / "entry_points.txt").write_text(f"[sessions.kinds]\nshop = {name}:NOTHING\n")
    with pytest.raises(KindsError, match="entry point 'shop'"):
        installed_kinds()


AGENTS = """
from examples.pydantic_ai.shop import KINDS
REVERSED = KINDS[::-1]
ALONE = KINDS[:1]
"""


@pytest.mark.parametrize("attribute", [pytest.param("REVERSED", marks=pytest.mark.rare), "ALONE"])
@pytest.mark.parametrize(
    "apart", [pytest.param(False, id="beside sessions"), pytest.param(True, id="apart", marks=pytest.mark.rare)]
)
async def test_agents_that_no_plugin_registers_are_named_before_the_worker_is_ready(
    folder: Path, server: Server, elsewhere: Harness, attribute: str, apart: bool
) -> None:
    """pydantic-ai's plugin registers those of the kinds before it; after it they would be missed in silence."""
    name = f"{write(folder, AGENTS)}:{attribute}"
    queue = {"SESSIONS_TASK_QUEUE": elsewhere.queue, "TEMPORAL_ADDRESS": server.address}
    arguments, named = ([name, "--task-queue", "apart"], "") if apart else ([], name)
    code, complaint = await _refused(folder, *arguments, **queue, SESSIONS_KINDS=named)
    assert 1 == code
    assert complaint[-1].startswith(
        "worker: PydanticShopWorkflow: no plugin registers the activities of its agent 'shop';"
    )


ONCE = f"""
{SHOP}
if workflow.unsafe.in_sandbox():
    raise LookupError("the sandbox runs this module again")
"""


async def test_a_kind_that_the_sandbox_cannot_load_is_named_with_the_reason(
    folder: Path, server: Server, elsewhere: Harness
) -> None:
    environment = {"SESSIONS_TASK_QUEUE": elsewhere.queue, "TEMPORAL_ADDRESS": server.address}
    code, complaint = await _refused(folder, SESSIONS_KINDS=f"{write(folder, ONCE)}:KINDS", **environment)
    reason = "LookupError('the sandbox runs this module again')"
    assert (1, f"worker: Failed validating workflow Price: {reason}") == (code, complaint[-1])


@asynccontextmanager
async def worker_process(folder: Path, server: Server, *arguments: str, **environment: str) -> AsyncIterator[None]:
    """Our worker, as a process in that folder; killed afterwards."""
    process = await asyncio.create_subprocess_exec(
        *WORKER, *arguments, cwd=folder, env={**os.environ, "TEMPORAL_ADDRESS": server.address, **environment}
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_a_worker_hosts_kinds_of_the_current_folder_beside_sessions(
    folder: Path, server: DevServer, elsewhere: Harness
) -> None:
    """Files of the folder that are called like ours are nobody's business."""
    for ours in ("activities", "worker", "workflows"):
        (folder / f"{ours}.py").write_text("raise SystemExit('the wrong one')\n")
    environment = {"SESSIONS_KINDS": f"{write(folder, SHOP)}:KINDS", "SESSIONS_TASK_QUEUE": elsewhere.queue}
    async with worker_process(folder, server, **environment):
        session = await elsewhere.open()
        assert "A7 costs 42" == (await run_task(session, "A7", kind="Price")).output
        assert "yellow" in str((await run_task(session, "What colour is a banana?")).output)


async def test_kinds_are_hosted_apart_and_sessions_know_where(folder: Path, server: Server, harness: Harness) -> None:
    queue = f"{harness.queue}-shop"
    async with worker_process(folder, server, f"{write(folder, SHOP)}:KINDS", "--task-queue", queue):
        session = await harness.open(Config(queues={"Price": queue}))
        assert "A7 costs 42" == (await run_task(session, "A7", kind="Price")).output
        wrong = await run_task(session, "A7", kind="Refund", task_queue=queue)
        assert ("failed", "UnknownKind") == (wrong.status, wrong.error.type if wrong.error else None)


async def _refused(folder: Path, *arguments: str, **environment: str) -> tuple[int | None, list[str]]:
    process = await asyncio.create_subprocess_exec(
        *WORKER,
        *arguments,
        cwd=folder,
        env={**os.environ, "TEMPORAL_ADDRESS": "127.0.0.1:1", **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WAIT):
        _, complaint = await process.communicate()
    return process.returncode, complaint.decode().splitlines()


async def test_a_worker_with_the_wrong_kinds_says_so_before_it_starts(folder: Path) -> None:
    assert (1, ["worker: SESSIONS_KINDS: 'shop:KINDS': there is no module 'shop'"]) == await _refused(
        folder, SESSIONS_KINDS="shop:KINDS"
    )
    called_like_ours = SHOP.replace("Price", "Countdown")
    name = write(folder, called_like_ours)
    assert (1, ["worker: plugin 'shop' has a kind 'Countdown', which this project has already"]) == await _refused(
        folder, SESSIONS_KINDS=f"{name}:KINDS"
    )
    code, complaint = await _refused(folder, f"{name}:KINDS", "--task-queue", "sessions")
    assert (1, ["worker: task queue 'sessions' is that of sessions, which this worker does not host"]) == (
        code,
        complaint,
    )
    code, complaint = await _refused(folder, f"{name}:KINDS")
    assert (2, "--task-queue") == (code, next(word for word in complaint[-1].split() if word == "--task-queue"))
