"""Compaction on a real server: sessions that go on whatever becomes of it, and one that knows its first turn's fact."""

import asyncio
from typing import Any

import pytest
from temporalio.worker import UnsandboxedWorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from starter.client import Session
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, ask, details_of, run_task, snapshot_when
from workflows.contract import Compact, Config, ContextPolicy, TaskRecord
from workflows.wire import limits
from workflows.wire.encoding import json_bytes

SQUEEZE = Compact(kind="Squeeze", turns=3)
SECONDS = 1.0 * SLOWNESS
"""The timeout of a compaction that hangs; the tasks beside it have one of their own."""

CODE, CODE_ASKED = "The code of the door is 4711", "What is the code of the door?"

WAYS = {
    "hangs": ("timed_out", "TaskTimedOut"),
    "asks": ("timed_out", "TaskTimedOut"),
    "fails": ("failed", "OutOfTea"),
    "returns nothing": ("failed", "InvalidOutput"),
    "returns no result": ("failed", "InvalidOutput"),
    "returns more": ("failed", "InvalidOutput"),
    "goes too far": ("failed", "InvalidOutput"),
    "is of no kind": ("failed", "UnknownKind"),
    "has no worker": ("timed_out", "TaskTimedOut"),
}


async def talk(session: Session, turns: int) -> None:
    """So many tasks; the last one's end is waited for."""
    ids = [await session.submit(None, kind="Note", timeout=WAIT) for _ in range(turns)]
    assert "completed" == (await session.result(ids[-1], WAIT)).status


async def versions(session: Session) -> list[int]:
    return [turn.version for turn in (await session.context()).transcript]


async def _compacted(harness: Harness, way: str) -> tuple[Session, TaskRecord]:
    """A session that was over its bound, and what became of its compaction."""
    kind = "NoSuchKind" if way == "is of no kind" else "Squeeze"
    queues = {"Squeeze": f"{harness.queue}-nobody"} if way == "has no worker" else {}
    short = SECONDS if WAYS[way][0] == "timed_out" else 3_600.0
    config = Config(compact=Compact(kind=kind, turns=3), queues=queues, task_timeout=short, on_failure="pause")
    session = await harness.open(config, {"way": way})
    await talk(session, 4)
    return session, await session.result("compact-4", WAIT)


@pytest.mark.parametrize(
    "ways",
    [["has no worker", "returns more"], pytest.param([*WAYS], marks=pytest.mark.rare)],
    ids=["some", "all"],
)
async def test_no_way_that_a_compaction_goes_wrong_hurts_its_session(harness: Harness, ways: list[str]) -> None:
    ended = await asyncio.gather(*(_compacted(harness, way) for way in ways))
    for way, (session, record) in zip(ways, ended, strict=True):
        error = record.error
        assert error
        assert (way, *WAYS[way]) == (way, record.status, error.type)
        assert error.message.startswith("3 turns left without a summary: ")
        context = await session.context()
        assert (way, [4], {"way": way}) == (way, [turn.version for turn in context.transcript], context.values)
        assert (5, "compact-4", []) == (context.log[-1].version, context.log[-1].by, context.log[-1].changed)
        await talk(session, 1)  # within the bound: no other compaction holds it up
        snapshot = await session.snapshot()
        assert (way, "idle", 5, 1) == (
            way,
            snapshot.status,
            snapshot.counters.completed,
            snapshot.counters.failed + snapshot.counters.timed_out,
        )


async def test_what_waits_goes_on_after_a_compaction_that_hangs_has_had_its_time(harness: Harness) -> None:
    session = await harness.open(Config(compact=SQUEEZE, task_timeout=SECONDS), {"way": "hangs"})
    await talk(session, 4)
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    waits = await session.submit(None, kind="Note", timeout=WAIT)
    assert "completed" == (await session.result(waits, WAIT)).status
    hung, after = await session.task("compact-4"), await session.task(waits)
    assert hung
    assert after
    assert hung.started_at
    assert hung.finished_at
    assert after.started_at
    assert SECONDS <= (hung.finished_at - hung.started_at).total_seconds() < SECONDS + 5 * SLOWNESS
    assert hung.finished_at <= after.started_at


