"""A task's events as the events of a response, and as the chunks of a chat completion.

The number of a response's event says where it stands, so that any gateway can go on after it: `attempt * 2**32`, and
beyond that 0 to 7 for what begins an attempt's message, 8 and the position in the attempt for what it says, the last 16
numbers for what ends it. 0 and 1 are the response's own beginning.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from starter.gateway.asking import TaskEvent
from starter.gateway.errors import ApiError, api_error
from starter.gateway.openai.ids import COMPLETION, Ref
from starter.gateway.openai.shapes import (
    approval_item,
    failure,
    finish_reason,
    message_item,
    question_text,
    response,
    seconds,
    text_part,
    usage,
    words,
)
from starter.gateway.sse import event
from workflows.contract import TaskRecord

ATTEMPT = 2**32
"""Numbers of an attempt: more than the 256 KiB that it may say, and 2 million attempts fit a JavaScript number."""

BEGIN, SAID, END = 0, 8, ATTEMPT - 16

AGAIN = "\n\n[The answer begins again.]\n\n"
"""Between what a chat has been sent of an attempt that was lost, and the next one, where that says something else."""


@dataclass
class Place:
    """Where a stream of a response goes on: after a number that a caller has seen."""

    after: int = -1

    @property
    def cursor(self) -> str | None:
        """The cursor of the task's events; null for their beginning."""
        attempt, place = divmod(self.after, ATTEMPT)
        if self.after < ATTEMPT or place < SAID:
            return None
        return f"{attempt}.{place - SAID}"

    @property
    def ending(self) -> bool:
        """Whether all was seen that the task has said, and only the end is missing."""
        return self.after >= 0 and self.after % ATTEMPT >= END


