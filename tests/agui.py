"""A client of AG-UI as its documentation has it: it sends all that it has, and applies each event to what it shows."""

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
from ag_ui.core import Event
from pydantic import TypeAdapter

from tests.gateways import NO_TLS, Gateway
from tests.harness import WAIT

_EVENT: TypeAdapter[Any] = TypeAdapter(Event)


class Thread:
    """One thread, at any gateway. `messages` and `state`: what the client shows; `interrupts`: what it is asked."""

    def __init__(self, key: str, kind: str | None = None, thread_id: str | None = None) -> None:
        self.id = thread_id or f"thread-{uuid.uuid4().hex}"
        self._key, self._path = key, "/agui" if kind is None else f"/agui/{kind}"
        self.messages: list[dict[str, Any]] = []
        self.state: Any = {}
        self.interrupts: list[dict[str, Any]] = []

    def body(self, run_id: str | None = None, **more: Any) -> dict[str, Any]:
        """What is sent: that, with the lists that HttpAgent always sends."""
        run = {"threadId": self.id, "runId": run_id or uuid.uuid4().hex, "protocolVersion": "1.0"}
        always = {"tools": [], "context": [], "forwardedProps": {}, "state": self.state, "messages": self.messages}
        return {**run, **always, **more}

    def say(self, words: str) -> None:
        """Add a message of the user's."""
        self.messages.append({"id": uuid.uuid4().hex, "role": "user", "content": words})

    async def run(self, door: Gateway | str, words: str | None = None, **more: Any) -> list[dict[str, Any]]:
        """The events of a run, applied."""
        if words is not None:
            self.say(words)
        return [event async for event in self.events(door, **more)]

    async def answer(
        self, door: Gateway | str, payload: Any, status: str = "resolved", **more: Any
    ) -> list[dict[str, Any]]:
        """The run that answers what is asked."""
        entry = {"interruptId": self.interrupts[0]["id"], "status": status, "payload": payload}
        return await self.run(door, resume=[entry], **more)

    async def cut(
        self, door: Gateway | str, until: Callable[[dict[str, Any]], Any], **more: Any
    ) -> list[dict[str, Any]]:
        """The events up to one, and then the client leaves."""
        seen = []
        async for event in self.events(door, **more):
            seen.append(event)
            if until(event):
                return seen
        raise AssertionError(seen)

    async def events(self, door: Gateway | str, **more: Any) -> AsyncIterator[dict[str, Any]]:
        """The events of a run, each applied, as they come."""
        headers = {"authorization": f"Bearer {self._key}", "accept": "text/event-stream"}
        async with (
            httpx.AsyncClient(
                base_url=door if isinstance(door, str) else door.url, timeout=WAIT, verify=NO_TLS
            ) as client,
            client.stream("POST", self._path, json=self.body(**more), headers=headers) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                await answer.aread()
                answer.raise_for_status()
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    event = _EVENT.validate_json(line.removeprefix("data: ")).model_dump(mode="json", by_alias=True)
                    self._apply(event)
                    yield event

    def _apply(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "MESSAGES_SNAPSHOT":
                self.messages = event["messages"]
            case "STATE_SNAPSHOT":
                self.state = event["snapshot"]
            case "RUN_FINISHED":
                self.interrupts = event["outcome"].get("interrupts", [])
            case _:
                self._apply_part(event)

    def _apply_part(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "TEXT_MESSAGE_START":
                if self._message(event["messageId"]) is None:
                    self.messages.append({"id": event["messageId"], "role": "assistant", "content": ""})
            case "TEXT_MESSAGE_CONTENT":
                self._of(event["messageId"])["content"] += event["delta"]
            case "TOOL_CALL_START":
                function = {"name": event["toolCallName"], "arguments": ""}
                call = {"id": event["toolCallId"], "type": "function", "function": function}
                if self._message(event["toolCallId"]) is None:
                    self.messages.append({"id": event["toolCallId"], "role": "assistant", "toolCalls": [call]})
            case "TOOL_CALL_ARGS":
                self._of(event["toolCallId"])["toolCalls"][0]["function"]["arguments"] += event["delta"]
            case "TOOL_CALL_RESULT":
                result = {"id": event["messageId"], "role": "tool", "toolCallId": event["toolCallId"]}
                self.messages.append({**result, "content": event["content"]})

    def _message(self, message_id: str) -> dict[str, Any] | None:
        return next((message for message in self.messages if message["id"] == message_id), None)

    def _of(self, message_id: str) -> dict[str, Any]:
        found = self._message(message_id)
        assert found is not None, message_id
        return found

    def shown(self) -> list[tuple[str, Any]]:
        """Who says what: words, or the names and arguments of the tools that are called."""
        return [
            (
                message["role"],
                message.get("content")
                if not message.get("toolCalls")
                else [(call["function"]["name"], call["function"]["arguments"]) for call in message["toolCalls"]],
            )
            for message in self.messages
        ]


def names(events: list[dict[str, Any]]) -> list[str]:
    """Their types, with those that come in any number once; without what depends on the moment of a look."""
    found: list[str] = []
    for event in events:
        if event["type"] != "CUSTOM" and not (event["type"] == "TEXT_MESSAGE_CONTENT" and event["type"] in found[-1:]):
            found.append(event["type"])
    return found
