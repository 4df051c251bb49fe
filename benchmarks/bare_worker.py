"""The worker of the barest session, with the SDK's defaults: `python -m benchmarks.bare_worker`."""

import asyncio
import os

from temporalio.client import Client
from temporalio.worker import Worker

from benchmarks.bare_session import BareSession, BareTask, answer


async def main() -> None:
    """Serve until killed."""
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"])
    queue = os.environ["SESSIONS_TASK_QUEUE"]
    await Worker(client, task_queue=queue, workflows=[BareSession, BareTask], activities=[answer]).run()


if __name__ == "__main__":
    asyncio.run(main())
