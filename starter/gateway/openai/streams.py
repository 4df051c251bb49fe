"""A task's events as the events of a response, and as the chunks of a chat completion.

The number of a response's event says where it stands, so that any gateway can go on behind it: `Place`.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from starter.gateway.errors import ApiError, api_error
from starter.gateway.openai.ids import COMPLETION, Ref
from starter.gateway.openai.shapes import (
    annotations,
    approval_item,
    finish_reason,
    message_item,
    question_text,
    response,
    seconds,
    text_part,
    usage,
)
from starter.gateway.shown import failure, words
from starter.gateway.sse import event
from workflows.contract import TaskEvent, TaskRecord

_CHECK_BITS, _EVENT_BITS, _POSITION_BITS = 9, 5, 18
_ATTEMPT = 1 << (_CHECK_BITS + _EVENT_BITS + _POSITION_BITS)
_POSITION = 1 << (_CHECK_BITS + _EVENT_BITS)
_MOST_EVENTS = (1 << _EVENT_BITS) - 1
_LAST = (1 << _POSITION_BITS) - 1
_PRIME = 509  # the last one below 512

NEVER = -1
"""Before the first number."""

AGAIN = "\n\n[The answer begins again.]\n\n"
"""Between what a chat has been sent of an attempt that was lost, and the next one, where that says something else."""


@dataclass(frozen=True)
class Place:
    """A place in what a task says, as one number of at most 53 bits: JavaScript has no longer ones.

    From the highest: 21 bits for the attempt, as `activities/stream.py` numbers it, a thousand for each activity, so
    that 2,097 of them fit; 18 for the position in it, as the cursor of `Session.stream` has it (an attempt has 256 KiB
    at most; a text beyond, of another SDK or a large output of JSON, comes with the end); 5 for how many of that were
    events instead of text (31 stands for more); 9 for a check of the text so far. By the last two a gateway that finds
    the task ended goes on with the text of its record, whoever has streamed it: nothing else is left of the stream
    then. After more than 30 events it is told again. Another attempt's text passes the check once in 509 times.
    """

    attempt: int = 0
    position: int = 0
    chars: int | None = 0
    check: int = 0

    @property
    def number(self) -> int:
        """As one number."""
        if self.position >= _LAST:
            return self.end
        events = _MOST_EVENTS if self.chars is None else min(self.position - self.chars, _MOST_EVENTS)
        return self.attempt * _ATTEMPT + self.position * _POSITION + (events << _CHECK_BITS) + self.check

    @property
    def end(self) -> int:
        """The first of the numbers for what ends a response after this attempt."""
        return self.attempt * _ATTEMPT + _LAST * _POSITION

    @property
    def cursor(self) -> str | None:
        """The cursor of the task's events; null before any."""
        return f"{self.attempt}.{self.position}" if self.attempt else None

    @classmethod
    def of(cls, number: int) -> "Place":
        """The place that a number stands for."""
        attempt, rest = divmod(max(number, 0), _ATTEMPT)
        position, rest = divmod(rest, _POSITION)
        events, check = divmod(rest, 1 << _CHECK_BITS)
        if attempt == 0 or position == 0:
            return cls(attempt)
        return cls(attempt, position, None if events == _MOST_EVENTS else position - events, check)

    def after(self, text: str, position: int | None = None) -> "Place":
        """The place behind a text that follows here; `position`: where that is, with events that stood before it."""
        check = self.check
        for letter in text:
            check = (check * 31 + ord(letter) + 1) % _PRIME
        position = self.position + len(text) if position is None else position
        return Place(self.attempt, position, None if self.chars is None else self.chars + len(text), check)

    def begins(self, text: str) -> bool:
        """Whether what was said up to here is the beginning of that text."""
        if self.chars is None or not 0 <= self.chars <= len(text):
            return False
        return Place().after(text[: self.chars]).check == self.check


