"""Erasing sessions: everything of theirs goes, nothing of others', and no late message brings one back."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow, ScheduleSpec, WorkflowExecutionStatus
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from starter.client import Session, SessionClient
from starter.client.calls import SessionCalls
from starter.client.connection import connect
from starter.client.erasure import SCHEDULER, Erased, Erasure, NotErasedError
from starter.dev_server import EARLY
from tests.conformance.caller import SLOWNESS, until
from tests.harness import WAIT, Harness, ask, run_task, snapshot_when
from tests.servers import NO_LISTS, TEST_SERVER, own_server, running, server_of
from workflows.contract import Config, TaskInput, TaskOutput, task_workflow_id
from workflows.wire.errors import SessionError

PAGE = (Path(__file__).resolve().parents[1] / "docs/erasure.md").read_text()
BANANA = "What colour is a banana?"
EVENTS_A_RUN = 60
"""The server suggests continue-as-new from here: a chain of some runs for a dozen tasks."""


@workflow.defn(name="Beget")
class BegetWorkflow:
    """Starts another workflow under an id of its own that outlives it, and another session."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        for kind, queue, start in (("Hang", task.input["queue"], task), ("Session", task.input["queue"], {})):
            child_id = f"{kind}-of-{task.session_id}"
            abandon = workflow.ParentClosePolicy.ABANDON
            await workflow.start_child_workflow(kind, start, id=child_id, task_queue=queue, parent_close_policy=abandon)
        return TaskOutput(output="begotten")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dev server lists a start within milliseconds."""
    monkeypatch.setattr("starter.client.erasure.LAG_SECONDS", 0.3 * SLOWNESS)
    monkeypatch.setattr("starter.client.erasure.LOOK_SECONDS", 0.1 * SLOWNESS)


@pytest.fixture(scope="module")
async def short_runs() -> AsyncIterator[Harness]:
    """A server that suggests continue-as-new early, and a worker on it."""
    async with Harness.on(own_server({EARLY: EVENTS_A_RUN})) as harness:
        yield harness


async def _listed(temporal: Client, session_id: str) -> dict[str, int]:
    """The executions that the server lists under a session's name or as started from there, by id."""
    query = f"WorkflowId = '{session_id}' OR WorkflowId STARTS_WITH '{session_id}/' OR RootWorkflowId = '{session_id}'"
    ids = [found.id async for found in temporal.list_workflows(query)]
    return {found: ids.count(found) for found in ids if found.startswith(session_id) or session_id in found}


