"""Owners share the workers fairly, and a task may go before others that wait for the same workers."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from temporalio import activity
from temporalio.client import ScheduleActionStartWorkflow
from temporalio.service import RPCError
from typer.testing import CliRunner

from activities.models.offline import OfflineModel
from activities.models.protocol import ModelReply, ModelRequest
from starter.cli import tasks
from starter.cli.main import app
from starter.client import Session, SessionClient
from starter.client.connection import connect
from tests.conformance.caller import until
from tests.harness import WAIT, Harness, ask, once_started, run_task
from tests.samples import accepted, carried, handed_over, refused
from tests.servers import own_server, running
from tests.test_schedules import ended
from workflows.contract import Config, TaskRequest, notification_id, task_workflow_id
from workflows.state.ledger import SeenIds
from workflows.wire.fairness import fairness_key
from workflows.wire.validation import parsed

DYNAMIC_CONFIG = Path(__file__).resolve().parents[1] / "deploy/temporal/dynamicconfig.yaml"
BANANA = "What colour is a banana?"
Line = tuple[str, int]
"""The key and the priority that something waits by; empty and 0 where it has none of its own."""


class Asked(OfflineModel):
    """The offline model; keeps what the server says of the line that each of its calls has waited in."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    async def reply(self, request: ModelRequest) -> ModelReply:
        """See base class."""
        priority = activity.info().priority
        self.lines.append((priority.fairness_key or "", priority.priority_key or 0))
        return await super().reply(request)


async def line_of(client: SessionClient, workflow_id: str) -> Line:
    """What the server puts the work of an execution in line by, once it has started that."""
    found = await once_started(client.temporal.get_workflow_handle(workflow_id).describe)
    return found.raw_info.priority.fairness_key, found.raw_info.priority.priority_key


def test_a_key_is_one_of_its_owner_and_does_not_tell_who_that_is() -> None:
    """Sessions without an owner have none; the server takes 64 bytes and keeps them apart from any session."""
    assert fairness_key(None) is None
    owners = ["ada", "Ada", "x" * 255, "x" * 254, "ü" * 255, "\x00\x1f"]
    keys = {owner: fairness_key(owner) or "" for owner in owners}
    assert len(owners) == len(set(keys.values()))
    assert [] == [owner for owner, key in keys.items() if len(key.encode()) > 64 or owner in key]


def test_a_key_stays_what_it_is() -> None:
    """Operators give weights by it, and two versions of a worker have to put an owner's tasks into one line."""
    assert "owner-_e5DDUC9V97qwYbN" == fairness_key("ada")


@pytest.mark.parametrize("priority", [0, 6, -1, 1.5, "1", True])
def test_a_priority_out_of_range_is_refused_by_name(priority: Any) -> None:
    with refused("InvalidRequest") as caught:
        parsed(TaskRequest, {"task_id": "a", "input": 1, "priority": priority})
    assert caught.value.message.startswith("priority: ")


def test_another_priority_is_another_task_and_none_is_what_was_sent_before_there_was_one() -> None:
    known = SeenIds()
    known.add(accepted(priority=1))
    assert [True, False, False] == [known.same(accepted(priority=priority)) for priority in (1, 2, None)]
    assert b"priority" not in carried(accepted())
    assert 1 == handed_over(accepted(priority=1)).priority
    from_before = SeenIds(packed="ypeBEsob2SmNp")  # of `accepted()`, as sessions had it without the field
    assert [True, True, False] == [
        from_before.same(accepted(**given)) for given in ({}, {"priority": None}, {"priority": 3})
    ]


@pytest.mark.not_on_test_server("it knows no fairness keys")
async def test_a_session_and_all_that_it_starts_wait_in_the_line_of_its_owner(elsewhere: Harness) -> None:
    model = Asked()
    # An activity that its worker begins at once, having a place for it, has waited in no line and is told of none.
    async with elsewhere.worker(model, disable_eager_activity_execution=True):
        told = {"url": "https://a.example/", "on": ["close"]}
        of_ada = await elsewhere.open(Config.model_validate({"owner": "ada", "notify": told}))
        await ask(of_ada, BANANA)
        one = await run_task(of_ada, BANANA, priority=1)
        await of_ada.configure(owner="bob")
        await ask(of_ada, BANANA)
        await of_ada.configure(owner=None)
        await ask(of_ada, BANANA)
        await of_ada.close()
        await of_ada.finished(WAIT)
        of_nobody = await elsewhere.open()
        await ask(of_nobody, BANANA, priority=5)
    ada, bob = (fairness_key(owner) or "" for owner in ("ada", "bob"))
    assert [(ada, 0), (ada, 1), (bob, 0), (ada, 0), ("", 5)] == model.lines
    assert (ada, 0) == await line_of(elsewhere.client, of_ada.id)
    assert (ada, 1) == await line_of(elsewhere.client, task_workflow_id(of_ada.id, one.task_id))
    assert (ada, 0) == await line_of(elsewhere.client, notification_id(of_ada.id, 1))
    assert ("", 0) == await line_of(elsewhere.client, of_nobody.id)
    await elsewhere.replay_all()


