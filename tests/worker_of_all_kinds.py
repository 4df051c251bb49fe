"""`worker.py` with the kinds of the tests beside its own, as a process: `python -m tests.worker_of_all_kinds`."""

import asyncio

from activities.models.offline import OfflineModel
from starter.client.connection import connect, task_queue
from tests.kinds import TEST_KINDS
from worker import KINDS, build_worker


async def main() -> None:
    """Serve the task queue and the server that the environment names until killed."""
    async with build_worker(await connect(), OfflineModel(), queue=task_queue(), kinds=[*KINDS, *TEST_KINDS]):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