async def _found_when_listed(erasure: Erasure, tasks: dict[str, int]) -> Erased:
    """What is found once the server's list, which runs behind, has every task; the last look when it never does."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WAIT):
            while not tasks.items() <= (await erasure.found()).removed.items():  # noqa: ASYNC110 (the server has no event)
                await asyncio.sleep(0.1)
    return await erasure.found()


async def _is_gone(temporal: Client, workflow_id: str) -> bool:
    try:
        await temporal.get_workflow_handle(workflow_id).describe()
    except RPCError:
        return True
    return False


async def test_everything_of_a_session_is_removed_and_nothing_of_others(short_runs: Harness) -> None:
    """The chain of its runs, ended and running tasks, one that no worker serves, and what tasks started in turn."""
    temporal = short_runs.temporal
    session, *others = [await short_runs.client.open(name) for name in ("a_b", "axb", "A_b", "a_b2", "a_b.c")]
    for neighbour in others:
        await ask(neighbour, BANANA)
    for number in range(10):
        await ask(session, f"My dish is number {number}")
    fork_start = {"fork_of": {"session_id": session.id}}
    await temporal.start_workflow("Session", fork_start, id="fork", task_queue=short_runs.queue)
    fork = short_runs.client.get("fork")
    assert "number 9" in await ask(fork, "What is my dish?")
    async with Worker(
        temporal, task_queue="begetting", workflows=[BegetWorkflow], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        await ask(session, {"queue": short_runs.queue}, kind="Beget", task_queue="begetting")
    await session.submit(None, kind="Hang", task_queue="nobody-polls-this", task_id="unserved")
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    told: list[tuple[int, int]] = []
    erasure = Erasure(temporal, session.id)
    tasks = {"Answer": 10, "Beget": 1, "Hang": 2}
    found = await _found_when_listed(erasure, tasks)
    erased = await erasure.run(lambda removed, left: told.append((removed, left)))
    assert found == erased
    assert tasks == {kind: n for kind, n in erased.removed.items() if kind != "Session"}
    assert erased.removed["Session"] > 1
    assert (0, sum(erased.removed.values())) == told[0]
    assert told[-1][0] > 0
    assert {} == {
        listed: runs for listed, runs in (await _listed(temporal, session.id)).items() if listed != "Session-of-a_b"
    }
    assert [True] * 3 == [await _is_gone(temporal, left) for left in ("a_b", "a_b/unserved", "Hang-of-a_b")]
    for survivor in (*others, fork, short_runs.client.get("Session-of-a_b")):
        assert "yellow" in await ask(survivor, BANANA)
        assert (await survivor.snapshot()).counters.failed == 0


@pytest.mark.not_on_test_server(NO_LISTS)
@pytest.mark.parametrize("session_is", ["there", pytest.param("gone", marks=pytest.mark.rare)])
async def test_schedules_go_with_their_session_and_those_of_others_stay(harness: Harness, session_is: str) -> None:
    """What was started by them too, what deleted ones left, and without a session what an erasure of before left."""
    temporal = harness.temporal
    session, neighbour = await harness.open(Config(default_kind="Show")), await harness.open()
    former = await session.schedule("0 9 * * *", "former", name="former")
    await former.delete()
    schedules = [await session.schedule("0 9 * * *", "news", name=name) for name in ("a", "b")]
    others = [await neighbour.schedule("0 9 * * *", "x", name=name) for name in ("a", "former")]
    foreign = ScheduleActionStartWorkflow("Elsewhere", id="x", task_queue="nobody-polls-this")
    spec = ScheduleSpec(cron_expressions=["0 9 * * *"])
    stranger = await temporal.create_schedule(f"{session.id}/stranger", Schedule(action=foreign, spec=spec))
    await session.result(await _taken(session, await schedules[0].trigger()), WAIT)
    if session_is == "gone":
        await session.close()
        await session.finished(WAIT)
        await _delete(temporal, session.id)
    erasure = Erasure(temporal, session.id)
    await until(erasure.found, lambda found: (2, 1) == (found.schedules, found.removed.get("ScheduledTask")))
    erased = await erasure.run()
    assert {"ScheduledTask": 1, "Show": 1} | ({"Session": 1} if session_is == "there" else {}) == erased.removed
    assert 2 == erased.schedules
    assert [] == await session.schedules()
    left = f"TemporalNamespaceDivision = 'TemporalScheduler' AND WorkflowId STARTS_WITH '{SCHEDULER}{session.id}/'"
    assert [f"{SCHEDULER}{stranger.id}"] == [found.id async for found in temporal.list_workflows(left)]
    await stranger.delete()
    assert {"a", "former"} == {view.schedule for view in await neighbour.schedules()}
    for other in others:
        await other.delete()


async def _taken(session: Session, task_id: str) -> str:
    """A task's id, once the session has it."""
    await until(lambda: session.task(task_id), lambda record: record is not None)
    return task_id


