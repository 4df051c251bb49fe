"""A task's events as the events of a run.

What a client shows cannot be taken back by an event of its own. Where an attempt is void, or a run is told anew, its
texts and calls are taken out by a MESSAGES_SNAPSHOT of all other messages, right before what comes instead.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from ag_ui.core import (
    AssistantMessage,
    BaseEvent,
    CustomEvent,
    FunctionCall,
    Message,
    MessagesSnapshotEvent,
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
    StateSnapshotEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    TokenUsage,
    ToolCall,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
    ToolMessage,
    UserMessage,
)
from ag_ui.core.version import PROTOCOL_VERSION
from ag_ui.encoder import EventEncoder

from starter.gateway.agui.interrupts import id_of, interrupt, is_of
from starter.gateway.errors import api_error
from starter.gateway.shown import words
from workflows.contract import Question, TaskEvent, TaskRecord, Turn
from workflows.wire.approval import ToolCall as AskedCall
from workflows.wire.approval import tool_call
from workflows.wire.encoding import alike
from workflows.wire.streaming import OWN_TYPES

State = Callable[[], Awaitable[dict[str, Any] | None]]
"""Reads the values of the session's context; null where nobody answers."""


class RunStream:
    """One run's events. `messages`: what its client shows; `note`: what is said before a question that is put again.

    `refused`: what is said of the calls that a person has just refused. `shows`: the messages are not its client's yet.
    """

    def __init__(
        self,
        thread_id: str,
        run_id: str,
        task_id: str,
        messages: Sequence[Message],
        *,
        note: str | None = None,
        refused: str | None = None,
        shows: bool = False,
    ) -> None:
        self._run = {"thread_id": thread_id, "run_id": run_id}
        self._task_id, self._note, self._refused = task_id, note, refused
        self._messages, self._shows = list(messages), shows
        self._saying: str | None = None
        self._text = ""

    async def events(
        self, first: TaskRecord, events: AsyncIterator[TaskEvent], state: State, begin: dict[str, Any] | None = None
    ) -> AsyncIterator[str]:
        """The events of a task that stands as `first` says. `begin`: a state that the client has otherwise."""
        encoder = EventEncoder()
        async for event in self._events(first, events, state, begin):
            yield encoder.encode(event)

    async def still(self, state: dict[str, Any]) -> AsyncIterator[str]:
        """The events where no task runs."""
        encoder = EventEncoder()
        for event in (*self._begin(state), RunFinishedEvent(**self._run, outcome=RunFinishedSuccessOutcome())):
            yield encoder.encode(event)

    def _begin(self, state: dict[str, Any] | None) -> Iterator[BaseEvent]:
        yield RunStartedEvent(**self._run, protocol_version=PROTOCOL_VERSION)
        if self._shows:
            yield MessagesSnapshotEvent(messages=self._messages)
        if state is not None:
            yield StateSnapshotEvent(snapshot=state)

    async def _events(
        self, first: TaskRecord, events: AsyncIterator[TaskEvent], state: State, begin: dict[str, Any] | None
    ) -> AsyncIterator[BaseEvent]:
        for sent in self._begin(begin):
            yield sent
        try:
            if self._refused is not None:
                for sent in self._closed_calls(self._refused):
                    yield sent
            record = first
            async for found in events:
                record = found.record or record
                if found.type in {"question", "ended"}:
                    break
                for sent in self._of(found):
                    yield sent
            async for sent in self._ended(record, state):
                yield sent
        except Exception as error:
            told = api_error(error)
            if told is None:
                raise
            yield RunErrorEvent(message=told.message, code=told.code)

    async def _ended(self, record: TaskRecord, state: State) -> AsyncIterator[BaseEvent]:
        for sent in self._rest(record):
            yield sent
        if record.waiting_for is not None or record.status in {"completed", "cancelled"}:
            values = await state()
            if values is not None:
                yield StateSnapshotEvent(snapshot=values)
        yield self._end(record)

    def _of(self, found: TaskEvent) -> Iterator[BaseEvent]:
        match found.type, found.data:
            case "text", _:
                if found.text:
                    yield from self._says(found.text, found.cursor.partition(".")[0])
            case "restarted", _:
                yield from self._closed_text()
            case "tool_call", {"name": str() as name, **call}:
                yield from self._calls(str(call.get("id") or found.cursor), name, call.get("arguments"))
            case "tool_result", {**result}:
                yield from self._returned(result)
            case "status" | "progress" | "truncated" as name, data:
                yield CustomEvent(name=name, value=data)
            case name, data if name not in OWN_TYPES:
                yield CustomEvent(name=name, value=data)

    def _says(self, text: str, attempt: str) -> Iterator[BaseEvent]:
        if self._saying is None:
            yield from self._without(
                lambda message: (
                    isinstance(message, AssistantMessage)
                    and not message.tool_calls
                    and is_of(self._task_id, message.id)
                )
            )
            self._saying, self._text = id_of(self._task_id, attempt), ""
            yield TextMessageStartEvent(message_id=self._saying, role="assistant")
        self._text += text
        yield TextMessageContentEvent(message_id=self._saying, delta=text)

    def _closed_text(self) -> Iterator[BaseEvent]:
        if self._saying is not None:
            yield TextMessageEndEvent(message_id=self._saying)
            self._messages.append(AssistantMessage(id=self._saying, content=self._text))
            self._saying = None

    def _calls(self, part: str, name: str, arguments: Any) -> Iterator[BaseEvent]:
        """The call of a tool; one that the client shows as it is, is not told again."""
        call_id = id_of(self._task_id, part)
        given = _text({} if arguments is None else arguments)
        call = ToolCall(id=call_id, function=FunctionCall(name=name, arguments=given))
        if call.function in (known.function for known in self._shown_calls() if known.id == call_id):
            return
        yield from self._without(lambda message: message.id == call_id)
        yield ToolCallStartEvent(tool_call_id=call_id, tool_call_name=name)
        yield ToolCallArgsEvent(tool_call_id=call_id, delta=given)
        yield ToolCallEndEvent(tool_call_id=call_id)
        self._messages.append(AssistantMessage(id=call_id, tool_calls=[call]))

    def _without(self, void: Callable[[Message], bool]) -> Iterator[BaseEvent]:
        """Take messages out of what the client shows, where it has such."""
        kept = [message for message in self._messages if not void(message)]
        if len(kept) < len(self._messages):
            self._messages = kept
            yield MessagesSnapshotEvent(messages=kept)

    def _shown_calls(self) -> Iterator[ToolCall]:
        for message in self._messages:
            if isinstance(message, AssistantMessage):
                yield from (call for call in message.tool_calls or [] if is_of(self._task_id, call.id))

    def _open_calls(self) -> list[ToolCall]:
        """The calls of the task that have no result yet."""
        answered = {message.tool_call_id for message in self._messages if isinstance(message, ToolMessage)}
        return [call for call in self._shown_calls() if call.id not in answered]

    def _returned(self, result: Mapping[Any, Any]) -> Iterator[BaseEvent]:
        """The result of an open call: of that id, or else the first one of that name. It is told once."""
        call_id = None if result.get("id") is None else id_of(self._task_id, str(result["id"]))
        for call in self._open_calls():
            if call.id == call_id or (call_id is None and call.function.name == result.get("name")):
                yield from self._result(call.id, result.get("content"))
                return
        if not any(call.id == call_id for call in self._shown_calls()):
            yield CustomEvent(name="tool_result", value=dict(result))

    def _result(self, call_id: str, content: Any) -> Iterator[BaseEvent]:
        message_id, text = f"{call_id}/result", "" if content is None else _text(content)
        yield ToolCallResultEvent(message_id=message_id, tool_call_id=call_id, content=text)
        self._messages.append(ToolMessage(id=message_id, tool_call_id=call_id, content=text))

    def _closed_calls(self, content: str) -> Iterator[BaseEvent]:
        """Give a result to those calls that have none: a client would take them for its own to make."""
        for call in self._open_calls():
            yield from self._result(call.id, content)

    def _rest(self, record: TaskRecord) -> Iterator[BaseEvent]:
        """What a run still has to say at its end, but for the end itself."""
        question = record.waiting_for
        if record.status == "completed" and question is None:
            text = words(record.output)
            if self._saying is not None and not text.startswith(self._text):
                yield from self._closed_text()
            if rest := text if self._saying is None else text[len(self._text) :]:
                yield from self._says(rest, "whole")
        yield from self._closed_text()
        if question is None:
            yield from self._closed_calls("")
        else:
            yield from self._asked_about(question)

    def _asked_about(self, question: Question) -> Iterator[BaseEvent]:
        """The call that a question asks leave for, where the kind has not told it itself."""
        call = tool_call(question)
        if call is not None and self._call_of(question) is None:
            yield from self._calls(question.id, call.tool, call.arguments)

    def _call_of(self, question: Question) -> str | None:
        asked = tool_call(question)
        if asked is None:
            return None
        return next((call.id for call in self._open_calls() if _is_call(call.function, asked)), None)

    def _end(self, record: TaskRecord) -> BaseEvent:
        usage = _usage(record)
        question = record.waiting_for
        if question is not None:
            asked = interrupt(self._task_id, question, self._call_of(question), self._note)
            return RunFinishedEvent(**self._run, outcome=RunFinishedInterruptOutcome(interrupts=[asked]), usage=usage)
        if record.status == "completed":
            return RunFinishedEvent(**self._run, result=record.output, outcome=RunFinishedSuccessOutcome(), usage=usage)
        if record.status == "cancelled":
            return RunFinishedEvent(**self._run, outcome=RunFinishedCancelledOutcome(), usage=usage)
        error = record.error
        return RunErrorEvent(
            message=error.message if error else record.status, code=error.type if error else record.status, usage=usage
        )


