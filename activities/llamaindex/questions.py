"""What a flow asks people, read off the events it publishes, and the events that their answers become."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from activities.llamaindex.stretches import FlowQuestion
from activities.llamaindex.theirs import (
    AddWaiter,
    HumanResponseEvent,
    InputRequiredEvent,
    StepWorkerResult,
    StepWorkerStateContextVar,
)
from workflows.wire import limits
from workflows.wire.encoding import clip, json_bytes, plain, preview
from workflows.wire.validation import explained

_TEXTS = ("prefix", "question", "message", "msg", "text", "prompt")
"""Fields of an event that hold its words, the first of them that there is; `prefix` is what LlamaIndex's guides use."""


class UnfitAnswer(Exception):  # noqa: N818 (an ordinary outcome: the question is put again)
    """What a person said is not what the flow takes; the text says why."""


class Asked(BaseModel):
    """A question that is open: of a step that waits in `ctx.wait_for_event`, or put without one.

    `waiter`: the wait's id; `requires`: it takes only events with certain fields, which the step knows. `data`: what
    else the event says that was published for it.
    """

    number: int
    step: str
    text: str
    choices: list[str] | None = None
    timeout: float | None = None
    waiter: str | None = None
    requires: bool = False
    data: dict[str, Any] | None = None

    def question(self, problem: str | None = None) -> FlowQuestion:
        """The question as a person sees it; with what was wrong with the last answer."""
        text = clip(f"{self.text} ({problem})" if problem else self.text, limits.QUESTION_BYTES - 2)
        return FlowQuestion(number=self.number, text=text, choices=self.choices, data=self.data, timeout=self.timeout)


class Questions:
    """The open questions of one flow, oldest first."""

    def __init__(self, kept: Mapping[str, Any]) -> None:
        self._count: int = kept.get("count", 0)
        self.open = [Asked.model_validate(asked) for asked in kept.get("open", [])]
        self._written: dict[str | None, list[Any]] = {}
        self._waits: dict[str | None, Any] = {}

    def kept(self) -> dict[str, Any]:
        """What a checkpoint holds of them."""
        return {"count": self._count, "open": [asked.model_dump(exclude_none=True) for asked in self.open]}

    def published(self, event: Any) -> None:
        """A step may write its question to the stream, before it waits or ends."""
        if not isinstance(event, InputRequiredEvent):
            return
        try:
            step = StepWorkerStateContextVar.get().state.invocation_id
        except LookupError:
            return  # by the control loop: it is in the result of a step, too
        self._written.setdefault(step, []).append(event)

    def ended(self, tick: Any) -> None:
        """A run of a step has ended, by a wait or otherwise."""
        written = self._written.pop(tick.invocation_id, [])
        waits = [result for result in tick.result if isinstance(result, AddWaiter)]
        for wait in waits:
            self._waits[wait.waiter_id] = wait
            if any(asked.waiter == wait.waiter_id for asked in self.open):
                continue  # the step has been run again to find out
            event = wait.waiter_event or (written[-1] if written else None)
            asked = self._ask(str(tick.step_id), event, wait.event_type)
            asked.waiter, asked.timeout, asked.requires = wait.waiter_id, wait.timeout, bool(wait.requirements)
        returned = [result.result for result in tick.result if isinstance(result, StepWorkerResult)]
        if returned and not waits:  # one that failed may be run again
            for event in [*written, *(event for event in returned if isinstance(event, InputRequiredEvent))]:
                self._ask(str(tick.step_id), event, HumanResponseEvent)

    def awaited(self, asked: Asked, state: Any = None) -> tuple[Any, dict[str, Any]]:
        """The event that a question waits for, null for any of those from people, and what its fields have to be.

        `state`: of the control loop, for what was asked before it began; the fields are then not known.
        """
        if (wait := self._waits.get(asked.waiter)) is not None:
            return wait.event_type, dict(wait.requirements)
        waiters = [] if state is None else _waiters(state)
        return next((w.waiting_for_event for w in waiters if w.waiter_id == asked.waiter), None), {}

    def still_open(self, state: Any) -> list[Asked]:
        """Those that no event has answered meanwhile; `state`: of the control loop."""
        waiting = {waiter.waiter_id for waiter in _waiters(state) if waiter.resolved_event is None}
        self.open = [asked for asked in self.open if asked.waiter is None or asked.waiter in waiting]
        return self.open

    def numbered(self, number: int) -> Asked | None:
        """The question of that number, if it is open."""
        return next((asked for asked in self.open if asked.number == number), None)

    def close(self, number: int) -> None:
        """It has its answer."""
        self.open = [asked for asked in self.open if asked.number != number]

    def _ask(self, step: str, event: Any, awaited: type) -> Asked:
        self._count += 1
        fields = _fields(event) if event is not None else {}
        asked = Asked(number=self._count, step=step, text=_text(fields, awaited), choices=_choices(fields))
        asked.data = _data(fields)
        self.open.append(asked)
        return asked


