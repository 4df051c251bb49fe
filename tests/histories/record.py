"""Records the histories of every scenario with the present code, as the set of its version: `make histories`.

Until a version is released its set is recorded anew whenever commands are changed on purpose. Afterwards it stays.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence

from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.runtime import Runtime, TelemetryConfig

from starter.dev_server import EARLY
from tests.harness import WAIT, Harness, begun
from tests.histories import store
from tests.histories.scenarios import SCENARIOS, SHORT_RUNS, Scenario
from tests.histories.store import Recorded
from tests.kinds import TEST_KINDS, ApproveWorkflow
from tests.servers import own_server, running
from workflows.wire.messages import DATA_CONVERTER

IDENTITY = "recorder"
"""Who every event says it came from, in place of this machine's name."""

EVENTS_A_RUN = 60
"""Where the server suggests continue-as-new to scenarios of short runs."""

AT_ONCE = 4
"""Scenarios under way together: most of them wait for timers."""

_NOT_OURS = {kind.__name__.removesuffix("Workflow") for kind in TEST_KINDS if kind is not ApproveWorkflow}
"""Kinds of the tests that run no code of the product; the one left out here asks a person."""


async def record() -> dict[str, Sequence[Recorded]]:
    """The histories of all scenarios."""
    short_runs = {EARLY: EVENTS_A_RUN}
    async with asyncio.TaskGroup() as group:
        ordinary = group.create_task(_on_a_server(SCENARIOS))
        short = group.create_task(_on_a_server(SHORT_RUNS, **short_runs))
    return ordinary.result() | short.result()


async def _on_a_server(scenarios: list[Scenario], **settings: object) -> dict[str, Sequence[Recorded]]:
    server = own_server(settings)
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(act: Scenario) -> Sequence[Recorded]:
        async with slots:
            temporal = await Client.connect(server.address, identity=IDENTITY, data_converter=DATA_CONVERTER)
            harness = Harness(temporal, f"recorded-{act.__name__.replace('_', '-')}")
            async with harness.worker():
                await act(harness)
                return [recorded async for recorded in _left_by(harness)]

    async with running(server), asyncio.TaskGroup() as group:
        tasks = {act.__name__: group.create_task(one(act)) for act in scenarios}
    return {name: task.result() for name, task in tasks.items()}


async def _left_by(harness: Harness) -> AsyncIterator[Recorded]:
    """What there is on the server, in the order in which it was started."""
    query = f"TaskQueue STARTS_WITH '{harness.queue}'"
    listed = [found async for found in harness.temporal.list_workflows(query)]
    for found in sorted(listed, key=lambda each: each.start_time):
        if found.workflow_type not in _NOT_OURS:
            handle = harness.temporal.get_workflow_handle(found.id, run_id=found.run_id)
            yield Recorded(found.id, store.scrubbed((await _at_rest(handle)).to_json_dict()))


async def _at_rest(handle: WorkflowHandle[object, object]) -> WorkflowHistory:
    """The history, once it does not break off before or inside a workflow task."""
    async with asyncio.timeout(WAIT):
        while True:
            pending = (await handle.describe()).raw_description.HasField("pending_workflow_task")
            if not pending and begun(history := await handle.fetch_history()):
                return history
            await asyncio.sleep(0.05)


def main() -> int:
    """Record, or say why not; the exit code."""
    version = store.present_version()
    if version in store.released_versions():
        sys.stderr.write(f"{version} is released and its histories stay: raise the version in pyproject.toml first\n")
        return 1
    logging.disable()  # what sessions refuse is part of the scenarios
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    started = time.monotonic()
    recorded = asyncio.run(record())
    size = store.write(version, recorded)
    count, seconds = sum(map(len, recorded.values())), time.monotonic() - started
    told = f"{count} histories of {len(recorded)} scenarios for {version}: {size // 1024} KiB, {seconds:.0f} s\n"
    sys.stdout.write(told)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the SDK's runtime may crash the interpreter while it shuts down
