"""Two versions of the worker at once, under live sessions."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.workflow.v1 import VersioningOverride, WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionOptionsRequest
from temporalio.common import VersioningBehavior

from starter.client import Session
from starter.client.connection import connect
from starter.dev_server import DevServer
from starter.serving.deployment import deployment
from tests.changed_sessions import PATCH, OneCommandMore, OneCommandMoreForGood, OneGuardedCommandMore
from tests.deployments import NAME, make_current
from tests.harness import WAIT, Harness, ask, replayer, snapshot_when
from tests.servers import own_server, running
from tests.test_crashes import WorkerProcess, stopping
from workflows.session import SessionWorkflow

BANANA = "What colour is a banana?"
PINNED, AUTO_UPGRADE = VersioningBehavior.PINNED, VersioningBehavior.AUTO_UPGRADE


@pytest.fixture
async def server() -> AsyncIterator[DevServer]:
    """A server of the test's own: which version is current is a fact of the whole server."""
    async with running(own_server()) as server:
        yield server


class Deployments:
    """Workers of any version, with any class for the session, on one task queue."""

    def __init__(self, harness: Harness, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.harness = harness
        self._address = address
        self._monkeypatch = monkeypatch

    @asynccontextmanager
    async def worker(
        self, session: type, build_id: str = "", behavior: VersioningBehavior = PINNED, *, cached: int = 1000
    ) -> AsyncIterator[None]:
        """A worker; without a build id it takes whatever comes."""
        # The SDK refuses a second worker without a version on one connection.
        apart = Harness(await connect(self._address), self.harness.queue)
        async with AsyncExitStack() as stack:
            with self._monkeypatch.context() as patched:
                patched.setattr("worker.SessionWorkflow", session)
                patched.setenv("TEMPORAL_DEPLOYMENT_NAME", NAME if build_id else "")
                patched.setenv("TEMPORAL_WORKER_BUILD_ID", build_id)
                config = deployment()
                if config:
                    config = dataclasses.replace(config, default_versioning_behavior=behavior)
                worker = apart.worker(deployment_config=config, max_cached_workflows=cached)
                await stack.enter_async_context(worker)
            yield

    async def make_current(self, build_id: str) -> None:
        """What an operator does once the workers of a version poll."""
        await make_current(self.harness.temporal, build_id)

    async def version(self, session: Session) -> str:
        """The build id that the session's present run belongs to."""
        described = await self.harness.temporal.get_workflow_handle(session.id).describe()
        return described.raw_description.workflow_execution_info.versioning_info.deployment_version.build_id

    async def versions(self, sessions: Iterable[Session]) -> set[str]:
        """The same of many."""
        return {await self.version(session) for session in sessions}

    async def failed_workflow_tasks(self) -> list[str]:
        """Why workflow tasks failed, in all that ran; not where a message overtook a command, which is no failure."""
        found = []
        listed = self.harness.temporal.list_workflows(f"TaskQueue = '{self.harness.queue}'")
        async for history in listed.map_histories():
            for event in history.events:
                failed = event.workflow_task_failed_event_attributes
                overtaken = failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
                if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED and not overtaken:
                    found.append(f"{history.workflow_id}: {failed.failure.message}")
        return found


@pytest.fixture
async def deployments(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> Deployments:
    return Deployments(Harness(await connect(server.address)), server.address, monkeypatch)


async def _converse(session: Session, dishes: range) -> None:
    """Some turns, each of which knows the one before."""
    for number in dishes:
        await ask(session, f"My dish is number {number}")
        assert f"number {number}" in await ask(session, "What is my dish?")


async def _all_converse(sessions: Iterable[Session], dishes: range) -> None:
    await asyncio.gather(*(_converse(session, dishes) for session in sessions))


@pytest.mark.rare
@pytest.mark.timeout(300)  # some 400 tasks
@pytest.mark.parametrize(
    ("count", "behavior", "changed"),
    [
        (12, AUTO_UPGRADE, OneGuardedCommandMore),
        (50, PINNED, OneCommandMore),
    ],
)
async def test_two_versions_at_once_under_live_sessions_fail_no_workflow_task(
    deployments: Deployments, count: int, behavior: VersioningBehavior, changed: type
) -> None:
    """Pinned runs need no guard in the new code; runs that are upgraded half-way do."""
    async with AsyncExitStack() as old_worker, deployments.worker(changed, "new", behavior):
        await old_worker.enter_async_context(deployments.worker(SessionWorkflow, "old", behavior))
        await deployments.make_current("old")
        sessions = [await deployments.harness.open() for _ in range(count)]
        waiting, talking = sessions[:4], sessions[8:]  # and four that idle
        await _all_converse(sessions, range(1))
        for session in waiting:
            await session.submit("deploy", kind="Approve", task_id="waits")
            await snapshot_when(session, lambda s: s.status == "waiting")
        assert {"old"} == await deployments.versions(sessions)

        conversations = asyncio.create_task(_all_converse(talking, range(1, 3)))
        await asyncio.sleep(0.5)
        await deployments.make_current("new")
        await conversations
        for session in waiting:
            await session.respond("waits", "no")
            assert "left alone" == (await session.result("waits", WAIT)).output
        client = deployments.harness.client
        async for found in client.list(limit=1_000):
            if found.closed_at is None:
                await client.get(found.session_id).configure()
        await _all_converse(talking, range(3, 4))
        assert {"new"} == await deployments.versions(sessions)

        await old_worker.aclose()  # nobody needs it any more
        await asyncio.gather(*(ask(session, BANANA) for session in sessions))
        kept = {(await session.context()).values["dish"] for session in talking}
        counters = [(await session.snapshot()).counters for session in talking]
    assert {"number 3"} == kept
    assert [(9, 9, 0)] * len(talking) == [(each.submitted, each.completed, each.rejected) for each in counters]
    assert [] == await deployments.failed_workflow_tasks()


@pytest.mark.rare
async def test_a_guarded_change_takes_over_live_sessions_of_workers_without_versions(deployments: Deployments) -> None:
    """The old worker is stopped before the new one starts; runs begun on the old code go on, and so do their timers."""
    async with deployments.worker(SessionWorkflow):
        sessions = [await deployments.harness.open() for _ in range(10)]
        await _all_converse(sessions, range(1))
        for session in sessions:
            await session.submit("deploy", kind="Approve", task_id="waits")
            await snapshot_when(session, lambda s: s.status == "waiting")
    async with deployments.worker(OneGuardedCommandMore):
        for session in sessions:
            await session.respond("waits", "no")
        await _all_converse(sessions, range(1, 2))
    assert [] == await deployments.failed_workflow_tasks()


async def test_a_guard_goes_in_two_steps(deployments: Deployments) -> None:
    """First the guard becomes the rule and the mark is still known; then, with no marked run left, it goes as well."""
    temporal = deployments.harness.temporal
    async with deployments.worker(SessionWorkflow):
        await _converse(await deployments.harness.open(), range(1))
    async with deployments.worker(OneGuardedCommandMore):
        session = await deployments.harness.open()
        await _converse(session, range(1))
        history = await temporal.get_workflow_handle(session.id).fetch_history()
    sessions = "WorkflowType = 'Session' AND ExecutionStatus = 'Running'"
    unmarked = f"{sessions} AND (TemporalChangeVersion IS NULL OR TemporalChangeVersion != '{PATCH}')"
    assert [2, 1] == [(await temporal.count_workflows(query)).count for query in (sessions, unmarked)]
    for changed, replays in ((OneGuardedCommandMore, True), (OneCommandMoreForGood, True), (OneCommandMore, False)):
        result = await replayer(changed).replay_workflow(history, raise_on_replay_failure=False)
        assert (changed, replays) == (changed, result.replay_failure is None)
    async with deployments.worker(OneCommandMoreForGood):
        later = await deployments.harness.open()
        await _converse(later, range(1))
        history = await temporal.get_workflow_handle(later.id).fetch_history()
    await replayer(OneCommandMore).replay_workflow(history)


@pytest.mark.rare
async def test_without_versions_two_workers_at_once_fail_workflow_tasks_even_with_a_guard(
    deployments: Deployments,
) -> None:
    """The old code does not know the guard's mark. What was sent is done once only the new code is left."""
    async with deployments.worker(OneGuardedCommandMore, cached=0):
        session = await deployments.harness.open()
        async with deployments.worker(SessionWorkflow, cached=0), asyncio.timeout(WAIT):
            tasks = [await session.submit(BANANA)]
            while not (failures := await deployments.failed_workflow_tasks()):
                tasks.append(await session.submit(BANANA))
                await asyncio.sleep(0.2)
        assert {"completed"} == {(await session.result(task_id, WAIT)).status for task_id in tasks}
    assert all("Nondeterminism error" in failure for failure in failures)


@pytest.mark.rare
async def test_sessions_join_a_version_and_go_back_to_an_older_one(deployments: Deployments) -> None:
    """From a worker without versions to one with, on to the next, and back."""
    async with deployments.worker(SessionWorkflow):
        session = await deployments.harness.open()
        await _converse(session, range(1))
    async with deployments.worker(SessionWorkflow, "old"), deployments.worker(OneCommandMore, "new"):
        seen = []
        for number, build_id in enumerate(("old", "new", "old"), start=1):
            await deployments.make_current(build_id)
            await _converse(session, range(number, number + 1))
            await session.configure()
            await ask(session, BANANA)
            seen.append(await deployments.version(session))
    assert ["old", "new", "old"] == seen
    assert [] == await deployments.failed_workflow_tasks()


@pytest.mark.rare
async def test_a_session_held_to_a_version_by_an_operator_stays_there_and_does_not_spin(
    deployments: Deployments,
) -> None:
    temporal = deployments.harness.temporal
    async with deployments.worker(SessionWorkflow, "old"), deployments.worker(OneCommandMore, "new"):
        await deployments.make_current("old")
        session = await deployments.harness.open()
        await _converse(session, range(1))
        pinned = VersioningOverride.PinnedOverride(
            behavior=VersioningOverride.PINNED_OVERRIDE_BEHAVIOR_PINNED,
            version=WorkerDeploymentVersion(deployment_name=NAME, build_id="old"),
        )
        await temporal.workflow_service.update_workflow_execution_options(
            UpdateWorkflowExecutionOptionsRequest(
                namespace="default",
                workflow_execution=WorkflowExecution(workflow_id=session.id),
                workflow_execution_options=WorkflowExecutionOptions(
                    versioning_override=VersioningOverride(pinned=pinned)
                ),
                update_mask=FieldMask(paths=["versioning_override"]),
            )
        )
        await deployments.make_current("new")
        await _converse(session, range(1, 3))
        await asyncio.sleep(1)  # a run that would hand over again and again needs a second for each
        assert "old" == await deployments.version(session)
        assert 1 == (await temporal.count_workflows(f"WorkflowId = '{session.id}'")).count


async def test_the_worker_says_which_version_it_is(server: DevServer, deployments: Deployments) -> None:
    environment = {"TEMPORAL_DEPLOYMENT_NAME": NAME, "TEMPORAL_WORKER_BUILD_ID": "from-the-environment"}
    worker = WorkerProcess(server.address, deployments.harness.queue, environment)
    with stopping(worker):
        worker.start()
        await deployments.make_current("from-the-environment")
        session = await deployments.harness.open()
        assert "yellow" in await ask(session, BANANA)
        assert "from-the-environment" == await deployments.version(session)


@pytest.mark.parametrize("missing", ["TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_WORKER_BUILD_ID"])
def test_half_a_version_is_refused(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setenv("TEMPORAL_DEPLOYMENT_NAME", NAME)
    monkeypatch.setenv("TEMPORAL_WORKER_BUILD_ID", "1")
    monkeypatch.delenv(missing)
    with pytest.raises(ValueError, match="belong together"):
        deployment()
