"""A drill: two versions of the worker roll over 200 live sessions under load, by the very commands of the page."""

import asyncio
import itertools
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHistory

from benchmarks.processes import WorkerProcess
from starter.client import Session, SessionClient
from starter.client.connection import connect
from starter.dev_server import DevServer, find_binary
from tests import changed_sessions
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, begun, replayer, snapshot_when
from tests.servers import own_server, running
from tests.test_crashes import ROOT
from workflows.contract import SESSION_TYPE, task_workflow_id

PAGE = (ROOT / "docs/operations.md").read_text()
VERSIONS, FIRST, UNVERSIONED = "### With versions", "**The first time**", "### Without versions"
"""Where the page's blocks of commands stand: behind these words."""
QUEUE = "sessions"
TALKING, WAITING, IDLE = 40, 20, 140
"""Sessions that are asked all the time, that have a task which asks a person, and that nobody talks to."""
AT_ONCE, PAUSE = 4, 0.2
"""Conversations that go on at any time, and the seconds between two turns of a caller: some fifteen tasks a second, of
the thirty that a machine does. More would only make the steps last longer."""
TURNS = 4
"""Turns that each step of a roll lasts for at least, so that every step is one under load."""
NUMBER = re.compile(r"(?<=ID=)[12]|(?<=-id )[12]|(?<=sessions:)[12]")
"""A build id in a command."""


def commands(behind: str) -> list[str]:
    """The commands of the first block of the page behind these words."""
    block = re.search(r"```console\n(.*?)```", PAGE[PAGE.index(behind) :], re.DOTALL)
    assert block
    return block[1].splitlines()


def exchanged(steps: Iterable[str]) -> list[str]:
    """The same the other way round, as the page says of the way back."""
    return [NUMBER.sub(lambda build: "2" if build[0] == "1" else "1", step) for step in steps]


def test_the_way_back_exchanges_the_numbers_and_nothing_else() -> None:
    there = commands(VERSIONS)
    assert ["2", "2", "2", "1", "1"] == [number for step in there for number in NUMBER.findall(step)]
    assert ["1", "1", "1", "2", "2"] == [number for step in exchanged(there) for number in NUMBER.findall(step)]
    assert there == exchanged(exchanged(there))


class Conversation:
    """One session, and what it has acknowledged, in order."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.acknowledged: list[str] = []

    async def submit(self, task_input: str, kind: str | None = None) -> str:
        """Send a task. It counts once the server has it."""
        task_id = await self.session.submit(task_input, task_id=f"task-{len(self.acknowledged)}", kind=kind)
        self.acknowledged.append(task_id)
        return task_id

    async def turn(self) -> None:
        """Two tasks at once, of which the second knows the first."""
        number = len(self.acknowledged)
        await self.submit(f"My dish is number {number}")
        record = await self.session.result(await self.submit("What is my dish?"), WAIT)
        assert f"Your dish is number {number}." == record.output

    async def ask_a_person(self) -> None:
        """A task that waits until `answer_it`."""
        await self.submit("deploy", kind="Approve")
        await snapshot_when(self.session, lambda snapshot: snapshot.status == "waiting")

    async def answer_it(self) -> None:
        """The person's answer."""
        await self.session.respond(self.acknowledged[-1], "no")
        assert "left alone" == (await self.session.result(self.acknowledged[-1], WAIT)).output


