"""A worker on a real server, in the strictest sandbox where that is asked for, and a replay of all that ran on it."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker._workflow import _WorkflowWorker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from activities.models.offline import OfflineModel
from activities.models.protocol import LanguageModel
from starter.client import Session, SessionClient
from starter.client.calls import NoWorkerError
from starter.client.connection import connect
from starter.client.watching import task_progress
from starter.serving.activations import CarefulActivations
from starter.serving.registration import register_search_attributes
from tests import canary
from tests.conformance import caller
from tests.kinds import TEST_KINDS
from tests.servers import Server, running
from worker import KINDS, build_worker
from workflows.contract import Config, Snapshot, TaskRecord
from workflows.kinds.unknown import UnknownKindWorkflow
from workflows.notification import NotificationWorkflow
from workflows.scheduled_task import ScheduledTaskWorkflow
from workflows.session import SessionWorkflow
from workflows.wire.messages import DATA_CONVERTER
from workflows.wire.progress import Progress

WAIT = caller.WAIT
"""Seconds any single wait may take."""

DEADLOCK_SECONDS = 2.0 * caller.SLOWNESS
"""The SDK's own two seconds, after which workflow code that got no processor counts as a deadlock."""


_Read = TypeVar("_Read")

IN_SANDBOX = bool(os.environ.get("SESSIONS_TEST_SANDBOX"))
"""Whether workers of the tests run all workflow code in the strictest sandbox, as `make test ALL=1` does. It takes a
fifth of their processor time. Without, a replay of all recorded histories is what tells that the code keeps to it."""


class PreparesOnce(SandboxedWorkflowRunner):
    """A sandbox that tries whether a workflow's definition loads in it once a process.

    Workers and replayers begin with that for every kind they have. The suite makes some two thousand of them, with
    twenty kinds each, and spent more than half of its processor time on it.
    """

    _prepared: ClassVar[set[type]] = set()

    def prepare_workflow(self, defn: workflow._Definition) -> None:
        """See base class."""
        if defn.cls not in self._prepared:
            super().prepare_workflow(defn)
            self._prepared.add(defn.cls)


def strict_runner() -> SandboxedWorkflowRunner:
    """A sandbox that refuses imports the code did not pass through on purpose."""
    policy = (
        SandboxImportNotificationPolicy.WARN_ON_DYNAMIC_IMPORT
        | SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
    )
    return PreparesOnce(restrictions=SandboxRestrictions.default.with_import_notification_policy(policy))


def everywhere(runner: WorkflowRunner | None) -> dict[str, Any]:
    """The options of a Worker or Replayer that run sessions by `runner`, too; none leaves them as they are."""
    return {} if runner is None else {"workflow_runner": runner, "unsandboxed_workflow_runner": runner}


def replayer(
    session: type = SessionWorkflow, runner: WorkflowRunner | None = None, converter: DataConverter = DATA_CONVERTER
) -> Replayer:
    """Replays histories of sessions and of all kinds that tests have, as workers run them where `runner` is none.

    `session` may be another version of it.
    """
    return Replayer(
        workflows=[session, ScheduledTaskWorkflow, NotificationWorkflow, *KINDS, *TEST_KINDS, UnknownKindWorkflow],
        data_converter=converter,
        plugins=[CarefulActivations()],
        **everywhere(runner),
    )


class _Patience:
    """Lets workflow code wait for a processor as long as this machine needs; the SDK has no option for it."""

    def __get__(self, worker: object, of: type) -> float:
        return DEADLOCK_SECONDS

    def __set__(self, worker: object, seconds: float) -> None:
        """Whatever the SDK says."""


def be_patient() -> None:
    """Let every worker and replayer of this process have that patience."""
    _WorkflowWorker._deadlock_timeout_seconds = _Patience()  # type: ignore[assignment]


def begun(history: WorkflowHistory) -> bool:
    """Whether any code has run in it. A run that begins a second after the one before it has nothing to replay yet."""
    return any(event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED for event in history.events)


