"""What an agent of LlamaIndex is made of in a task's workflow: activities for model and tools, memory, runtime."""

from collections.abc import Mapping
from typing import Any, NoReturn, Protocol

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse
    from llama_index.core.llms.function_calling import FunctionCallingLLM
    from llama_index.core.memory.types import BaseChatStoreMemory
    from llama_index.core.tools import ToolOutput
    from llama_index.core.tools.types import AsyncBaseTool

    from activities.llamaindex.calls import ModelAnswer, ModelCall, Offered, ToolAnswer
    from activities.llamaindex.theirs import BaseInternalRunAdapterDecorator, BaseRuntimeDecorator, BasicRuntime


class Run(Protocol):
    """One task of an agent, for which they act."""

    async def call_model(self, agent: str, call: ModelCall) -> ModelAnswer:
        """Ask the model of an agent."""
        ...

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> ToolAnswer:
        """Call a tool, after a person has said yes where one has to."""
        ...

    def published(self, event: Any) -> None:
        """Something for whoever reads the flow's stream."""
        ...

    async def ticked(self, tick: Any) -> None:
        """The flow has taken a step of its own account."""
        ...


class Conversation(BaseChatStoreMemory):  # type: ignore[misc]  # the repository has no LlamaIndex
    """All that is said in one task. LlamaIndex's own memories count tokens, which takes too long for a workflow."""

    @classmethod
    def from_defaults(cls, **_: Any) -> Any:
        """See base class."""
        return cls()


class DurableTool(AsyncBaseTool):  # type: ignore[misc]
    """A tool in the workflow: the worker calls it, by an activity."""

    def __init__(self, tool: Any, run: Run) -> None:
        self._tool, self._run = tool, run

    @property
    def metadata(self) -> Any:
        """See base class."""
        return self._tool.metadata

    def call(self, *_: Any, **__: Any) -> NoReturn:
        """Agents do not."""
        raise NotImplementedError("tools are called asynchronously")

    async def acall(self, **arguments: Any) -> Any:
        """See base class."""
        answer = await self._run.call_tool(self.metadata.name, arguments)
        return ToolOutput.model_validate(
            {
                "blocks": answer.blocks,
                "tool_name": self.metadata.name,
                "raw_input": {"kwargs": arguments},
                "raw_output": None,
                "is_error": answer.error,
            }
        )


class DurableModel(FunctionCallingLLM):  # type: ignore[misc]
    """An agent's model in the workflow: asks the worker's copy of it by an activity."""

    inner: Any
    agent: str
    run: Any
    known: set[str]

    @property
    def metadata(self) -> Any:
        """See base class."""
        return self.inner.metadata

    def get_tool_calls_from_response(self, response: Any, error_on_no_tool_call: bool = True, **kw: Any) -> Any:  # noqa: FBT001, FBT002 (theirs)
        """See base class; LlamaIndex reads them off the answer alone."""
        return self.inner.get_tool_calls_from_response(response, error_on_no_tool_call=error_on_no_tool_call, **kw)

    async def achat(self, messages: Any, **options: Any) -> Any:
        """See base class."""
        return await self._asked(messages, None, options)

    async def achat_with_tools(self, tools: Any, user_msg: Any = None, chat_history: Any = None, **options: Any) -> Any:
        """See base class."""
        messages = [*(chat_history or [])]
        if user_msg is not None:
            messages.append(ChatMessage(role="user", content=user_msg) if isinstance(user_msg, str) else user_msg)
        return await self._asked(messages, tools, options)

    async def _asked(self, messages: Any, tools: Any, options: Mapping[str, Any]) -> Any:
        offered = [
            Offered(name=m.name, description=m.description, parameters=m.get_parameters_dict())
            for m in (tool.metadata for tool in tools or [])
            if m.name not in self.known
        ]
        call = ModelCall(
            messages=[message.model_dump(mode="json", exclude_none=True) for message in messages],
            tools=None if tools is None else [tool.metadata.name for tool in tools],
            offered=offered,
            options={name: value for name, value in options.items() if value is not None},
        )
        answer = await self.run.call_model(self.agent, call)
        return ChatResponse(message=ChatMessage.model_validate(answer.message), additional_kwargs=answer.extra)

    def _unused(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("agents ask their model by achat and achat_with_tools only")

    _prepare_chat_with_tools = chat = complete = stream_chat = stream_complete = _unused
    acomplete = astream_chat = astream_complete = _unused


class LoopRuntime(BaseRuntimeDecorator):  # type: ignore[misc]
    """LlamaIndex's own runtime, by Temporal's clock and in an order that a replay has, too."""

    def __init__(self, run: Run) -> None:
        super().__init__(BasicRuntime())
        self._run = run

    def get_internal_adapter(self, flow: Any) -> Any:
        """See base class."""
        return _Loop(super().get_internal_adapter(flow), self._run)


class _Loop(BaseInternalRunAdapterDecorator):  # type: ignore[misc]
    def __init__(self, adapter: Any, run: Run) -> None:
        super().__init__(adapter)
        self._watcher = run

    async def get_now(self) -> float:
        return workflow.time()

    async def write_to_event_stream(self, event: Any) -> None:
        await super().write_to_event_stream(event)
        self._watcher.published(event)

    async def after_tick(self, tick: Any) -> None:
        await super().after_tick(tick)
        await self._watcher.ticked(tick)

    async def wait_for_next_task(self, running: list[Any], pending: list[Any], timeout: float | None = None) -> Any:  # noqa: ASYNC109 (theirs)
        # Of those that are done at once the first is taken. The order is that of a set, workers first as they have it.
        ordered = sorted(running, key=lambda task: (not hasattr(task, "worker_id"), task.key))
        return await super().wait_for_next_task(ordered, pending, timeout)