@dataclass
class ResponseStream:
    """One stream of a response, after the number `seen`. `given`: what `response` is to be told beside the record."""

    ref: Ref
    given: dict[str, Any]
    seen: int = NEVER
    _index: int = 0
    _text: str = ""
    _open: bool = False
    _at: Place = field(default_factory=Place)

    @property
    def cursor(self) -> str | None:
        """Where the task's events go on; null for their beginning."""
        return None if self._all_said else Place.of(self.seen).cursor

    @property
    def _all_said(self) -> bool:
        """Whether the caller has seen all that the task said, and lacks only its end."""
        return self.seen >= 0 and self.seen % _ATTEMPT >= _LAST * _POSITION

    async def events(self, first: TaskRecord, events: AsyncIterator[TaskEvent]) -> AsyncIterator[str]:
        """The events of a task that stands as `first` says."""
        self._at = Place(self.seen // _ATTEMPT) if self._all_said else Place.of(self.seen)
        self._open = self._all_said or self._at.position > 0
        under_way = first.model_copy(update={"status": "running", "waiting_for": None, "output": None, "error": None})
        for number, name in enumerate(("response.created", "response.in_progress")):
            for sent in self._sent(number, name, response=response(self.ref, under_way, **self.given)):
                yield sent
        record = first
        try:
            async for found in events:
                record = found.record or record
                if found.type in {"question", "ended"}:
                    break
                for sent in () if self._all_said else self._of(found):
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
        if attempt > self._at.attempt:
            yield from self._begun(attempt)
        if found.type == "text" and found.text and position < _LAST:  # what has no number waits for the end
            yield from self._says(found.text, position)

    def _begun(self, attempt: int) -> Iterator[str]:
        """Another attempt: what was said before it is void, and closed as incomplete."""
        begin = attempt * _ATTEMPT
        if self._open:
            item = message_item(self.ref, self._text, status="incomplete")
            yield from self._sent(begin, "response.output_item.done", output_index=self._index, item=item)
            self._index, self._text, self._open = self._index + 1, "", False
        self._at = Place(attempt)

    def _says(self, text: str, position: int | None = None) -> Iterator[str]:
        yield from self._opened()
        self._text += text
        self._at = self._at.after(text, position)
        yield from self._delta(self._at.number, text)

    def _opened(self) -> Iterator[str]:
        if not self._open:
            self._open = True
            self._at = replace(self._at, attempt=max(1, self._at.attempt))
            begin, item = (
                self._at.attempt * _ATTEMPT,
                {**message_item(self.ref, "", status="in_progress"), "content": []},
            )
            yield from self._sent(begin + 1, "response.output_item.added", output_index=self._index, item=item)
            yield from self._sent(begin + 2, "response.content_part.added", **self._part(), part=text_part(""))

    def _rest(self, text: str) -> Iterator[str]:
        """What the record has of the text beyond what was said; all of it where that was another."""
        if not self._at.begins(text):
            yield from self._begun(self._at.attempt + 1)
        rest = text[self._at.chars or 0 :]
        if rest or not self._open:
            yield from self._says(rest) if rest else self._opened()

    def _ended(self, record: TaskRecord) -> Iterator[str]:
        asks, whole = record.waiting_for, response(self.ref, record, **self.given)
        if record.status == "completed" and not self._all_said:
            yield from self._rest(words(record.output))
        elif asks:
            yield from self._opened()
        end = replace(self._at, attempt=max(1, self._at.attempt)).end
        if asks:
            said = question_text(asks, self.given.get("note"))
            said = f"\n\n{said}" if self._text else said
            self._text += said
            yield from self._delta(end, said)
        if asks or record.status == "completed":
            text = self._text if asks else words(record.output)
            refusal = record.finish_reason == "refusal" and not asks
            yield from self._sent(end + 1, "response.output_text.done", **self._part(), text=text, logprobs=[])
            output = None if asks else record.output
            part = text_part(text, refusal=refusal, files=annotations(self.ref, output))
            yield from self._sent(end + 2, "response.content_part.done", **self._part(), part=part)
            item = message_item(self.ref, text, refusal=refusal, output=output)
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
        if number > self.seen:
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
    if record.waiting_for is None and record.status != "completed":
        yield event(ApiError(500, "task_failed", failure(record)).body())
        return
    rest = said.rest(record, note)
    if rest:
        yield chunk({"content": rest})
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

    def rest(self, record: TaskRecord, note: str | None) -> str:
        """What is to be sent of a task that asks, or has completed."""
        if record.waiting_for is not None:
            asked = question_text(record.waiting_for, note)
            return f"\n\n{asked}" if self.sent else asked
        text = words(record.output)
        return text.removeprefix(self.sent) if text.startswith(self.sent) else AGAIN + text
