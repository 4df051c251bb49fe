"""A worker that imports nothing of this project: it speaks the contract's JSON on a task queue of its own.

Run as a script with the server's address and the task queue: `python -P tests/foreign_worker.py ADDRESS QUEUE`.
"""

import asyncio
import sys
from typing import Any

from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker


@workflow.defn(name="Reverse", failure_exception_types=[Exception])
class ReverseWorkflow:
    """Says it backwards, and remembers how often it was asked."""

    @workflow.run
    async def run(self, task: dict[str, Any]) -> dict[str, Any]:
        asked = task["context"]["values"].get("reversed", 0) + 1
        return {"output": task["input"][::-1], "patch": {"set": {"reversed": asked}}, "usage": {"letters": asked}}


async def main(address: str, queue: str) -> None:
    client = await Client.connect(address)
    async with Worker(client, task_queue=queue, workflows=[ReverseWorkflow]):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
