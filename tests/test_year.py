"""A year of one session in virtual time: a task a day, one that waits for three weeks, a continue-as-new every day."""

from datetime import timedelta
from typing import Any

import pytest

from starter.client import Session
from tests.context_model import patched
from tests.harness import hand_overs, snapshot_when
from tests.test_virtual_time import DAY, SkippingHarness
from tests.test_virtual_time import virtual as virtual  # noqa: PLC0414 (a fixture)
from workflows.contract import Config, ContextPatch, ContextPolicy, TaskRecord, task_workflow_id
from workflows.wire import limits

WAITS = 21
"""Days that a person takes to answer."""

ANSWER_WITHIN = 30 * DAY
RUN_BUDGET = 20 * (WAITS + 2)
"""Events of a run: a day's task takes 13 and the run itself a few; after the wait one run works off three weeks."""


class Plain:
    """What the contract makes of tasks that ran one after the other, in the order in which they were submitted."""

    def __init__(self) -> None:
        self.version, self.values = 0, dict[str, Any]()
        self.statuses: list[tuple[str, str]] = []
        self.turns: list[tuple[str, int]] = []

    def done(self, task_id: str, patch: dict[str, Any] | None = None) -> None:
        """It completed with `write`: one version and one turn, whether it left a patch or not."""
        values = patched(self.values, ContextPatch.model_validate(patch or {}))
        assert values is not None
        self.values, self.version = values, self.version + 1
        self.turns.append((task_id, self.version))
        self.traceless(task_id, "completed")

    def traceless(self, task_id: str, status: str) -> None:
        self.statuses.append((task_id, status))


async def _submit(session: Session, day: int, plain: Plain) -> None:
    """The task of that day, in turns one that remembers, one that answers, one that fails, one that only reads."""
    task_id = f"day-{day}"
    match day % 4:
        case 0:
            patch = {"set": {"last": day}, "append": {"days": [day]}}
            await session.submit(patch, kind="Remember", task_id=task_id)
            plain.done(task_id, patch)
        case 1:
            await session.submit("What colour is a banana?", task_id=task_id)
            plain.done(task_id)
        case 2:
            await session.submit("named", kind="Raise", task_id=task_id)
            plain.traceless(task_id, "failed")
        case _:
            await session.submit(None, kind="Note", task_id=task_id, context=ContextPolicy(write=False))
            plain.traceless(task_id, "completed")


async def _waits(virtual: SkippingHarness, session: Session, plain: Plain, days: range) -> None:
    """A person takes three weeks to answer; the tasks of those days wait behind the one that asks.

    The server skips no time of a workflow that has an open child: the weeks pass for the child, then for the session.
    """
    await session.submit({"what": "deploy", "wait": ANSWER_WITHIN}, kind="Approve", task_id="asks")
    plain.done("asks", {"append": {"done": ["deploy"]}})
    await snapshot_when(session, lambda s: s.status == "waiting")
    asking = virtual.plain.get_workflow_handle(task_workflow_id(session.id, "asks"))
    for day in days:
        await _submit(session, day, plain)
        assert await virtual.skipper.fast_forward(asking, timedelta(days=1))
    waiting = await snapshot_when(session, lambda s: len(s.pending) == len(days))
    assert ("waiting", "asks") == (waiting.status, waiting.running and waiting.running.task_id)
    await session.respond("asks", "yes")
    await snapshot_when(session, lambda s: s.running is not None and _question(s.running) == "Why?")
    await session.respond("asks", "because")
    await _all_ended(session, plain)
    assert await virtual.pass_days(session.id, len(days))


def _question(running: TaskRecord) -> str | None:
    return running.waiting_for.text if running.waiting_for else None


async def _all_ended(session: Session, plain: Plain) -> None:
    await snapshot_when(session, lambda s: s.counters.completed + s.counters.failed == len(plain.statuses))


async def _live(virtual: SkippingHarness, days: int, asks_on: int) -> None:
    plain = Plain()
    with virtual.skipper.with_time_skipping_disabled():
        session = await virtual.open(Config(idle_timeout=2 * WAITS * DAY, task_timeout=2 * ANSWER_WITHIN))
        opened = (await session.snapshot()).started_at
        for day in range(days):
            if day == asks_on:
                await _waits(virtual, session, plain, range(day, day + WAITS))
            elif not asks_on < day < asks_on + WAITS:
                await _submit(session, day, plain)
                await _all_ended(session, plain)
                assert await virtual.pass_days(session.id, 1)
        final, context = await session.snapshot(), await session.context()
        last = final.recent[-1].finished_at
        assert last
        assert days - 1 == round((last - opened) / timedelta(days=1))
        assert (len(plain.statuses), 0) == (final.counters.submitted, final.counters.rejected)
        assert plain.statuses[-len(final.recent) :] == [(record.task_id, record.status) for record in final.recent]
        assert (plain.version, plain.values) == (context.version, context.values)
        assert plain.turns[-len(context.transcript) :] == [(turn.task_id, turn.version) for turn in context.transcript]
        assert min(len(plain.turns), limits.TRANSCRIPT_TURNS) == len(context.transcript)
        assert await hand_overs(session) >= days - WAITS - 2
        assert max(await _events_of_runs(session)) <= RUN_BUDGET


async def _events_of_runs(session: Session) -> list[int]:
    return [run.history_length async for run in session.temporal.list_workflows(f"WorkflowId = '{session.id}'")]


@pytest.mark.rare
async def test_two_months_of_a_task_a_day_leave_what_a_plain_simulation_says(virtual: SkippingHarness) -> None:
    await _live(virtual, 60, asks_on=20)


@pytest.mark.stress
async def test_a_year_of_a_task_a_day_leaves_what_a_plain_simulation_says(virtual: SkippingHarness) -> None:
    await _live(virtual, 365, asks_on=100)