class Drill:
    """An operator and the sessions' callers.

    `codes`: the class of the session in workers that start from now on, by build id; without a version that is empty.
    """

    def __init__(self, server: DevServer, temporal: Client, codes: dict[str, str]) -> None:
        self._server = server
        self._temporal = temporal
        self.codes = codes
        self._workers: list[WorkerProcess] = []
        self._turns = 0
        self._over = False
        self.talking: list[Conversation] = []
        self.waiting: list[Conversation] = []
        self.idle: list[Conversation] = []

    @property
    def everyone(self) -> list[Conversation]:
        """All 200."""
        return [*self.talking, *self.waiting, *self.idle]

    # --- the callers ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """All sessions, open, and those who talk to them meanwhile. A caller's failure is the drill's."""
        client = SessionClient(self._temporal, QUEUE)
        names = [f"drill-{number:03}" for number in range(TALKING + WAITING + IDLE)]
        found = [Conversation(client.get(name)) for name in names]
        self.talking, self.waiting = found[:TALKING], found[TALKING : TALKING + WAITING]
        self.idle = found[TALKING + WAITING :]

        async def begin(conversation: Conversation) -> None:
            await client.open(conversation.session.id)
            await conversation.submit("Hello")

        await self._each(self.everyone, do=begin)
        turns = itertools.cycle(self.talking)
        async with asyncio.TaskGroup() as callers:
            for _ in range(AT_ONCE):
                callers.create_task(self._talk(turns))
            await self._more_turns(TURNS)
            yield
            self._over = True

    async def _talk(self, turns: Iterable[Conversation]) -> None:
        for conversation in turns:
            if self._over:
                return
            await conversation.turn()
            self._turns += 1
            await asyncio.sleep(PAUSE)

    async def _more_turns(self, count: int) -> None:
        wanted = self._turns + count
        async with asyncio.timeout(2 * WAIT):
            while self._turns < wanted:  # noqa: ASYNC110 (callers tell by counting)
                await asyncio.sleep(0.1)

    @staticmethod
    async def _each(some: Iterable[Conversation], do: Callable[[Conversation], Awaitable[object]]) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(conversation: Conversation) -> None:
            async with gate:
                await do(conversation)

        await asyncio.gather(*(one(conversation) for conversation in some))

    # --- the operator ---------------------------------------------------------------------------------------------

    async def start(self, step: str = "python worker.py") -> WorkerProcess:
        """A worker of the version that the command names."""
        words = dict(word.split("=", 1) for word in step.removesuffix(" python worker.py").split() if "=" in word)
        code = self.codes[words.get("TEMPORAL_WORKER_BUILD_ID", "")]
        settings = {**words, "SESSIONS_TEST_SLOWNESS": str(SLOWNESS)}
        worker = WorkerProcess(
            self._server.address, QUEUE, "tests.worker_of_version", settings=settings, arguments=(code,)
        )
        self._workers.append(worker)
        await worker.start()
        return worker

    async def stop_all(self) -> None:
        """Whatever else happened."""
        for worker in self._workers:
            await worker.kill()

    async def roll(self, steps: Sequence[str], old: WorkerProcess) -> WorkerProcess:
        """Do as these steps say, each as long as the load has not gone on; the new worker."""
        new = old
        await self._each(self.waiting, do=Conversation.ask_a_person)
        answered = False
        for step in steps:
            if step.endswith("python worker.py"):
                new = await self.start(step)
            elif step == "kill -TERM OLD":
                await old.stop()
            elif step.startswith("temporal workflow count"):
                if "TemporalWorkerDeploymentVersion" in step and not answered:  # whatever waits on the old version
                    await self._each(self.waiting, do=Conversation.answer_it)
                    answered = True
                await self.until_none(step)
            else:
                await self.succeeds(step)
            if new.running or old.running:
                await self._more_turns(TURNS)
        if not answered:
            await self._each(self.waiting, do=Conversation.answer_it)
        return new

    async def until_none(self, count: str) -> None:
        """Ask until nothing is left."""
        async with asyncio.timeout(WAIT):
            while "Total: 0" not in (said := (await self._said(count))[1]).splitlines():
                assert "Total: " in said
                await asyncio.sleep(1)

    async def succeeds(self, command: str) -> None:
        """A version is known as soon as its first worker polls."""
        async with asyncio.timeout(WAIT):
            while (await self._said(command))[0]:  # noqa: ASYNC110 (the server has no event for it)
                await asyncio.sleep(0.2)

    async def _said(self, command: str) -> tuple[int | None, str]:
        path = f"{Path(await find_binary()).parent}{os.pathsep}{os.environ['PATH']}"
        process = await asyncio.create_subprocess_shell(
            command,
            env={**os.environ, "PATH": path, "TEMPORAL_ADDRESS": self._server.address},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    # --- the judge ------------------------------------------------------------------------------------------------

    async def all_are_on(self, build: str) -> None:
        """Whether every open session is on that version, and none closed."""
        of_sessions = f"WorkflowType = '{SESSION_TYPE}' AND ExecutionStatus = 'Running'"
        on_it = f"{of_sessions} AND TemporalWorkerDeploymentVersion = 'sessions:{build}'"
        counts = [(await self._temporal.count_workflows(query)).count for query in (of_sessions, on_it)]
        assert [len(self.everyone)] * 2 == counts

    async def judge(self) -> None:
        """Everything acknowledged was done once, in order; nothing failed on the way; what is left replays.

        A third of all runs is replayed, one or two of each session.
        """
        await self._each(self.everyone, do=self._judge_conversation)
        expected = {
            task_workflow_id(conversation.session.id, task_id)
            for conversation in self.everyone
            for task_id in conversation.acknowledged
        }
        children = [child async for child in self._temporal.list_workflows(f"WorkflowType != '{SESSION_TYPE}'")]
        assert Counter(expected) == Counter(child.id for child in children)
        assert {WorkflowExecutionStatus.COMPLETED} == {child.status for child in children}
        histories: dict[str, list[WorkflowHistory]] = {}
        runs = self._temporal.list_workflows(f"WorkflowType = '{SESSION_TYPE}'")
        async for history in runs.map_histories():
            assert [] == failures(history)
            if begun(history):
                histories.setdefault(self.codes[build_id(history)], []).append(history)
        assert set(self.codes.values()) == set(histories)
        for code, some in histories.items():
            await replayer(getattr(changed_sessions, code)).replay_workflows(_each_of(some[::3]))

    async def _judge_conversation(self, conversation: Conversation) -> None:
        context, snapshot = await conversation.session.context(), await conversation.session.snapshot()
        done = len(conversation.acknowledged)
        counters = snapshot.counters
        assert conversation.acknowledged == [turn.task_id for turn in context.transcript]
        assert ("idle", 0) == (snapshot.status, len(snapshot.pending))
        assert (done, done, 0) == (counters.submitted, counters.completed, counters.rejected)


async def _each_of(histories: Iterable[WorkflowHistory]) -> AsyncIterator[WorkflowHistory]:
    for history in histories:
        yield history


def build_id(history: WorkflowHistory) -> str:
    """The version that the run was on at last; none is empty."""
    done = [event.workflow_task_completed_event_attributes for event in history.events if _completed(event.event_type)]
    return done[-1].deployment_version.build_id


def _completed(event_type: int) -> bool:
    return event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


def failures(history: WorkflowHistory) -> list[str]:
    """Why workflow tasks failed; not where a message overtook a command, which is no failure."""
    failed = [
        event.workflow_task_failed_event_attributes
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]
    overtaken = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    return [f"{history.workflow_id}: {each.failure.message}" for each in failed if each.cause != overtaken]


@asynccontextmanager
async def drill(codes: dict[str, str]) -> AsyncIterator[Drill]:
    """On a server of its own."""
    async with running(own_server()) as server:
        found = Drill(server, await connect(server.address), codes)
        try:
            yield found
        finally:
            await found.stop_all()


@pytest.mark.rare
@pytest.mark.timeout(200)
async def test_two_versions_roll_over_200_live_sessions_forwards_and_back_as_the_page_says() -> None:
    """The new one has a command more that no guard protects."""
    async with drill({"1": "SessionWorkflow", "2": "OneCommandMore"}) as operator:
        worker = await operator.start(commands(FIRST)[0])
        await operator.succeeds(commands(FIRST)[1])
        async with operator.load():
            worker = await operator.roll(commands(VERSIONS), worker)
            await operator.all_are_on("2")
            await operator.roll(exchanged(commands(VERSIONS)), worker)
            await operator.all_are_on("1")
        await operator.judge()


@pytest.mark.rare
@pytest.mark.timeout(200)
async def test_without_versions_a_guarded_change_rolls_over_200_live_sessions_and_then_they_join_the_first() -> None:
    async with drill({"": "SessionWorkflow", "1": "OneGuardedCommandMore"}) as operator:
        worker = await operator.start()
        async with operator.load():
            operator.codes[""] = "OneGuardedCommandMore"
            worker = await operator.roll(commands(UNVERSIONED), worker)
            await operator.roll(commands(FIRST), worker)
            await operator.all_are_on("1")
        await operator.judge()