async def test_a_compaction_is_interrupted_forked_rolled_back_and_closed_like_any_other_task(harness: Harness) -> None:
    session = await harness.open(Config(compact=SQUEEZE), {"way": "hangs"})
    await talk(session, 4)
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    page = await details_of(session.temporal, session.id)
    assert "compact-4" in page
    await session.patch_context({"unset": ["way"]})
    await run_task(session, None, kind="Note", on_busy="interrupt", timeout=WAIT)
    assert "cancelled" == (await session.result("compact-4", WAIT)).status
    assert "completed" == (await session.result("compact-6", WAIT)).status
    assert ([6], "through 4") == (await versions(session), (await session.context()).values["summary"])
    for version, values, turns in ((7, {"summary": "through 4"}, [6]), (6, {}, [1, 2, 3, 4, 6])):
        source = {"session_id": session.id, "version": version}
        copy = await harness.client.open(f"{session.id}-{version}", fork_of=source)
        assert (values, turns) == ((await copy.context()).values, await versions(copy))
    await session.rollback(6)
    assert [1, 2, 3, 4, 6] == await versions(session)
    await session.patch_context({"set": {"way": "hangs"}})
    await talk(session, 1)
    await snapshot_when(session, lambda s: s.running is not None and s.running.run_id is not None)
    await session.close("now")
    closed = await session.finished(WAIT)
    assert ("closed", "cancelled") == (closed.status, closed.recent[-1].status)


async def _conversation(harness: Harness, turns: int, bound: Compact) -> None:
    """Every question is answered, the first turn's fact at the end from the summary alone, and nothing grows."""
    session = await harness.open(Config(compact=bound))
    await ask(session, CODE)
    for number in range(2, turns, 25):
        ids = [await session.submit("What colour is a banana?") for _ in range(number, min(number + 25, turns))]
        for task_id in ids[-1:]:
            assert "yellow" in (await session.result(task_id, WAIT)).output
    alone = ContextPolicy(transcript=0, write=False)
    assert f"You said: {CODE}." == await ask(session, CODE_ASKED, context=alone)
    assert f'You first asked: "{CODE}"' == await ask(session, "What did I ask first?", context=alone)
    assert "I don't know" in await ask(session, CODE_ASKED, context=ContextPolicy(read="none", transcript=0))
    counters = (await snapshot_when(session, lambda s: s.status == "idle")).counters
    context = await session.context()
    assert len(context.transcript) <= 1.5 * bound.turns
    assert json_bytes(context.values) <= limits.SUMMARY_BYTES
    assert counters.completed == counters.submitted > turns


async def test_a_conversation_knows_its_first_turns_fact_when_that_turn_has_left(harness: Harness) -> None:
    await _conversation(harness, 8, Compact(kind="Summarise", turns=3))


@pytest.mark.stress
@pytest.mark.timeout(600)
async def test_a_conversation_of_a_thousand_turns_knows_its_first_turns_fact(elsewhere: Harness) -> None:
    """On a worker as users run it: what the sandbox and a replay of thousands of events add is tried elsewhere."""
    runners: dict[str, Any] = {
        "workflow_runner": SandboxedWorkflowRunner(),
        "unsandboxed_workflow_runner": UnsandboxedWorkflowRunner(),
    }
    async with elsewhere.worker(**runners):
        await _conversation(elsewhere, 1_000, Compact(kind="Summarise"))


async def test_a_summary_that_cannot_be_made_fails_by_name(harness: Harness) -> None:
    session = await harness.open(context={"summary": {"mine": 1}})
    cases: list[tuple[Any, ContextPolicy | None, str]] = [
        ("all", None, "InvalidRequest"),
        ({"through": "1"}, None, "InvalidRequest"),
        ({"through": 1}, ContextPolicy(write=False), "PatchNotAllowed"),
        ({"through": 1}, None, "InvalidContext"),
    ]
    for asked, context, name in cases:
        record = await run_task(session, asked, kind="Summarise", context=context)
        assert record.error
        assert ("failed", name) == (record.status, record.error.type)
