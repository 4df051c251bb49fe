"""The activity of the `Countdown` kind: a long piece of work that shows progress and resumes after a crash."""

import asyncio

from pydantic import BaseModel
from temporalio import activity


class CountdownProgress(BaseModel):
    """Progress as the contract has it: `{"done", "total"}`."""

    done: int
    total: int


@activity.defn
async def count_down(seconds: int) -> int:
    """Wait `seconds`, a second at a time, and return how many of them this attempt waited itself.

    Each second is heartbeated, and an attempt goes on where the last heartbeat of the one before it stood.
    """
    details = activity.info().heartbeat_details
    done = CountdownProgress.model_validate(details[0]).done if details else 0
    waited = 0
    while done < seconds:
        await asyncio.sleep(1)
        done, waited = done + 1, waited + 1
        activity.heartbeat(CountdownProgress(done=done, total=seconds))
    return waited