def messages_of(transcript: Sequence[Turn], running: TaskRecord | None) -> list[Message]:
    """What was said in a session: its turns, and the beginning of what the task was asked that runs."""
    found: list[Message] = []
    for turn in transcript:
        found.append(UserMessage(id=id_of(turn.task_id, "input"), content=words(turn.input)))
        found.append(AssistantMessage(id=id_of(turn.task_id, "whole"), content=words(turn.output)))
    # The turns may have been read a moment later, when it had ended.
    if running is not None and running.task_id not in {turn.task_id for turn in transcript}:
        found.append(UserMessage(id=id_of(running.task_id, "input"), content=running.input_preview))
    return found


def _text(value: Any) -> str:
    """What a kind tells of arguments and results: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _is_call(told: FunctionCall, asked: AskedCall) -> bool:
    """Whether what was told is the call that is asked about; kinds tell arguments as JSON or as its text."""
    try:
        return told.name == asked.tool and alike(json.loads(told.arguments), asked.arguments)
    except (ValueError, RecursionError):
        return False


def _usage(record: TaskRecord) -> list[TokenUsage] | None:
    """What a task's models took; null for a kind that does not say so in tokens."""
    given = record.usage or {}
    if "input_tokens" not in given and "output_tokens" not in given:
        return None
    used, made = int(given.get("input_tokens", 0)), int(given.get("output_tokens", 0))
    return [TokenUsage(input_tokens=used, output_tokens=made, total_tokens=used + made)]
