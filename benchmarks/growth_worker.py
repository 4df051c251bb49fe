"""The worker of `benchmarks.growth`, whose model costs every task the same: `python -m benchmarks.growth_worker`."""

import asyncio

from activities.models.protocol import ModelReply, ModelRequest
from starter.client.connection import connect, task_queue
from worker import build_worker
from workflows.contract import ContextPatch

TEXT = 100
"""Characters of a question and of an answer."""


class FixedModel:
    """Answers every question with a text of one size, and remembers one."""

    name = "fixed"

    async def reply(self, request: ModelRequest) -> ModelReply:
        """Answer; the value it leaves replaces that of the task before."""
        text = request.question.ljust(TEXT, "a")
        return ModelReply(text=text, patch=ContextPatch(set={"last": text}), usage={"tokens": 1})


async def main() -> None:
    """Serve until killed."""
    await build_worker(await connect(), FixedModel(), queue=task_queue()).run()


if __name__ == "__main__":
    asyncio.run(main())