@pytest.mark.not_on_test_server("it has no schedules (UNIMPLEMENTED)")
async def test_a_schedule_waits_in_the_line_of_its_session_and_opens_one_in_the_line_of_its_owner(
    harness: Harness,
) -> None:
    session = await harness.open(Config(owner="ada"))
    missing = harness.client.get(f"{session.id}-missing")
    ada, bob = (fairness_key(owner) or "" for owner in ("ada", "bob"))
    for of, options, line in (
        (session, {"priority": 1}, (ada, 1)),
        (session, {"open": {"owner": "bob"}}, (ada, 0)),
        (missing, {"open": {"owner": "bob"}, "kind": "Show", "priority": 2}, (bob, 2)),
    ):
        schedule = await of.schedule("0 9 * * *", BANANA, **options)
        described = await harness.temporal.get_schedule_handle(f"{of.id}/{schedule.name}").describe()
        assert isinstance(described.schedule.action, ScheduleActionStartWorkflow)
        priority = described.schedule.action.priority
        assert line == (priority.fairness_key or "", priority.priority_key or 0)
    task_id = await schedule.trigger()
    assert task_id
    await ended(schedule)
    await missing.result(task_id, WAIT)
    assert (bob, 0) == await line_of(harness.client, missing.id)
    assert (bob, 2) == await line_of(harness.client, task_workflow_id(missing.id, task_id))


@pytest.mark.not_on_test_server("it describes nobody's priority")
async def test_the_command_line_takes_a_priority_from_1_to_5(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connected() -> SessionClient:
        return harness.client

    async def code(*words: str) -> int:
        return (await asyncio.to_thread(CliRunner().invoke, app, words)).exit_code

    monkeypatch.setattr(tasks, "connected", connected)
    session = await harness.open()
    for number, command in enumerate(("submit", "ask"), 1):
        words = (command, session.id, BANANA, "--task-id", command, "--priority")
        assert [2, 2, 0] == [await code(*words, given) for given in ("0", "6", str(number))]
        assert ("", number) == await line_of(harness.client, task_workflow_id(session.id, command))


def test_the_embedded_server_and_that_of_deploy_are_fair() -> None:
    assert "matching.enableFairness=true" in own_server()._arguments()
    assert [{"value": True}] == yaml.safe_load(DYNAMIC_CONFIG.read_text())["matching.enableFairness"]


MANY, PLACES = 16, 2


class Gate(OfflineModel):
    """The offline model behind a gate; keeps what it was asked, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.opened = asyncio.Event()

    async def reply(self, request: ModelRequest) -> ModelReply:
        """See base class."""
        self.asked.append(request.question)
        await self.opened.wait()
        return await super().reply(request)


async def in_line(session: Session, question: str, **options: Any) -> str:
    """A task whose call of the model waits for a place, or has one."""
    task_id = await session.submit(question, **options)
    child = session.temporal.get_workflow_handle(task_workflow_id(session.id, task_id))

    async def calls() -> bool:
        with contextlib.suppress(RPCError):  # it is about to be started
            return bool((await child.describe()).raw_description.pending_activities)
        return False

    await until(calls, bool)
    return task_id


async def begun_before(harness: Harness) -> dict[str, int]:
    """How many tasks of one owner begin before another's, and before an urgent one of its own, which come last."""
    model = Gate()
    async with harness.worker(model, max_concurrent_activities=PLACES):
        many = [await harness.open(Config(owner="ada")) for _ in range(MANY)]
        late, urgent = await harness.open(Config(owner="bob")), await harness.open(Config(owner="ada"))
        opened = "SessionStatus = 'open'"  # afterwards: what a session does first takes a place, too
        await until(lambda: harness.temporal.count_workflows(opened), lambda found: found.count == MANY + 2)
        task_ids = await asyncio.gather(*(in_line(session, "many") for session in many))
        answered = await in_line(late, "late"), await in_line(urgent, "urgent", priority=1)
        model.opened.set()
        await late.result(answered[0], WAIT)
        await urgent.result(answered[1], WAIT)
        for session, task_id in zip(many, task_ids, strict=True):
            await session.result(task_id, WAIT)
    return {name: model.asked[PLACES:].index(name) for name in ("late", "urgent")}


@pytest.mark.rare
@pytest.mark.parametrize("fair", [True, False], ids=["fair", "unfair"])
async def test_the_task_of_one_owner_begins_before_most_of_anothers_only_where_the_server_is_fair(fair: bool) -> None:
    """One partition of the queue, since each of several is a line of its own: how many wait in which one is chance."""
    one = {"matching.numTaskqueueReadPartitions": 1, "matching.numTaskqueueWritePartitions": 1}
    server = own_server(one if fair else {**one, "matching.enableFairness": "false"})
    async with running(server):
        before = await begun_before(Harness(await connect(server.address)))
    assert before["urgent"] < MANY / 4
    assert before["late"] < MANY / 4 if fair else before["late"] > MANY * 3 / 4


@pytest.mark.rare
async def test_what_waits_in_the_file_of_a_server_without_fairness_is_served_by_one_with_it_and_on_the_way_back(
    tmp_path: Path,
) -> None:
    queue, waiting = None, list[str]()
    for fair in ("false", "true", "false"):
        async with running(own_server({"matching.enableFairness": fair}, tmp_path / "temporal.db")) as server:
            harness = Harness(await connect(server.address), queue)
            queue = harness.queue
            if waiting:
                async with harness.worker():
                    ends = [await harness.client.get(session_id).result("t", WAIT) for session_id in waiting]
                assert ["completed"] * len(waiting) == [end.status for end in ends]
            sessions = [await harness.open(Config(owner=owner)) for owner in ("ada", "bob", None) for _ in range(5)]
            for session in sessions:
                await session.submit(BANANA, task_id="t")
            waiting = [session.id for session in sessions]
