"""A worker that hosts the chaos kind: `python -m benchmarks.chaos.worker`. It runs until it is killed."""

import asyncio

from temporalio.client import Client

from activities.models.offline import OfflineModel
from benchmarks.chaos.kinds import ChaosWorkflow, work
from starter.client.connection import NoServerError, connect, task_queue
from worker import KINDS, build_worker

RETRY_SECONDS = 0.2


async def main() -> None:
    """Serve sessions and chaos."""
    kinds = [*KINDS, ChaosWorkflow]
    await build_worker(await connected(), OfflineModel(), queue=task_queue(), kinds=kinds, activities=[work]).run()


async def connected() -> Client:
    """A client, as soon as there is a server: `worker.py` would end, and be started again by what supervises it."""
    while True:
        try:
            return await connect()
        except NoServerError:
            await asyncio.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    asyncio.run(main())