def answer_event(asked: Asked, value: Any, flow: Any, questions: Questions, state: Any = None) -> Any:
    """The event that `value` is to the flow; `state`: of its control loop. Raises UnfitAnswer.

    An object brings the event's fields; anything else is its only field, or `response` as LlamaIndex has it. So is what
    an object says as its `answer` to a question with choices.
    """
    awaited, demanded = questions.awaited(asked, state)
    problem = ""
    for kind in [awaited] if awaited else _taken_of_people(flow):
        declared = [*kind.model_fields]
        only = declared[0] if len(declared) == 1 else "response"
        fields = dict(value) if isinstance(value, dict) else {only: value}
        if asked.choices and "answer" in fields:
            fields.setdefault(only, fields.pop("answer"))
        try:
            return kind(**{**fields, **demanded})
        except ValidationError as error:
            problem = problem or f"the answer does not fit {kind.__name__}: {explained(error)}"
    raise UnfitAnswer(problem)


def _taken_of_people(flow: Any) -> list[Any]:
    """The events that a flow takes from people, those that say most of themselves first."""
    taken: list[Any] = [e for e in flow.events if isinstance(e, type) and issubclass(e, HumanResponseEvent)]
    return sorted(taken, key=lambda kind: -len(kind.model_fields)) or [HumanResponseEvent]


def _waiters(state: Any) -> Iterable[Any]:
    return (waiter for worker in state.workers.values() for waiter in worker.collected_waiters)


def _fields(event: Any) -> dict[str, Any]:
    declared = {name: getattr(event, name) for name in type(event).model_fields}
    return {**declared, **dict(event.items())}


def _text(fields: dict[str, Any], awaited: type) -> str:
    found = next((fields[name] for name in _TEXTS if isinstance(fields.get(name), str) and fields[name].strip()), None)
    if found is None and fields:
        found = preview({name: _shown(value) for name, value in fields.items()}, limits.PREVIEW_BYTES)
    return clip(found or f"{awaited.__name__}?", limits.QUESTION_BYTES - 2)


def _data(fields: dict[str, Any]) -> dict[str, Any] | None:
    """What is neither the words nor the choices, as far as a question takes it along."""
    known = {next((name for name in _TEXTS if name in fields), ""), "choices"}
    try:
        data: dict[str, Any] = plain({name: value for name, value in fields.items() if name not in known})
        return data if data and json_bytes(data) <= limits.QUESTION_DATA_BYTES else None
    except ValueError:
        return None


def _shown(value: Any) -> Any:
    try:
        json_bytes(value)
    except ValueError:
        return str(value)
    return value


def _choices(fields: dict[str, Any]) -> list[str] | None:
    given = fields.get("choices")
    if not (isinstance(given, list | tuple) and given and all(isinstance(choice, str) for choice in given)):
        return None
    return [*given] if json_bytes([*given]) <= limits.QUESTION_BYTES else None
