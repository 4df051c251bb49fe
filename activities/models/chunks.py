"""A chat completion that comes in chunks, put together again. Pure."""

import json
from collections.abc import Callable, Iterator
from typing import Any


class Chunks:
    """Server-sent events as their bytes come. `say`: is told each piece of the text that will be the answer's.

    Blank text before the first word is kept back: alone it is no answer. `whole`: whether the last chunk has come.
    `fault`: the first event that is no chunk but, say, an error.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._line = b""
        self._content: list[str] = []
        self._refusal: list[str] = []
        self._reason: Any = None
        self._usage: Any = None
        self._model: Any = None
        self._begun = False
        self._chosen = False
        self.whole = False
        self.fault: bytes | None = None

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            name, _, value = line.rstrip(b"\r").partition(b":")
            if name == b"data":
                self._event(value.strip())

    @property
    def body(self) -> bytes:
        """What the endpoint would have answered without chunks; what is no chunk, where that has come."""
        if self.fault is not None:
            return self.fault
        message = {"content": "".join(self._content) or None, "refusal": "".join(self._refusal) or None}
        choices = [{"message": message, "finish_reason": self._reason}] if self._chosen else []
        named = {"model": self._model} if self._model else {}
        return json.dumps({"choices": choices, "usage": self._usage, **named}).encode()

    def _event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.whole = True
            return
        try:
            chunk = json.loads(data)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict) or chunk.get("error"):
            self.fault = data if self.fault is None else self.fault
            return
        self._usage = chunk.get("usage") or self._usage
        self._model = chunk.get("model") or self._model
        for choice in _objects(chunk.get("choices")):
            if choice.get("index") in (None, 0):
                self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        self._chosen = True
        if choice.get("finish_reason") is not None:
            self._reason, self.whole = choice["finish_reason"], True
        for delta in _objects([choice.get("delta")]):
            if isinstance(text := delta.get("content"), str) and text:
                self._content.append(text)
                self._told(text, self._content)
            if isinstance(text := delta.get("refusal"), str) and text:
                self._refusal.append(text)

    def _told(self, text: str, so_far: list[str]) -> None:
        if self._begun:
            self._say(text)
        elif text.strip():
            self._begun = True
            self._say("".join(so_far))


def _objects(values: Any) -> Iterator[dict[str, Any]]:
    yield from (value for value in values or () if isinstance(value, dict)) if isinstance(values, list) else ()
