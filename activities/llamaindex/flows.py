"""Runs a workflow of LlamaIndex, unchanged, as a Temporal activity that a killed worker costs no finished step.

After each step a checkpoint goes to the server as the heartbeat's details, by a call that is awaited before the next
step begins; the next attempt goes on from it. (The SDK's own `activity.heartbeat` keeps reports back for seconds, and
loses what it kept with the worker.) Once only people can make the flow go on, the activity ends with the checkpoint and
the question. What LlamaIndex raises ends the task: retries of steps are its own business.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any, NoReturn

from pydantic import ValidationError
from temporalio import activity
from temporalio.client import AsyncActivityCancelledError, AsyncActivityHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.llamaindex.questions import Questions, UnfitAnswer, answer_event
from activities.llamaindex.runtime import WatchedRuntime
from activities.llamaindex.stretches import Stretch, StretchEnd
from activities.llamaindex.theirs import (
    Context,
    DictState,
    StepId,
    StopEvent,
    TickAddEvent,
    TickStepResult,
    TickWaiterTimeout,
    Workflow,
    WorkflowIdleEvent,
    rebuild_state_from_ticks,
)
from activities.llamaindex.writes import values_of
from workflows.wire import limits
from workflows.wire.encoding import carried, clip, plain, preview
from workflows.wire.errors import ErrorType
from workflows.wire.escapes import contained, told
from workflows.wire.progress import Progress
from workflows.wire.validation import explained

STATE_TOO_LARGE = "StateTooLarge"
"""What a flow keeps is over FLOW_STATE_BYTES."""

STATE_NOT_SERIALIZABLE = "StateNotSerializable"
"""A flow keeps, or hands on in an event, what LlamaIndex cannot write as JSON."""

NOTHING_TO_ANSWER = "NothingToAnswer"
"""A flow has stopped without an end, and nobody is asked anything that would make it go on."""

_BEATS = 3
"""In the time after which a worker counts as lost: one or two may be late."""

_CANCEL_SECONDS = 5.0
"""For a flow to stop: a step that runs in a thread cannot be stopped, and is left behind after that."""


Make = Callable[[], Any]


def flow_activity(
    name: str, flow: str, make: Make, keep: Collection[str], start: str | None
) -> Callable[[Stretch], Awaitable[StretchEnd]]:
    """The activity `name` for the kind of flow that people know as `flow`.

    `make` makes a new one for each stretch; `keep` names the context values that go into its store and back; `start` is
    the field of its start event that takes an input which is no object (null: the only one that it declares).

    The activity raises non-retryable ApplicationErrors: what the flow raised, or its making, under its own name, and
    ours. An ApplicationError of the flow's goes as it is: one that may be retried goes on from the last checkpoint.
    """

    @activity.defn(name=name)
    async def run_flow(stretch: Stretch) -> StretchEnd:
        info = activity.info()
        heartbeat = activity.client().get_async_activity_handle(task_token=info.task_token)
        with contained():
            try:
                return await _Run(info, heartbeat, flow, make, keep, start, stretch).run()
            except _Gone:
                activity.raise_complete_async()  # nobody waits for this attempt any more
            except AsyncActivityCancelledError as cancelled:
                if cancelled.details is None or cancelled.details.cancel_requested:
                    with suppress(RPCError):
                        await heartbeat.report_cancellation()
                    activity.raise_complete_async()
                raise ApplicationError("the server took it back", type="ActivityPaused") from None
            except ApplicationError:
                raise
            except Exception as error:
                text = clip(str(error) or repr(error), limits.ERROR_MESSAGE_BYTES)
                raise ApplicationError(text, type=type(error).__name__, non_retryable=True) from error

    return run_flow


class _Gone(Exception):  # noqa: N818 (a sign)
    """The server knows nothing of this attempt: the task has ended, or another attempt has begun."""


class _Run:
    """One attempt at one stretch."""

    def __init__(
        self,
        info: activity.Info,
        heartbeat: AsyncActivityHandle,
        name: str,
        make: Make,
        keep: Collection[str],
        start: str | None,
        stretch: Stretch,
    ) -> None:
        self._heartbeat, self._name, self._keep, self._start, self._stretch = heartbeat, name, keep, start, stretch
        self._run_id = f"{info.workflow_id}/{info.activity_id}/{info.attempt}"
        beaten = info.heartbeat_details[0] if info.heartbeat_details else {}
        self._silence = info.heartbeat_timeout.total_seconds() if info.heartbeat_timeout else _BEATS
        self._checkpoint: dict[str, Any] | None = beaten.get("checkpoint") or stretch.checkpoint
        resumed = self._checkpoint or {}
        self._questions = Questions(resumed.get("questions", {}))
        self._steps: int = resumed.get("steps", 0)
        self._state: Any = None
        self._runtime = WatchedRuntime(self._run_id, self)
        self._flow = self._made(make)
        self._serializer = self._runtime.get_serializer(self._flow)
        self._beating, self._idle = asyncio.Lock(), asyncio.Event()
        self._stopped: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._answering: Any = None

    async def run(self) -> StretchEnd:
        handler = await self._begun()
        ended = asyncio.ensure_future(handler.stop_event_result())
        living = asyncio.ensure_future(self._live())
        try:
            if (unfit := await self._answer(ended)) is not None:
                return unfit
            if await self._rests(ended):
                return self._waiting()
            return await self._finished(handler, ended)
        finally:
            living.cancel()
            if not ended.done():
                ended.add_done_callback(lambda done: done.cancelled() or done.exception())
                await handler.cancel_run(timeout=_CANCEL_SECONDS)

    # --- what the runtime tells us

    def published(self, event: Any) -> None:
        self._questions.published(event)
        if isinstance(event, WorkflowIdleEvent):
            self._idle.set()

    async def ticked(self, tick: Any) -> None:
        before = self._runtime.begun if self._state is None else self._state
        self._state = rebuild_state_from_ticks(before, [tick], run_id=self._run_id)
        if self._answering is not None and self._answered_by(tick):
            self._questions.close(self._answering.number)
            self._answering = None
        if not isinstance(tick, TickStepResult):
            return
        self._steps += 1
        self._questions.ended(tick)
        if (checkpoint := self._taken()) is not None:
            self._checkpoint = checkpoint
            await self._beat()
        if self._stopped.done():
            raise self._stopped.result()

    def escaped(self, error: BaseException) -> None:
        self._stop(ApplicationError(told(error), type=type(error).__name__, non_retryable=True))

    # --- beginning

    def _made(self, make: Callable[[], Any]) -> Any:
        with self._runtime.registering():
            flow = make()
        if not isinstance(flow, Workflow):
            raise TypeError(f"{self._name}: {type(flow).__name__} is no workflow of LlamaIndex")
        return flow

    async def _begun(self) -> Any:
        if self._checkpoint is not None:
            context, event = Context.from_dict(self._flow, self._checkpoint["run"]), None
        else:
            context, event = Context(self._flow), self._start_event()
            await self._fill(context.store)
        handler = self._flow.run(ctx=context, start_event=event, run_id=self._run_id)
        if self._runtime.begun is None:
            self._fail("TypeError", "it is made with a runtime of its own, which takes no checkpoints")
        return handler

    def _start_event(self) -> Any:
        kind, given = self._flow.start_event_class, self._stretch.input
        declared = [*kind.model_fields]
        only = self._start or (declared[0] if len(declared) == 1 else "input")
        try:
            return kind(**(given if isinstance(given, dict) else {only: given}))
        except ValidationError as error:
            self._fail(ErrorType.INVALID_REQUEST, f"the input does not fit {kind.__name__}: {explained(error)}")

    async def _fill(self, store: Any) -> None:
        values = self._stretch.values
        async with store.edit_state() as state:
            declared = type(state).model_fields
            if not isinstance(state, DictState):
                for key in self._keep:
                    if key not in declared:
                        self._fail("InvalidContext", f"the store is a {type(state).__name__}, without a field {key!r}")
                try:
                    checked = type(state).model_validate({**state.model_dump(), **values})
                except ValidationError as error:
                    self._fail("InvalidContext", f"the context does not fit {type(state).__name__}: {explained(error)}")
                values = {key: getattr(checked, key) for key in values}
            for key, value in values.items():
                setattr(state, key, value) if key in declared else state.__setitem__(key, value)

    # --- answers

    async def _answer(self, ended: "asyncio.Future[Any]") -> StretchEnd | None:
        """Give the flow its answer, if it has not had it yet; the same question again where that does not fit."""
        answer = self._stretch.answer
        asked = self._questions.numbered(answer.number) if answer else None
        if answer is None or asked is None:
            return None
        if asked.requires and not await self._rests(ended):  # its step has run again as far as the wait
            return None
        self._idle.clear()
        state = self._runtime.begun if self._state is None else self._state
        if answer.unanswered:
            tick = TickWaiterTimeout(step_id=StepId.from_str(asked.step), waiter_id=asked.waiter)
        else:
            try:
                tick = TickAddEvent(event=answer_event(asked, answer.value, self._flow, self._questions, state))
            except UnfitAnswer as unfit:
                return StretchEnd(checkpoint=self._stretch.checkpoint, question=asked.question(str(unfit)))
        self._answering = answer
        self._tick = tick
        await self._runtime.get_external_adapter(self._run_id).send_event(tick)
        return None

    def _answered_by(self, tick: Any) -> bool:
        if isinstance(tick, TickAddEvent) and isinstance(self._tick, TickAddEvent):
            return tick.event is self._tick.event
        return isinstance(tick, TickWaiterTimeout) and tick.waiter_id == getattr(self._tick, "waiter_id", None)

    # --- ends

    async def _rests(self, ended: "asyncio.Future[Any]") -> bool:
        """Whether the flow waits for somebody; else it has ended. Raises what stopped it."""
        idle = asyncio.ensure_future(self._idle.wait())
        await asyncio.wait({ended, idle, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        if self._stopped.done():
            raise self._stopped.result()
        return not ended.done()

    def _waiting(self) -> StretchEnd:
        asked = self._questions.still_open(self._state)
        if not asked:
            self._fail(NOTHING_TO_ANSWER, "no step can run any more, there is no result, and nobody is asked anything")
        checkpoint = self._taken()
        assert checkpoint is not None  # noqa: S101 (nothing is under way)
        return StretchEnd(checkpoint=checkpoint, question=asked[0].question())

    async def _finished(self, handler: Any, ended: "asyncio.Future[Any]") -> StretchEnd:
        stop = await ended
        result = stop.result if type(stop) is StopEvent else stop
        output = self._json("the result", result, limits.OUTPUT_BYTES, ErrorType.OUTPUT_TOO_LARGE)
        held = values_of(await handler.ctx.store.get_state())
        kept = {key: held[key] for key in self._keep if key in held}
        values = {key: self._json(f"{key} in the store", value) for key, value in kept.items()}
        self._json("what it keeps", values, limits.CONTEXT_BYTES, ErrorType.CONTEXT_TOO_LARGE)
        return StretchEnd(output=output, values=values)

    def _json(self, what: str, value: Any, limit: int | None = None, too_large: str = "") -> Any:
        try:
            found = plain(value)
            size = len(carried(found))
        except ValueError as error:
            self._fail(ErrorType.INVALID_OUTPUT, f"{what} is {error}")
        if limit is not None and size > limit:
            self._fail(too_large, f"{what} weighs {size} bytes, over {limit}")
        return found

    # --- checkpoints

    def _taken(self) -> dict[str, Any] | None:
        """Where the flow stands between two steps; null while one under way has done what it would then do twice."""
        under_way = [run for worker in self._state.workers.values() for run in worker.in_progress]
        if any(run.received for run in under_way):  # it has sent events, some of which were delivered
            return None
        try:
            store = self._runtime.store.settled({run.invocation_id for run in under_way}, self._serializer)
            if store is None:
                return None
            run = self._state.to_serialized(self._serializer)
            run.state = store
            checkpoint = {
                "run": run.model_dump(mode="python"),
                "questions": self._questions.kept(),
                "steps": self._steps,
            }
            size = len(carried(checkpoint))
        except ValueError as error:
            self._fail(STATE_NOT_SERIALIZABLE, str(error))
        if size > limits.FLOW_STATE_BYTES:
            message = f"what it keeps weighs {size} bytes after {self._steps} steps, over {limits.FLOW_STATE_BYTES}: "
            self._fail(STATE_TOO_LARGE, message + "large data belongs elsewhere, and a reference to it in the store")
        return checkpoint

    async def _live(self) -> None:
        """Tell that the worker lives. Always with the last checkpoint: a beat without one would wipe it out."""
        while not self._stopped.done():
            await self._beat()
            await asyncio.sleep(self._silence / _BEATS)

    async def _beat(self) -> None:
        async with self._beating:  # an older checkpoint never overtakes a newer one
            running = [] if self._state is None else [s for s, w in self._state.workers.items() if w.in_progress]
            note = preview(", ".join(sorted(map(str, running))), limits.PREVIEW_BYTES) or None
            progress = Progress(done=self._steps, note=note).model_dump(exclude_none=True)
            while not self._stopped.done():
                details = progress | {"checkpoint": self._checkpoint}
                try:
                    # The SDK gives an activity up that does not beat by it. It has to have the new one before the
                    # server: what it sends on later must not be older.
                    activity.heartbeat(details)
                    await self._heartbeat.heartbeat(details)
                except AsyncActivityCancelledError as cancelled:
                    self._stop(cancelled)
                except RPCError as error:
                    if error.status == RPCStatusCode.NOT_FOUND:
                        self._stop(_Gone())
                    else:
                        activity.logger.warning("a checkpoint is not saved yet: %s", error)
                        await asyncio.sleep(limits.FLOW_RETRY_SECONDS)
                else:
                    return

    def _stop(self, reason: BaseException) -> None:
        if not self._stopped.done():
            self._stopped.set_result(reason)

    def _fail(self, error_type: str, message: str) -> NoReturn:
        raise ApplicationError(f"{self._name}: {message}", type=error_type, non_retryable=True)