@dataclass
class ResponseStream:
    """One stream of a response. `given`: what `response` is to be told beside the record."""

    ref: Ref
    given: dict[str, Any]
    place: Place = field(default_factory=Place)
    _index: int = 0
    _text: str = ""
    _attempt: int = 1
    _open: bool = False

    async def events(self, first: TaskRecord, events: AsyncIterator[TaskEvent]) -> AsyncIterator[str]:
        """The events of a task that stands as `first` says, from the place on."""
        self._open = self.place.cursor is not None or self.place.ending
        self._attempt = max(1, self.place.after // ATTEMPT)
        for number, name in enumerate(("response.created", "response.in_progress")):
            waiting = first.model_copy(update={"status": "running", "waiting_for": None, "output": None})
            for sent in self._sent(number, name, response=response(self.ref, waiting, **self.given)):
                yield sent
        record = first
        try:
            async for found in events:
                record = found.record or record
                if found.type in {"question", "ended"}:
                    break
                for sent in self._of(found):
                    yield sent
            for sent in self._ended(record):
                yield sent
        except Exception as error:
            told = api_error(error)
            if told is None:
                raise
            yield event({"type": "error", "code": told.code, "message": told.message, "param": None}, "error")

    def _of(self, found: TaskEvent) -> Iterator[str]:
        attempt, position = (int(part) for part in found.cursor.split("."))
        if found.type == "restarted":
            if self._open:
                item = message_item(self.ref, self._text, status="incomplete")
                yield from self._sent(
                    attempt * ATTEMPT + BEGIN, "response.output_item.done", output_index=self._index, item=item
                )
                self._index, self._text, self._open = self._index + 1, "", False
            self._attempt = attempt
        elif found.type == "text" and found.text:
            self._attempt = attempt
            yield from self._opened()
            self._text += found.text
            yield from self._delta(attempt * ATTEMPT + SAID + position, found.text)

    def _opened(self) -> Iterator[str]:
        if not self._open:
            self._open = True
            begin, item = self._attempt * ATTEMPT + BEGIN, message_item(self.ref, "", status="in_progress")
            item["content"] = []
            yield from self._sent(begin + 1, "response.output_item.added", output_index=self._index, item=item)
            yield from self._sent(begin + 2, "response.content_part.added", **self._part(), part=text_part(""))

    def _ended(self, record: TaskRecord) -> Iterator[str]:
        end, asks, given = self._attempt * ATTEMPT + END, record.waiting_for, self.given
        whole = response(self.ref, record, **given)
        if asks or record.status == "completed":
            yield from self._opened()
            if asks:
                said = question_text(asks, given.get("note"))
                said = f"\n\n{said}" if self._text else said
                self._text += said
                yield from self._delta(end, said)
            else:
                self._text = words(record.output)
            refusal = record.finish_reason == "refusal" and not asks
            yield from self._sent(end + 1, "response.output_text.done", **self._part(), text=self._text, logprobs=[])
            part = text_part(self._text, refusal=refusal)
            yield from self._sent(end + 2, "response.content_part.done", **self._part(), part=part)
            item = message_item(self.ref, self._text, refusal=refusal)
            yield from self._sent(end + 3, "response.output_item.done", output_index=self._index, item=item)
        if asks:
            place = {"output_index": self._index + 1, "item": approval_item(self.ref, asks)}
            yield from self._sent(end + 4, "response.output_item.added", **place)
            yield from self._sent(end + 5, "response.output_item.done", **place)
        # OpenAI has no event for a response that was cancelled; its object says so.
        name = {"failed": "failed", "cancelled": "failed", "incomplete": "incomplete"}.get(whole["status"], "completed")
        yield from self._sent(end + 6, f"response.{name}", response=whole)

    def _delta(self, number: int, text: str) -> Iterator[str]:
        return self._sent(number, "response.output_text.delta", **self._part(), delta=text, logprobs=[])

    def _part(self) -> dict[str, Any]:
        item = message_item(self.ref, "")
        return {"item_id": item["id"], "output_index": self._index, "content_index": 0}

    def _sent(self, number: int, name: str, **data: Any) -> Iterator[str]:
        if number > self.place.after:
            yield event({"type": name, "sequence_number": number, **data}, name)


async def chunks(
    ref: Ref, first: TaskRecord, events: AsyncIterator[TaskEvent], *, note: str | None, with_usage: bool
) -> AsyncIterator[str]:
    """The chunks of a chat completion, of a task that stands as `first` says."""
    head = {
        "id": ref.id(COMPLETION),
        "object": "chat.completion.chunk",
        "created": seconds(first.submitted_at),
        "model": first.kind,
    }

    def chunk(delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return event({**head, "choices": [choice], **({"usage": None} if with_usage else {})})

    yield chunk({"role": "assistant", "content": ""})
    record, said = first, Said()
    try:
        async for found in events:
            record = found.record or record
            if found.type in {"question", "ended"}:
                break
            text = said.more(found)
            if text:
                yield chunk({"content": text})
    except Exception as error:
        told = api_error(error)
        if told is None:
            raise
        yield event(told.body())
        return
    if record.waiting_for is not None:
        asked = question_text(record.waiting_for, note)
        yield chunk({"content": f"\n\n{asked}" if said.sent else asked})
    elif record.status != "completed":
        yield event(ApiError(500, "task_failed", failure(record)).body())
        return
    yield chunk({}, finish_reason(record))
    if with_usage:
        yield event({**head, "choices": [], "usage": usage(record, "prompt_tokens", "completion_tokens")})
    yield event("[DONE]")


@dataclass
class Said:
    """What a chat has been sent, which cannot be taken back. An attempt that says the same again is not sent again."""

    sent: str = ""
    _again: str | None = None

    def more(self, found: TaskEvent) -> str:
        """What is to be sent of an event."""
        if found.type == "restarted":
            self._again = "" if self.sent else None
        if found.type != "text" or not found.text:
            return ""
        text = found.text
        if self._again is not None:
            self._again += text
            if self.sent.startswith(self._again):
                return ""
            new = self._again.removeprefix(self.sent) if self._again.startswith(self.sent) else AGAIN + self._again
            self.sent, self._again = self._again, None
            return new
        self.sent += text
        return text