async def _delete(temporal: Client, workflow_id: str) -> None:
    """Take an execution off the server, past our erasure."""
    run = WorkflowExecution(workflow_id=workflow_id)
    request = DeleteWorkflowExecutionRequest(namespace=temporal.namespace, workflow_execution=run)
    await temporal.workflow_service.delete_workflow_execution(request)
    await until(lambda: _is_gone(temporal, workflow_id), bool)


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_no_late_message_brings_an_erased_session_back(harness: Harness) -> None:
    session = await harness.open()
    task_id = await session.submit(None, kind="Hang")
    await snapshot_when(session, lambda s: s.running is not None)
    await Erasure(harness.temporal, session.id).run()
    for late in (
        session.submit("too late"),
        session.cancel(task_id),
        session.close(),
        session.patch_context({"set": {"tea": 1}}),
        session.snapshot(),
        session.result(task_id),
        session.finished(WAIT),
    ):
        with pytest.raises(SessionError) as refusal:
            await late
        assert "SessionNotFound" == refusal.value.type
    assert {} == await _listed(harness.temporal, session.id)
    reopened = await harness.client.open(session.id)
    assert 0 == (await reopened.snapshot()).counters.submitted


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_tasks_that_start_while_their_session_is_erased_go_too(harness: Harness) -> None:
    session = await harness.open()
    tasks = [await session.submit(BANANA, task_id=f"t{number}") for number in range(40)]
    erased = await Erasure(harness.temporal, session.id).run()
    assert {"Answer", "Session"} >= set(erased.removed)
    assert {} == await _listed(harness.temporal, session.id)
    assert all([await _is_gone(harness.temporal, task_workflow_id(session.id, task_id)) for task_id in tasks])


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_an_erasure_that_is_killed_at_every_step_is_finished_by_the_next(harness: Harness) -> None:
    session = await harness.open()
    await ask(session, BANANA)
    schedule = await session.schedule("0 9 * * *", BANANA, name="news")
    await schedule.trigger()
    await session.submit(None, kind="Hang", task_id="hangs")
    await snapshot_when(session, lambda s: s.running is not None and s.running.task_id == "hangs")
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    deaths = 0

    async def killed_at_the_second_step() -> Erased:
        steps = 0

        def told(_removed: int, _left: int) -> None:
            nonlocal steps
            steps += 1
            if steps > 1:
                raise KeyError

        return await Erasure(harness.temporal, session.id).run(told)

    async with asyncio.timeout(WAIT):
        while await _listed(harness.temporal, session.id):
            with contextlib.suppress(SessionError):  # gone while we looked
                try:
                    await killed_at_the_second_step()
                except KeyError:
                    deaths += 1
    assert deaths >= 2
    assert {} == await _listed(harness.temporal, session.id)
    assert [] == await session.schedules()
    assert [True] * 2 == [await _is_gone(harness.temporal, left) for left in (session.id, f"{session.id}/hangs")]


@pytest.mark.rare
@pytest.mark.not_on_test_server(NO_LISTS)
async def test_a_session_opened_under_the_freed_name_meanwhile_stays(harness: Harness) -> None:
    session = await harness.open()
    await ask(session, BANANA)
    erasing = asyncio.create_task(Erasure(harness.temporal, session.id).run())
    title, refusals = None, set()
    while title != "new":
        try:
            await harness.client.open(session.id, Config(title="new"))
            title = (await session.snapshot()).config.title
        except SessionError as refusal:
            refusals.add(refusal.type)
    assert {"Answer": 1, "Session": 1} == (await erasing).removed
    assert {"SessionClosed"} == refusals
    assert "yellow" in await ask(session, BANANA)


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_a_session_that_is_erased_while_it_is_opened_was_closed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the server's refusal of its name and the question why: not found, it could be opened at once."""
    session, why_closed = await harness.open(), SessionCalls.why_closed
    await session.close()
    await session.finished(WAIT)

    async def later(calls: SessionCalls) -> SessionError:
        await Erasure(harness.temporal, session.id).run()
        return await why_closed(calls)

    monkeypatch.setattr(SessionCalls, "why_closed", later)
    with pytest.raises(SessionError, match=r"^SessionClosed: .* was closed"):
        await harness.client.open(session.id)


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_what_is_no_session_is_not_found_and_not_touched(harness: Harness) -> None:
    with pytest.raises(SessionError, match="SessionNotFound"):
        await Erasure(harness.temporal, "never-opened").run()
    with pytest.raises(SessionError, match="InvalidRequest"):
        Erasure(harness.temporal, "a/b")
    name = f"other-{harness.queue}"
    for workflow_id in (name, f"{name}/1", f"orphan-{name}/1"):
        await harness.temporal.start_workflow("Hang", None, id=workflow_id, task_queue="nobody-polls-this")
    await asyncio.sleep(0.5)
    for erasure in (Erasure(harness.temporal, name), Erasure(harness.temporal, f"orphan-{name}")):
        with pytest.raises(SessionError, match="SessionNotFound"):
            await erasure.run()
    for workflow_id in (name, f"{name}/1", f"orphan-{name}/1"):
        handle = harness.temporal.get_workflow_handle(workflow_id)
        assert WorkflowExecutionStatus.RUNNING == (await handle.describe()).status
        await handle.terminate()


