"""Kinds that tell what they say while they say it, as the author of a kind writes them."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.plugin import SimplePlugin

with workflow.unsafe.imports_passed_through():
    from activities import progress, stream
    from tests.conformance.caller import SLOWNESS
    from workflows.contract import TaskInput, TaskOutput


@activity.defn
async def recite(piece: dict[str, Any]) -> str:
    """Tells `words`, one each `pause` seconds, with an event before each word named in `notes`; returns their text."""
    said = []
    async with stream.emitting() as out:
        for number, word in enumerate(piece["words"]):
            if number in piece.get("notes", ()):
                out.event("note", {"before": word})
            out.text(word)
            said.append(word)
            if piece.get("progress"):
                progress.report(number + 1, len(piece["words"]))
            await asyncio.sleep(piece.get("pause", 0))
        if "fails" in piece and activity.info().attempt <= piece["fails"]:
            raise RuntimeError("forgot the rest")
    return "".join(said)


@workflow.defn(name="Recite", failure_exception_types=[Exception])
class ReciteWorkflow:
    """Input: what `recite` takes. Output: its text."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        piece = task.input
        if isinstance(piece, str):  # of the command line: a word each fifth of a second
            piece = {"words": [f"{word} " for word in piece.split()], "pause": 0.2 * SLOWNESS}
        text = ""
        for _ in range(piece.get("times", 1)):
            text = await workflow.execute_activity(
                recite,
                piece,
                start_to_close_timeout=timedelta(minutes=5),
                heartbeat_timeout=timedelta(seconds=piece.get("heartbeat", 10)),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100)),
            )
        return TaskOutput(output=text)


KINDS = SimplePlugin("tests.recitals", workflows=[ReciteWorkflow], activities=[recite])
