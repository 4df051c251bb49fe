"""Kinds of LlamaIndex: its workflows, unchanged, and its agents.

`flow` runs a workflow as one activity, with a checkpoint after each step. `agent` runs an agent's loop in the kind's
workflow, and each call of its model or of a tool as an activity.

The author's kind is a class of its own, since Temporal takes no workflow that a function made:

    colours = llamaindex.flow(Colours)

    @workflow.defn(name="Colours", sandboxed=False, failure_exception_types=[Exception])
    class ColoursKind:
        @workflow.run
        async def run(self, task: TaskInput) -> TaskOutput:
            return await colours.run(task)

    KINDS = SimplePlugin("colours", workflows=[ColoursKind], activities=colours.activities)
"""

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.llamaindex.stretches import FlowAnswer, FlowQuestion, Stretch, StretchEnd
    from workflows.contract import TaskInput, TaskOutput
    from workflows.kinds.typed import changes
    from workflows.kinds.waiting import Unanswered, ask_person
    from workflows.wire.encoding import preview
    from workflows.wire.limits import (
        FLOW_HEARTBEAT_SECONDS,
        FLOW_RETRY_SECONDS,
        FLOW_SECONDS,
        PREVIEW_BYTES,
        TOOL_TIMEOUT_SECONDS,
    )

if TYPE_CHECKING:
    from workflows.frameworks.llamaindex_agents import Agent

_AGENTS = "llama_index.core.agent"


def flow(
    make: Callable[[], Any],
    *,
    name: str | None = None,
    keep: Collection[str] = (),
    start: str | None = None,
    heartbeat: timedelta = timedelta(seconds=FLOW_HEARTBEAT_SECONDS),
) -> "Flow":
    """A workflow of LlamaIndex for kinds: its class, or a function without arguments that makes one.

    `name`: of its activity, the class's own unless given. `keep`: the context values that are in `ctx.store` when it
    starts and that go back as a patch when it has ended; none of all else that it writes there outlives the task.
    `start`: the field of its start event that takes an input which is no object; unless given, the only one that it
    declares, else `input`. `heartbeat`: silence after which its worker counts as lost.

    Raises TypeError for an agent, whose loop belongs in the kind (`agent`), and for a workflow that is made already:
    tasks would share what it holds.
    """
    if not callable(make) or not isinstance(called := name or getattr(make, "__name__", None), str) or "<" in called:
        raise TypeError(f"{make!r} must be a class of workflows or a function that makes one; a lambda needs a name")
    if any(base.__module__.startswith(_AGENTS) for base in getattr(make, "__mro__", ())):
        raise TypeError(f"{called} is an agent, which cannot go on from a checkpoint; use llamaindex.agent")
    return Flow(make, called, frozenset(keep), start, heartbeat)


def agent(
    given: Any,
    *,
    name: str | None = None,
    ask: Collection[str] = (),
    inside: Collection[str] = (),
    keep: Collection[str] = (),
    messages: str | None = None,
    tool_timeout: timedelta = timedelta(seconds=TOOL_TIMEOUT_SECONDS),
) -> "Agent":
    """A FunctionAgent, a ReActAgent or an AgentWorkflow of these, for kinds.

    `name`: of its activities, the first agent's unless given. `ask`: the tools that are called once a person has said
    yes. `inside`: those that take the Context and may run in the workflow, where a replay repeats all they do but what
    they write to `ctx.store`, ask people or have activities do. `keep`: the context values that are in LlamaIndex's
    `state` when it starts, which its models read, and that go back as a patch. `messages`: the context value that keeps
    its messages from task to task, calls of tools included, within bounds; unless given, models read what the
    transcript says. `tool_timeout`: of one attempt.

    Raises TypeError for anything else, ValueError for tools that are not there or not where they belong, and
    ImportError, saying what to install, where there is no LlamaIndex.
    """
    from workflows.frameworks.llamaindex_agents import Agent  # noqa: PLC0415 (an extra)

    return Agent(given, name=name, ask=ask, inside=inside, keep=keep, messages=messages, tool_timeout=tool_timeout)


class Flow:
    """What `flow` makes: `run` is for the kind, `activities` for its worker."""

    def __init__(
        self, make: Callable[[], Any], name: str, keep: frozenset[str], start: str | None, heartbeat: timedelta
    ) -> None:
        self._make, self._name, self._keep, self._start, self._heartbeat = make, name, keep, start, heartbeat

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """For the kind's worker. Raises ImportError, saying what to install, where there is no LlamaIndex."""
        from activities.llamaindex.flows import flow_activity  # noqa: PLC0415 (an extra, which the kind itself needs not)

        return [flow_activity(self._activity, self._name, self._make, self._keep, self._start)]

    async def run(self, task: TaskInput) -> TaskOutput:
        """Run the flow for one task: its result is the output, what it keeps is the patch.

        What it asks people (`InputRequiredEvent`, `ctx.wait_for_event`) the session asks, one question after the other;
        nothing runs meanwhile. Raises ActivityError over what the flow raised.
        """
        given = {key: value for key, value in task.context.values.items() if key in self._keep}
        end = await self._stretch(Stretch(input=task.input, values=given))
        while end.question is not None:
            answer = await _answer(task, end.question)
            end = await self._stretch(Stretch(input=task.input, values=given, checkpoint=end.checkpoint, answer=answer))
        return TaskOutput(output=end.output, patch=changes(given, end.values) if task.context.write else None)

    @property
    def _activity(self) -> str:
        return f"llamaindex.{self._name}"

    async def _stretch(self, stretch: Stretch) -> StretchEnd:
        told = stretch.input if stretch.answer is None else stretch.answer.value
        end: StretchEnd = await workflow.execute_activity(
            self._activity,
            stretch,
            result_type=StretchEnd,
            start_to_close_timeout=timedelta(seconds=FLOW_SECONDS),
            heartbeat_timeout=self._heartbeat,
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=FLOW_RETRY_SECONDS), backoff_coefficient=1),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=preview(told, PREVIEW_BYTES),
        )
        return end


async def _answer(task: TaskInput, question: FlowQuestion) -> FlowAnswer:
    timeout = None if question.timeout is None else timedelta(seconds=question.timeout)
    try:
        value = await ask_person(task, question.text, choices=question.choices, data=question.data, timeout=timeout)
    except Unanswered:
        return FlowAnswer(number=question.number, unanswered=True)
    return FlowAnswer(number=question.number, value=value)
