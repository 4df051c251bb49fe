"""Which trace each task of a session belongs to: that of the call which submitted it, through every hand-over.

A session takes tasks from many callers, so no trace is its own. What a message to it has as trace context is kept under
the task's id until the task has ended. It goes to the next run in a header, not in the state, whose bytes are spoken
for: 55 bytes and the id for each task that waits, a thousand at most, and only where something is traced. The span of a
task has ids that are made of the session's first run and the task's id: whichever run makes it, and should it be made
twice, it is the same span, and all below it knows it before there is one.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.contrib.opentelemetry import TracingWorkflowInboundInterceptor
from temporalio.worker import (
    ContinueAsNewInput,
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
    HandleUpdateInput,
    StartActivityInput,
    StartChildWorkflowInput,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)

from workflows.contract import SESSION_TYPE, TaskRecord
from workflows.temporal import metrics
from workflows.wire.messages import decoded

HEADER = "_tracer-data"
"""Where Temporal's SDKs of all languages have a trace context, as JSON."""

CALLERS = "sessions-callers"
"""What a run hands over: `{task id: traceparent}` of the tasks that wait or run."""

PROPAGATOR = TraceContextTextMapPropagator()
"""Without baggage: callers put anything there, and it would stay in histories."""

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_JSON = {"encoding": b"json/plain"}


class Externs:
    """What the worker's side does for a session, by the name under which the session finds it."""

    SAMPLED = "__durable_sessions_sampled"
    ENDED = "__durable_sessions_task_ended"


class Spanned(NamedTuple):
    """The span of a task, and the traceparent of the call that submitted it, where that had one."""

    trace_id: int
    span_id: int
    caller: str | None


class WorkflowTraces(TracingWorkflowInboundInterceptor):
    """Before every workflow: the SDK's for kinds, and what is said above for sessions.

    Of a session the SDK's own sees nothing, and makes no span where there is none to be below. Nothing that a session
    does depends on what is here.
    """

    def __init__(self, next: WorkflowInboundInterceptor) -> None:  # noqa: A002 (the SDK's)
        super().__init__(next)
        self.text_map_propagator = PROPAGATOR
        self._kept: dict[str, str] | None = None

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """See base class."""
        super().init(_Outbound(outbound, self))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 (the SDK's)
        """See base class."""
        if not of_session():
            return await super().execute_workflow(input)
        metrics.listener.set(self._ended)
        return await self.next.execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002 (the SDK's)
        """See base class."""
        if not of_session():
            return await super().handle_signal(input)
        metrics.listener.set(self._ended)
        if input.signal == "submit":
            self._note(input.args[-1], input.headers)  # behind the name, as a dynamic handler has them
        return await self.next.handle_signal(input)

    async def handle_query(self, input: HandleQueryInput) -> Any:  # noqa: A002 (the SDK's)
        """See base class."""
        if of_session():
            return await self.next.handle_query(input)
        return await super().handle_query(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:  # noqa: A002 (the SDK's)
        """See base class."""
        if of_session():
            self.next.handle_update_validator(input)
        else:
            super().handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002 (the SDK's)
        """See base class."""
        if not of_session():
            return await super().handle_update_handler(input)
        metrics.listener.set(self._ended)
        if input.update == "submit_task":
            self._note(input.args, input.headers)
        return await self.next.handle_update_handler(input)

    def traceparent(self, task_id: str) -> str:
        """What is below that task's span has this as its parent."""
        span = self._span(task_id)
        if span.caller:
            flags = span.caller[-2:]
        else:
            flags = "01" if workflow.extern_functions()[Externs.SAMPLED](span.trace_id) else "00"
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{flags}"

    @property
    def _callers(self) -> dict[str, str]:
        if self._kept is None:  # what this run was started with can be read only once it runs
            handed_over = _content(workflow.info().headers, CALLERS)
            self._kept = {task: caller for task, caller in handed_over.items() if _valid(caller)}
        return self._kept

    def callers(self, task_ids: set[str]) -> dict[str, str]:
        """The traceparents of those of them that had one."""
        return {task: caller for task, caller in self._callers.items() if task in task_ids}

    def _note(self, args: Sequence[RawValue], headers: Mapping[str, Payload]) -> None:
        """Keep who submitted a task; the first submission counts. Never raises, whatever was sent."""
        caller = _content(headers, HEADER).get("traceparent")
        if not _valid(caller):
            return
        try:
            body = decoded(args)
        except Exception:  # noqa: BLE001 (the session says what is wrong with it)
            return
        task_id = body.get("task_id") if isinstance(body, dict) else None
        if isinstance(task_id, str):
            self._callers.setdefault(task_id, str(caller))

    def _span(self, task_id: str) -> Spanned:
        digest = hashlib.sha256(f"{workflow.info().first_execution_run_id}/{task_id}".encode()).digest()
        caller = self._callers.get(task_id)
        trace_id = int(caller.split("-")[1], 16) if caller else int.from_bytes(digest[:16])
        return Spanned(trace_id, int.from_bytes(digest[16:24]), caller)

    def _ended(self, record: TaskRecord) -> None:
        span = self._span(record.task_id)
        self._callers.pop(record.task_id, None)
        if not workflow.unsafe.is_replaying():
            ended: Callable[..., None] = workflow.extern_functions()[Externs.ENDED]
            with suppress(Exception):  # a session does not stand still over what watches it
                ended(record, workflow.info().workflow_id, span)


class _Outbound(WorkflowOutboundInterceptor):
    def __init__(self, next: WorkflowOutboundInterceptor, traces: WorkflowTraces) -> None:  # noqa: A002 (the SDK's)
        super().__init__(next)
        self._traces = traces

    async def start_child_workflow(self, input: StartChildWorkflowInput) -> workflow.ChildWorkflowHandle[Any, Any]:  # noqa: A002 (the SDK's)
        if of_session():
            input.headers = self._below(input.id, input.headers)
        return await super().start_child_workflow(input)

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002 (the SDK's)
        child = getattr(input.args[0], "workflow_id", "") if input.args and of_session() else ""
        if "/" in child:
            input.headers = self._below(child, input.headers)
        return super().start_activity(input)

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002 (the SDK's)
        if of_session() and (callers := self._traces.callers(_unended(input.args))):
            input.headers = {**input.headers, CALLERS: _payload(callers)}
        super().continue_as_new(input)

    def _below(self, child_id: str, headers: Mapping[str, Payload]) -> Mapping[str, Payload]:
        task_id = child_id.partition("/")[2]
        return {**headers, HEADER: _payload({"traceparent": self._traces.traceparent(task_id)})}


def of_session() -> bool:
    """Whether the workflow at hand is a session."""
    return workflow.info().workflow_type == SESSION_TYPE


def _unended(args: Sequence[Any]) -> set[str]:
    """The ids of the tasks that wait or run, of what a session hands over."""
    state = args[0]["state"]
    running = state.get("running")
    tasks = [*state.get("pending", {}).get("tasks", ()), *([running["task"]] if running else ())]
    return {task["task_id"] for task in tasks}


def _valid(traceparent: Any) -> bool:
    return isinstance(traceparent, str) and _TRACEPARENT.fullmatch(traceparent) is not None


def _content(headers: Mapping[str, Payload], name: str) -> dict[str, Any]:
    """What a header has, if that is an object of JSON."""
    try:
        found = json.loads(headers[name].data) if name in headers else None
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _payload(content: Mapping[str, str]) -> Payload:
    return Payload(metadata=_JSON, data=json.dumps(content, separators=(",", ":")).encode())