class Harness:
    """Sessions on a task queue of their own."""

    def __init__(self, temporal: Client, queue: str | None = None) -> None:
        self.temporal = temporal
        self.queue = queue or f"test-{uuid.uuid4().hex[:12]}"
        self.client = SessionClient(temporal, self.queue)
        self._opened: list[str] = []

    @classmethod
    @asynccontextmanager
    async def on(cls, server: Server) -> AsyncIterator[Self]:
        """A harness with its worker on a server that is the test's own; afterwards all that ran there is replayed."""
        async with running(server):
            harness = cls(await connect(server.address))
            async with harness.worker():
                yield harness
            await harness.replay_all()

    async def open(self, config: Config | None = None, context: dict[str, Any] | None = None) -> Session:
        """A new session under an id of its own."""
        session = await self.client.open(f"session-{uuid.uuid4().hex[:12]}", config, context)
        self._opened.append(session.id)
        return session

    @asynccontextmanager
    async def worker(
        self, model: LanguageModel | None = None, *, search_attributes: bool = True, **options: Any
    ) -> AsyncIterator[None]:
        """A worker with the built-in kinds and those of the tests, and with the sessions' search attributes."""
        findable = search_attributes and await register_search_attributes(self.temporal)
        worker = build_worker(
            self.temporal,
            model or OfflineModel(),
            queue=self.queue,
            kinds=[*KINDS, *TEST_KINDS],
            search_attributes=findable,
            **{**everywhere(strict_runner() if IN_SANDBOX else UnsandboxedWorkflowRunner()), **options},
        )
        async with worker:
            yield

    async def replay_all(self) -> None:
        """Replay every history of this queue with the current code, and look for the suite's key in it.

        The first that does not fit, or has the key, fails the test.
        """
        # A history that breaks off inside a workflow task, as after a failed test, would keep the replayer waiting.
        async with asyncio.timeout(WAIT):
            await replayer(runner=UnsandboxedWorkflowRunner()).replay_workflows(
                self._innocent(), raise_on_replay_failure=True
            )

    async def _innocent(self) -> AsyncIterator[WorkflowHistory]:
        async for history in self._histories():
            assert not canary.in_events(history.events), f"the key is in the history of {history.workflow_id}"
            yield history

    async def _histories(self) -> AsyncIterator[WorkflowHistory]:
        try:
            async for history in self.temporal.list_workflows(f"TaskQueue = '{self.queue}'").map_histories():
                if begun(history):
                    yield history
        except RPCError as error:
            if error.status != RPCStatusCode.UNIMPLEMENTED:
                raise
            # The test server cannot list: the sessions opened here, in their last runs, are what can be named.
            for session_id in self._opened:
                yield await self.temporal.get_workflow_handle(session_id).fetch_history()


def timeless(*models: BaseModel | None) -> Any:
    """What the models say, without the times, which a replay may tell a few milliseconds apart."""
    return [caller.timeless(model.model_dump(mode="json")) if model else None for model in models]


async def hand_overs(session: Session) -> int:
    """How often the session has continued as new."""
    query = f"WorkflowId = '{session.id}' AND ExecutionStatus = 'ContinuedAsNew'"
    return (await session.temporal.count_workflows(query)).count


async def ask(session: Session, question: Any, **options: Any) -> Any:
    """The output of one task, waited for."""
    return await session.ask(question, wait=WAIT, **options)


async def run_task(session: Session, task_input: Any, **options: Any) -> TaskRecord:
    """The final record of one task, however it ended."""
    return await session.result(await session.submit(task_input, **options), WAIT)


async def snapshot_when(session: Session, condition: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot for which `condition` holds."""
    async with asyncio.timeout(WAIT):
        while True:
            with contextlib.suppress(NoWorkerError):  # one that starts, on a machine with other things to do
                if condition(snapshot := await session.snapshot()):
                    return snapshot
            await asyncio.sleep(0.05)


async def once_started(read: Callable[[], Awaitable[_Read]]) -> _Read:
    """What `read` gives of an execution, once the server has started that.

    A child starts a moment after the workflow task that asked for it: a caller that knows its record already may look
    before that.
    """
    async with asyncio.timeout(WAIT):
        while True:
            try:
                return await read()
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(0.05)


async def details_of(temporal: Client, workflow_id: str) -> str:
    """The current details, as the Web UI asks for them."""
    metadata: WorkflowMetadata = await temporal.get_workflow_handle(workflow_id).query(
        "__temporal_workflow_metadata", result_type=WorkflowMetadata
    )
    return metadata.current_details


async def progress_of(session: Session, task_id: str) -> Progress:
    """The first progress that a task reports."""
    async with asyncio.timeout(WAIT):
        while (progress := await task_progress(session, task_id)) is None:  # noqa: ASYNC110 (the server has no event)
            await asyncio.sleep(0.1)
    return progress
