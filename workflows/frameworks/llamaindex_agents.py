"""An agent of LlamaIndex whose loop runs in the workflow of a kind: each call of its model or of a tool is an activity.

For environments with LlamaIndex; `llamaindex.agent` makes it.
"""

import asyncio
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, NoReturn

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
    from llama_index.core.base.llms.types import ChatMessage

    from activities.llamaindex.agents import model_activity, tool_activity
    from activities.llamaindex.calls import ModelAnswer, ModelCall, ToolAnswer
    from activities.llamaindex.questions import Asked, Questions, UnfitAnswer, answer_event
    from activities.llamaindex.theirs import Context, StepId, TickAddEvent, TickStepResult, TickWaiterTimeout
    from workflows.contract import ContextPatch, TaskInput, TaskOutput
    from workflows.frameworks.llamaindex_loop import Conversation, DurableModel, DurableTool, LoopRuntime
    from workflows.kinds.approval import ask_approval
    from workflows.kinds.history import before_history, history_of, history_patch
    from workflows.kinds.threads import inline_threads
    from workflows.kinds.typed import changes
    from workflows.kinds.usage import UsageSum
    from workflows.kinds.waiting import Unanswered, ask_person
    from workflows.wire import limits
    from workflows.wire.conversation import conversation, known_before
    from workflows.wire.encoding import canonical, preview
    from workflows.wire.markdown import words_of

HANDOFF = "handoff"
"""LlamaIndex's own tool, which passes a conversation from one agent to another."""

_MODEL_CALL: Any = {
    "start_to_close_timeout": timedelta(seconds=limits.MODEL_TIMEOUT_SECONDS),
    "heartbeat_timeout": timedelta(seconds=limits.MODEL_HEARTBEAT_SECONDS),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=limits.MODEL_RETRY_SECONDS)),
}


class Agent:
    """What `llamaindex.agent` makes: `run` is for the kind, `activities` for its worker."""

    def __init__(
        self,
        given: Any,
        *,
        name: str | None,
        ask: Collection[str],
        inside: Collection[str],
        keep: Collection[str],
        messages: str | None,
        tool_timeout: timedelta,
    ) -> None:
        self.flow = given if isinstance(given, AgentWorkflow) else None
        members = [*given.agents.values()] if self.flow else [given]
        for agent in members:
            if not isinstance(agent, FunctionAgent | ReActAgent):
                raise TypeError(f"{type(agent).__name__} is no FunctionAgent, ReActAgent or AgentWorkflow of these")
            if agent.tool_retriever is not None:
                raise TypeError(
                    f"agent {agent.name!r} has a tool_retriever, which would read in the workflow: name tools"
                )
        self.agents = {agent.name: agent for agent in members}
        self.name = name or members[0].name
        self.ask, self.inside, self.keep = {*ask}, {*inside}, frozenset(keep)
        self.messages, self.tool_timeout = messages, tool_timeout
        tools = {tool.metadata.name: tool for agent in self.agents.values() for tool in agent.tools or []}
        for unknown in sorted((self.ask | self.inside) - {*tools}):
            raise ValueError(f"there is no tool {unknown!r}")
        for tool in tools.values():
            if getattr(tool, "requires_context", False) != (tool.metadata.name in self.inside):
                _misplaced(tool)

    @property
    def activities(self) -> list[Callable[..., Any]]:
        """For the kind's worker: the model of each agent, and every tool that does not run in the workflow."""
        found: dict[str, Callable[..., Any]] = {}
        for agent in self.agents.values():
            tools = {tool.metadata.name: tool for tool in agent.tools or []}
            found[agent.name] = model_activity(self.model_of(agent.name), agent.llm, tools)
            found |= {f"tool {t}": tool_activity(self.tool(t), tools[t]) for t in tools if t not in self.inside}
        return [*found.values()]

    def model_of(self, agent: str) -> str:
        """The name of the activity that asks an agent's model."""
        return f"llamaindex.{self.name}.{agent}.model"

    def tool(self, tool: str) -> str:
        """The name of the activity that calls a tool."""
        return f"llamaindex.{self.name}.tool.{tool}"

    async def run(self, task: TaskInput) -> TaskOutput:
        """Run the agent for one task, with what was said in the session before.

        The output is its answer, or what it made of `output_cls`; `usage` sums all calls of its models. Raises
        ActivityError over what a model raised for good, and what LlamaIndex raises.
        """
        inline_threads()
        return await _Run(self, task).output()


