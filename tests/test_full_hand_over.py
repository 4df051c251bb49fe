"""Every limit full at once, and then a real hand-over to a new run, which the server asks for by its own setting."""

import asyncio
import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus

from starter.dev_server import EARLY
from tests.harness import WAIT, Harness, run_task, snapshot_when, timeless
from tests.servers import own_server
from workflows.contract import Config, ContextPatch
from workflows.wire import limits
from workflows.wire.encoding import json_bytes

EVENTS_A_RUN = 2_500
"""The run that fills the limits takes some 2,000 events; more messages then make it hand over."""


@pytest.mark.rare
async def test_a_session_with_every_limit_full_continues_as_new_and_goes_on(tmp_path: Path) -> None:
    async with Harness.on(own_server({EARLY: EVENTS_A_RUN}, tmp_path / "temporal.db")) as harness:
        session = await harness.open(Config(transcript=0))
        handle = harness.temporal.get_workflow_handle(session.id)
        for number in range(4):  # outputs and transcript
            await run_task(session, {"output": "o" * 60_000}, kind="Return", task_id=f"big-{number}")
        for number in range(50):  # the version log, with what undoes each change
            await session.patch_context(ContextPatch(set={"changing": f"{number}" + "c" * 2_500}))
        await session.patch_context(ContextPatch(set={f"v{n}": "v" * 60_000 for n in range(4)}))
        await session.submit("deploy", kind="Approve", task_id="asks")
        await snapshot_when(session, lambda s: s.status == "waiting")
        await asyncio.gather(*(session.submit("w" * 100, task_id=f"w-{n:04}") for n in range(limits.PENDING_TASKS)))
        await asyncio.gather(*(session.submit("x" * 60_000, task_id=f"full-{n}") for n in range(120)))
        sent = 4 + 1 + limits.PENDING_TASKS + 120
        await snapshot_when(session, lambda s: s.counters.submitted + s.counters.rejected == sent)
        before = (await session.snapshot(), await session.context(), await session.context(10))
        run = (await handle.describe()).run_id
        weight = json_bytes(json.loads(before[1].model_dump_json())) + json_bytes(
            json.loads(before[0].model_dump_json())
        )
        assert weight > 500 * limits.KIB
        async with asyncio.timeout(WAIT):
            while (await handle.describe()).run_id == run:
                await asyncio.gather(*(session.resume() for _ in range(100)))
                await session.snapshot()  # signals without a pause keep a run from its end, until it may take no more
        first = harness.temporal.get_workflow_handle(session.id, run_id=run)
        assert WorkflowExecutionStatus.CONTINUED_AS_NEW == (await first.describe()).status
        after = (await session.snapshot(), await session.context(), await session.context(10))
        assert timeless(*before) == timeless(*after)
        await session.pause()
        await session.respond("asks", "no")
        assert "left alone" == (await session.result("asks", WAIT)).output
        await asyncio.gather(*(session.cancel(f"w-{n:04}") for n in range(1, limits.PENDING_TASKS)))
        await session.resume()
        assert "completed" == (await session.result("w-0000", WAIT)).status
