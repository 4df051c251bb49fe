"""A worker that hosts the chaos kind: `python -m benchmarks.chaos.worker`. It runs until it is killed."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client

from activities.models.offline import OfflineModel
from benchmarks.chaos.kinds import ChaosWorkflow, Work
from benchmarks.chaos.log import Log
from starter.client.connection import NoServerError, connect, task_queue
from worker import KINDS, build_worker

EFFECTS = "CHAOS_EFFECTS"
"""The environment variable with the file in which activities leave what they did."""

RETRY_SECONDS = 0.2

BEATS_APART = timedelta(seconds=0.5)
"""The SDK would hold beats back for 0.8 of their timeout, which leaves a loaded machine little of it to be late."""


async def main() -> None:
    """Serve sessions and chaos."""
    work = Work(Log(Path(os.environ[EFFECTS])))
    await build_worker(
        await connected(),
        OfflineModel(),
        queue=task_queue(),
        kinds=[*KINDS, ChaosWorkflow],
        activities=[work.work],
        max_heartbeat_throttle_interval=BEATS_APART,
    ).run()


async def connected() -> Client:
    """A client, as soon as there is a server: `worker.py` would end, and be started again by what supervises it."""
    while True:
        try:
            return await connect()
        except NoServerError:
            await asyncio.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    asyncio.run(main())
