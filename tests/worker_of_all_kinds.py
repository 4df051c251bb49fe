"""A worker process that has the kinds of the tests, too: `python -m tests.worker_of_all_kinds ADDRESS QUEUE`."""

import asyncio
import sys

from activities.offline_model import OfflineModel
from starter.connection import connect
from tests.kinds import TEST_KINDS
from worker import KINDS, build_worker


async def main(address: str, queue: str) -> None:
    """Serve until killed."""
    async with build_worker(await connect(address), OfflineModel(), queue=queue, kinds=[*KINDS, *TEST_KINDS]):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