def _misplaced(tool: Any) -> NoReturn:
    name = tool.metadata.name
    if not getattr(tool, "requires_context", False):
        raise ValueError(f"tool {name!r} takes no Context: it runs as an activity and need not be inside")
    raise ValueError(
        f"tool {name!r} takes the Context, so it runs inside the workflow, where a replay repeats what it does: leave "
        f"the Context away, or say inside=[{name!r}] where it only reads and writes ctx.store, asks people or calls "
        "activities"
    )


class _Run:
    """One task of an agent."""

    def __init__(self, agent: Agent, task: TaskInput) -> None:
        self.agent, self.task = agent, task
        self._usage = UsageSum()
        self.finish_reason: str | None = None
        self._questions = Questions({})
        self._person = asyncio.Lock()
        self._failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asking: set[asyncio.Task[None]] = set()
        self._runtime = LoopRuntime(self)
        self._given = {key: value for key, value in task.context.values.items() if key in agent.keep}
        self._flow = self._made()

    async def output(self) -> TaskOutput:
        run_id, past = workflow.info().run_id, self._past()
        handler = self._flow.run(
            user_msg=_words(self.task.input),
            chat_history=past or None,
            memory=Conversation(),
            ctx=Context(self._flow),
            run_id=run_id,
        )
        ended = asyncio.ensure_future(handler.stop_event_result())
        # What is under way when one of them fails, or the task is cancelled, ends with the workflow.
        await workflow.wait({ended, self._failed}, return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done():
            self._failed.result()
        result = ended.result().result
        state = await handler.ctx.store.get("state", default={})
        output = result.response.content if result.structured_response is None else result.structured_response
        kept = {key: state[key] for key in self.agent.keep if key in state}
        patch = changes(self._given, kept) if self.task.context.write else None
        if patch and self.agent.messages:
            memory = await handler.ctx.store.get("memory")  # a tool that edits the store leaves a copy there
            said = self._said(memory.get_all()[len(past) :])
            new = history_patch(self.task, said, self.agent.messages) or ContextPatch()
            patch.set |= new.set
            patch.append |= new.append
        return TaskOutput(output=output, patch=patch, usage=self._usage.total, finish_reason=self.finish_reason)

    async def call_model(self, agent: str, call: ModelCall) -> ModelAnswer:
        last = call.messages[-1] if call.messages else {}
        words = " ".join(block.get("text", "") for block in last.get("blocks", []))
        answer: ModelAnswer = await self._activity(
            self.agent.model_of(agent), call, ModelAnswer, f"{agent}: {words}", **_MODEL_CALL
        )
        self._usage.add(answer.usage)
        self.finish_reason = answer.finish_reason
        return answer

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> ToolAnswer:
        if name in self.agent.ask:
            async with self._person:
                said = await self._finally(ask_approval(self.task, name, arguments))
            if not said.approved:
                text = f"A person refused this call{': ' + said.reason if said.reason else '.'}"
                return ToolAnswer(blocks=[{"block_type": "text", "text": text}], error=True)
            arguments = said.arguments
        answer: ToolAnswer = await self._activity(
            self.agent.tool(name),
            arguments,
            ToolAnswer,
            f"{name} {canonical(arguments)}",
            start_to_close_timeout=self.agent.tool_timeout,
            heartbeat_timeout=timedelta(seconds=limits.MODEL_HEARTBEAT_SECONDS),
            retry_policy=RetryPolicy(maximum_attempts=limits.TOOL_ATTEMPTS),
        )
        return answer

    async def _activity(self, name: str, argument: Any, result: type, summary: str, **options: Any) -> Any:
        summary = preview(summary, limits.PREVIEW_BYTES)
        return await self._finally(
            workflow.execute_activity(name, argument, result_type=result, summary=summary, **options)
        )

    async def _finally(self, work: Any) -> Any:
        """The result of `work`. What it raises ends the task: LlamaIndex would give it to the model to read."""
        try:
            return await work
        except Exception as error:
            if not self._failed.done():
                self._failed.set_exception(error)
            raise asyncio.CancelledError from error

    # --- what the flow asks people by itself

    def published(self, event: Any) -> None:
        self._questions.published(event)

    async def ticked(self, tick: Any) -> None:
        if not isinstance(tick, TickStepResult):
            return
        known = {asked.number for asked in self._questions.open}
        self._questions.ended(tick)
        for asked in self._questions.open:
            if asked.number not in known:
                asking = asyncio.create_task(self._ask(asked))
                self._asking.add(asking)

    async def _ask(self, asked: Asked) -> None:
        timeout = None if asked.timeout is None else timedelta(seconds=asked.timeout)
        adapter = self._runtime.get_external_adapter(workflow.info().run_id)
        problem: str | None = None
        async with self._person:
            while True:
                question = asked.question(problem)
                try:
                    value = await ask_person(
                        self.task, question.text, choices=question.choices, data=question.data, timeout=timeout
                    )
                    event = answer_event(asked, value, self._flow, self._questions)
                except Unanswered:
                    tick = TickWaiterTimeout(step_id=StepId.from_str(asked.step), waiter_id=asked.waiter)
                    break
                except UnfitAnswer as unfit:
                    problem = str(unfit)
                else:
                    tick = TickAddEvent(event=event)
                    break
        self._questions.close(asked.number)
        await adapter.send_event(tick)

    # --- making the flow

    def _made(self) -> Any:
        given = self.agent.flow
        copies = [self._durable(agent) for agent in self.agent.agents.values()]
        first = copies[0]
        state = given.initial_state if given else self.agent.agents[first.name].initial_state
        shared = given or first
        options = {
            "state_prompt": shared.state_prompt,
            "output_cls": shared.output_cls,
            "structured_output_fn": shared.structured_output_fn,
            "early_stopping_method": shared.early_stopping_method,
        }
        if given:
            options |= {
                "root_agent": given.root_agent,
                "handoff_prompt": given.handoff_prompt,
                "handoff_output_prompt": given.handoff_output_prompt,
            }
        return AgentWorkflow(
            agents=copies, initial_state={**state, **self._given}, timeout=None, runtime=self._runtime, **options
        )

    def _durable(self, agent: Any) -> Any:
        inside = self.agent.inside
        tools = [t if t.metadata.name in inside else DurableTool(t, self) for t in agent.tools or []]
        model = DurableModel(inner=agent.llm, agent=agent.name, run=self, known={t.metadata.name for t in tools})
        return agent.model_copy(update={"llm": model, "tools": tools, "streaming": False, "initial_state": {}})

    def _past(self) -> list[Any]:
        if not self.agent.messages:
            context = self.task.context
            return [ChatMessage(**message) for message in conversation(context.transcript, context.values)]
        before = before_history(self.task, self.agent.messages)
        first = [ChatMessage(**message) for message in known_before(before)] if before else []
        return first + [ChatMessage.model_validate(message) for message in history_of(self.task, self.agent.messages)]

    def _said(self, messages: list[Any]) -> list[dict[str, Any]]:
        """What this task added, as JSON. LlamaIndex has put its state before the user's words in the meantime."""
        own = ChatMessage(role="user", content=_words(self.task.input))
        return [message.model_dump(mode="json", exclude_none=True) for message in (own, *messages[1:])]


def _words(value: Any) -> str:
    words = words_of(value)
    return canonical(value) if words is None else words
