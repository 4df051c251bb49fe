"""The activity of the `Countdown` kind: a long piece of work that shows progress and resumes after a crash."""

import asyncio

from temporalio import activity

from activities import progress


@activity.defn
async def count_down(seconds: int) -> int:
    """Wait `seconds`, a second at a time, and return how many of them this attempt waited itself.

    Each second is reported, and an attempt goes on where the last report of the one before it stood.
    """
    before = progress.resumed()
    done = int(before.done) if before else 0
    waited = 0
    while done < seconds:
        await asyncio.sleep(1)
        done, waited = done + 1, waited + 1
        progress.report(done, seconds)
    return waited
