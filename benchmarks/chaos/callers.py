"""One caller a session: submits what is planned, is cut off in mid-call, and tries again under the same id."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

from temporalio.client import RPCTimeoutOrCancelledError, WorkflowUpdateFailedError
from temporalio.service import RPCError

from benchmarks.chaos.kinds import CHAOS_KIND
from benchmarks.chaos.log import ACKNOWLEDGED, ACTED, CUT_OFF, Log
from benchmarks.chaos.plans import CANCELLED_ACTS, INITIAL_CONTEXT, Plan
from starter.client import Session, SessionClient
from starter.client.calls import UNANSWERED, NoWorkerError
from workflows.contract import Config

PATIENCE_SECONDS = 5.0
"""How long a call may take, unless the caller is cut off in it."""

CUT_OFF_SHARE, CUT_OFF_SECONDS = 0.3, 0.02
"""Of all calls, and the longest that one lasts until it is cut off: an acknowledgement takes about half of that."""

UPDATE_SHARE, REPEAT_SHARE = 0.2, 0.1
"""Of all submissions: made by the update, and sent again although acknowledged."""

LOOK_SECONDS = 1.0
"""Between looks at whether a task asks something; each is a query, and costs worker and server some milliseconds."""

_FAILURES = (TimeoutError, RPCError, RPCTimeoutOrCancelledError, NoWorkerError)
"""The ways in which a call does not tell whether it arrived."""


class Caller:
    """Speaks to one session and notes what was acknowledged."""

    def __init__(self, session: Session, log: Log, chance: Random) -> None:
        self._session = session
        self._log = log
        self._chance = chance

    async def carry_out(self, plans: list[Plan]) -> None:
        """Submit all tasks, one after the other, and act on those that wait for somebody."""
        asking = {plan.task_id: plan for plan in plans if plan.act == "ask"}
        async with asyncio.TaskGroup() as followers:
            followers.create_task(self._answer(asking))
            for plan in plans:
                await asyncio.sleep(plan.pause)
                await self._until_taken(plan, partial(self._submit, plan), ACKNOWLEDGED)
                if self._chance.random() < REPEAT_SHARE:
                    await self._until_taken(plan, partial(self._submit, plan), ACKNOWLEDGED)
                if plan.act in CANCELLED_ACTS:
                    followers.create_task(self._cancel(plan))

    async def _submit(self, plan: Plan) -> None:
        on_busy = "interrupt" if plan.act == "interrupt" else "enqueue"
        if self._chance.random() < UPDATE_SHARE:
            handle = self._session.temporal.get_workflow_handle(self._session.id)
            request = {"task_id": plan.task_id, "input": plan.input, "on_busy": on_busy}
            try:
                await handle.execute_update("submit_task", request)
            except WorkflowUpdateFailedError as error:
                # Anything else is a refusal, and a fault.
                if getattr(error.cause, "type", "") not in UNANSWERED:
                    raise
                raise TimeoutError from None
        else:
            await self._session.submit(plan.input, task_id=plan.task_id, on_busy=on_busy)

    async def _cancel(self, plan: Plan) -> None:
        await asyncio.sleep(self._chance.uniform(0, 2))
        await self._until_taken(plan, partial(self._session.cancel, plan.task_id), ACTED)

    async def _answer(self, asking: dict[str, Plan]) -> None:
        """Answer what is asked, until all tasks that may ask have ended: they may be interrupted before they do."""
        unanswered = set(asking)
        while unanswered:
            _end_if_cancelled()
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * LOOK_SECONDS)
            with contextlib.suppress(*_FAILURES):
                snapshot = await self._session.snapshot()
                unanswered.difference_update(record.task_id for record in snapshot.recent)
                running = snapshot.running
                if running and running.waiting_for:
                    plan = asking[running.task_id]
                    answer = partial(self._session.respond, plan.task_id, plan.word, running.waiting_for.id)
                    await self._until_taken(plan, answer, ACTED)

    async def _until_taken(self, plan: Plan, call: Callable[[], Awaitable[None]], taken: str) -> None:
        while True:
            cut_off = self._chance.random() < CUT_OFF_SHARE
            patience = self._chance.uniform(0, CUT_OFF_SECONDS) if cut_off else PATIENCE_SECONDS
            try:
                async with asyncio.timeout(patience):
                    await call()
            except _FAILURES:
                _end_if_cancelled()
                self._log.note(CUT_OFF, self._session.id, plan.task_id)
                await asyncio.sleep(self._chance.uniform(0, 0.5))
            else:
                self._log.note(taken, self._session.id, plan.task_id)
                return


def _end_if_cancelled() -> None:
    """The SDK turns the cancellation of a call into an error of its own, which looks like any other failure."""
    if (task := asyncio.current_task()) and task.cancelling():
        raise asyncio.CancelledError


async def opened(client: SessionClient, session_id: str) -> Session:
    """A new session with its context."""
    return await client.open(session_id, Config(default_kind=CHAOS_KIND, cancel_grace=10.0), INITIAL_CONTEXT)