async def test_a_server_that_cannot_list_is_named_and_nothing_is_touched() -> None:
    """The time-skipping test server has no list."""
    async with running(server_of(TEST_SERVER)) as server:
        harness = Harness(await connect(server.address))
        async with harness.worker():
            session = await harness.open()
            with pytest.raises(NotErasedError, match="cannot list"):
                await Erasure(harness.temporal, session.id).run()
            assert "yellow" in await ask(session, BANANA)


async def test_an_erasure_that_does_not_get_on_says_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server deletes what has just been closed only when its queue has noted the close: this one, after minutes."""
    monkeypatch.setattr("starter.client.erasure.GIVE_UP_SECONDS", 0.5)
    settings = {"history.transferProcessorUpdateAckInterval": '"600s"'}
    async with running(own_server(settings)) as server:
        temporal = await connect(server.address)
        session = await SessionClient(temporal).open("stays")
        with pytest.raises(NotErasedError, match=r"nothing leaves any more; still there: 1, among them stays"):
            await Erasure(temporal, session.id).run()


def _files_with(folder: Path, word: str) -> set[str]:
    """Which files of a folder have the word in their bytes, as JSON or as Temporal writes it."""
    return {path.name for path in folder.iterdir() if word.encode() in path.read_bytes()}


@pytest.mark.rare
async def test_nothing_of_an_erased_session_is_left_in_the_bytes_of_the_embedded_servers_files(tmp_path: Path) -> None:
    """While the server runs by the very command of the page, and without it once the server has stopped."""
    command = next(line for line in PAGE.splitlines() if line.startswith("python -c"))
    program = command.removeprefix("python -c '").removesuffix("'").replace(".sessions/temporal.db", "temporal.db")
    async with running(own_server(database=tmp_path / "temporal.db")) as server:
        harness = Harness(await connect(server.address))
        async with harness.worker():
            survivor = await harness.open()
            await ask(survivor, "My dish is neighbouring")
            for word in ("hushabye", "lullaby"):
                session_id = await _talk(harness, word)
                assert "temporal.db-wal" in _files_with(tmp_path, word)
                await Erasure(harness.temporal, session_id).run()
                if word == "hushabye":
                    async with asyncio.timeout(WAIT):
                        while _files_with(tmp_path, word):
                            ran = await asyncio.to_thread(_run, program, tmp_path)
                            assert ran.startswith(("(0, 0, 0)", "(1, "))
            assert "neighbouring" in await ask(survivor, "What is my dish?")
    assert set() == _files_with(tmp_path, "lullaby") | _files_with(tmp_path, "hushabye")
    assert {"temporal.db"} == _files_with(tmp_path, "neighbouring")


def _run(program: str, folder: Path) -> str:
    ran = subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, capture_output=True)  # noqa: S603 (ours)
    return ran.stdout.decode()


async def _talk(harness: Harness, word: str) -> str:
    """A session that has the word wherever a person can put one, but for ids; also beyond one page of the file."""
    session = await harness.open(Config(owner=word, title=word, labels={word: word}), {word: word})
    await ask(session, f"My dish is {word}", labels={word: word})
    await session.schedule("0 9 * * *", f"My dish is {word}", labels={word: word}, open={"owner": word})
    await run_task(session, 1, kind=word)
    await run_task(session, {"seconds": 0, "set": {"long": word * 5_000}}, kind="Slow")
    await session.respond(await session.submit(None, kind="Hang"), word)
    await snapshot_when(session, lambda snapshot: snapshot.counters.rejected == 1)
    return session.id
