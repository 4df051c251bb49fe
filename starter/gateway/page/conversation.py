"""A session as the page shows it: what was said, what runs, what waits. One for all windows on it; it draws nothing."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starter.client import Session, SessionClient
from starter.client.steps import Steps
from starter.client.watching import LOOK_SECONDS, Look, SessionWatch
from starter.gateway.page import shown
from workflows.contract import Config, PendingEntry, Question, RejectedEntry, TaskEvent, TaskRecord, Turn
from workflows.wire.encoding import preview
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.limits import PREVIEW_BYTES

SHOWN = 50
"""Exchanges that a page begins with, the newest: each of those without a turn costs a query."""

KEPT = 500
"""Exchanges that a page keeps: what a person scrolls back through in one sitting."""

SILENCE = 3.0
"""Seconds for one look: a worker that has to resume a session takes one. Beyond that, the page says so."""

NEW = "new"
"""Status of a session that does not exist yet."""


@dataclass(frozen=True)
class Exchange:
    """A task that has ended: what was asked and what came of it. `problem`: why there is no answer."""

    task_id: str
    asked: Any
    status: str
    answer: Any = None
    problem: str | None = None
    note: str | None = None


@dataclass
class Running:
    """The task that runs. `text`: what its newest attempt has said; `begins`: how often it has begun to say it."""

    task_id: str
    asked: Any
    text: str = ""
    begins: int = 1
    steps: list[str] = field(default_factory=list)
    progress: str | None = None
    question: Question | None = None


class Conversation:
    """One session, looked at for as long as anybody has its page open.

    `changed` is set, and another one put in its place, whenever there is something new to draw. `problem`: why nothing
    new can be learnt now. `refused`: what the session did not take since the page was opened.
    """

    def __init__(self, client: SessionClient, session_id: str) -> None:
        self._client = client
        self.session: Session = client.get(session_id)
        self._watch = SessionWatch(self.session)
        self._poked = asyncio.Event()
        self._sent: dict[str, Any] = {}  # inputs by task id, as they were typed here
        self._answered: str | None = None
        self._turns: dict[str, Turn] = {}
        self._steps: Steps | None = None
        self._begun = False
        self._following: asyncio.Task[None] | None = None
        self.changed = asyncio.Event()
        self.status = ""
        self.config: Config | None = None
        self.ended: dict[str, Exchange] = {}
        self.running: Running | None = None
        self.pending: list[PendingEntry] = []
        self.problem: str | None = None
        self.refused: list[str] = []
        self.windows = 0
        self.looking = asyncio.create_task(self._look_until_it_ends())

    @property
    def open(self) -> bool:
        """Whether it takes questions, as far as is known."""
        return self.status in {"", NEW, "idle", "running", "waiting", "paused"}

    @property
    def queue(self) -> list[tuple[str, str]]:
        """Ids of the tasks that wait, and how they begin; those too that are still on their way to the session."""
        known = {entry.task_id for entry in self.pending} | set(self.ended)
        if self.running:
            known.add(self.running.task_id)
        sent = [(task_id, preview(asked, PREVIEW_BYTES)) for task_id, asked in self._sent.items()]
        return [(entry.task_id, entry.input_preview) for entry in self.pending] + [
            entry for entry in sent if entry[0] not in known
        ]

    async def ask(self, text: str, owner: str | None, kind: str | None = None) -> None:
        """Submit a text, which opens the session where there is none. Raises SessionError."""
        if self.status in {"", NEW}:
            config: dict[str, Any] = {"owner": owner, "default_kind": kind}
            await self._client.open(self.session.id, {name: value for name, value in config.items() if value})
        task_id = await self.session.submit(text, stream=True)
        self._sent[task_id] = text
        self._poke()

    async def cancel(self, task_id: str) -> None:
        """Ask for the end of a task that waits or runs. Raises SessionError."""
        await self.session.cancel(task_id, "cancelled on the page")
        self._poke()

    async def respond(self, question: Question, value: Any) -> None:
        """Answer what the running task asks. Raises SessionError; a refusal of the session comes under `refused`."""
        if self.running is None or self.running.question is None or self.running.question.id != question.id:
            raise SessionError(ErrorType.NOT_WAITING, "what was asked is no longer asked; nothing was sent")
        task_id = self.running.task_id
        await self.session.respond(task_id, value, question.id)
        self._answered, self.running.question = question.id, None
        self._poke()

    async def steps(self, task_id: str) -> list[str]:
        """What a task called, by name. Raises RPCError."""
        return await self._named(Steps(self.session, task_id), self.ended[task_id].asked)

    def close(self) -> None:
        """Look no more."""
        self.looking.cancel()
        if self._following:
            self._following.cancel()

    async def _look_until_it_ends(self) -> None:
        while True:
            self._poked.clear()
            try:
                await self._look()
                if self.running and self._steps:
                    self.running.steps += await self._named(self._steps, self.running.asked)
                    self._tell()
            except SessionError as error:
                self._unlike(error)
            except Exception as error:  # noqa: BLE001 (whatever it is, the windows say so, and the next look comes)
                self._say(problem=f"cannot look at the session: {type(error).__name__}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._poked.wait()

    def _unlike(self, error: SessionError) -> None:
        """There is no session yet, or it was ended from outside."""
        missing = error.type == ErrorType.SESSION_NOT_FOUND
        self.running = None
        self._say(status=NEW if missing else "closed", problem=None if missing else str(error))

    async def _look(self) -> None:
        look = await self._watch.look(SILENCE)
        if look is None or look.unanswered is not None:
            self._say(problem=f"{self._watch.silence}; what is sent waits for it")
            return
        if not self._begun:
            await self._read_all(look)
            self._begun = True
        new = [record for record in look.ended if record.task_id not in self.ended]
        if any(record.status == "completed" and record.task_id not in self._sent for record in new):
            await self._read_turns()  # asked elsewhere: the record has but the begin of what was asked
        for record in new:
            self._end(record)
        for entry in look.rejected:
            self._refuse(entry)
        snapshot = look.snapshot
        self.config, self.pending = snapshot.config, snapshot.pending
        self._follow(snapshot.running)
        if self.running:
            self.running.progress = _progress(look)
        self._say(status=snapshot.status)

    async def _read_all(self, look: Look) -> None:
        """What was said before the page was opened."""
        await self._read_turns()
        ids = {record.task_id for record in look.snapshot.recent}
        for task_id, turn in self._turns.items():
            if task_id not in ids:
                self._keep(Exchange(task_id, turn.input, "completed", turn.output, note=_whole(turn.finish_reason)))
        for record in look.snapshot.recent[-SHOWN:]:
            lacks = record.status == "completed" and record.task_id not in self._turns
            self._end((await self.session.task(record.task_id) or record) if lacks else record)

    async def _read_turns(self) -> None:
        self._turns = {turn.task_id: turn for turn in (await self.session.context()).transcript}

    def _end(self, record: TaskRecord) -> None:
        """Take a task that has ended over to what was said."""
        turn = self._turns.get(record.task_id)
        asked = self._sent.pop(record.task_id, None) or (turn.input if turn else record.input_preview)
        if self.running and self.running.task_id == record.task_id:
            self.running = None
        if record.status == "completed":
            output = record.output if record.output is not None or turn is None else turn.output
            said = Exchange(record.task_id, asked, record.status, output, note=_whole(record.finish_reason))
        else:
            problem = f"{record.error.type}: {record.error.message}" if record.error else record.status
            said = Exchange(record.task_id, asked, record.status, record.output, problem)
        self._keep(said)

    def _keep(self, said: Exchange) -> None:
        self.ended[said.task_id] = said
        while len(self.ended) > KEPT:
            del self.ended[next(iter(self.ended))]

    def _refuse(self, entry: RejectedEntry) -> None:
        """What the session did not take stays on the page, with the reason."""
        why = f"{entry.error.type}: {entry.error.message}"
        if entry.task_id in self._sent:
            self._keep(Exchange(str(entry.task_id), self._sent.pop(str(entry.task_id)), "rejected", problem=why))
            return
        if entry.message == "respond" and self.running and entry.task_id == self.running.task_id:
            self._answered = None  # it asks on
        self.refused.append(f"{entry.message}: {why}")

    def _follow(self, record: TaskRecord | None) -> None:
        """Hear what the running task says; nothing where its end is known already."""
        if record is None or record.task_id in self.ended:
            if record is None and self.running and (self._following is None or self._following.done()):
                self.running = None
            return
        if self.running is None or self.running.task_id != record.task_id:
            self._steps = Steps(self.session, record.task_id)
            self.running = Running(record.task_id, self._sent.get(record.task_id, record.input_preview))
            if self._following:
                self._following.cancel()
            self._following = asyncio.create_task(self._hear(self.running))
        asks = record.waiting_for
        self.running.question = asks if asks is None or asks.id != self._answered else None

    async def _hear(self, running: Running) -> None:
        try:
            async with aclosing(self.session.stream(running.task_id)) as events:  # type: ignore[type-var]
                async for event in events:
                    self._heard(running, event)
        except Exception:  # noqa: BLE001 (the next look says what is wrong)
            self._poke()

    def _heard(self, running: Running, event: TaskEvent) -> None:
        match event.type:
            case "text":
                running.text += event.text or ""
            case "restarted":
                running.text, running.begins = "", running.begins + 1
            case "question" if event.record and event.record.waiting_for:
                if event.record.waiting_for.id != self._answered:
                    running.question = event.record.waiting_for
            case "tool_call" if isinstance(event.data, dict):
                line = shown.call(str(event.data.get("name")), event.data.get("arguments"))
                if line not in running.steps:  # an attempt that begins again says it again
                    running.steps.append(line)
            case "ended" if event.record:
                if running.task_id in self._sent:
                    self._end(event.record)
                self._poke()  # for what was asked elsewhere the look has more than the begin of it
        self._tell()

    async def _named(self, steps: Steps, asked: Any) -> list[str]:
        """The calls since the last look; one named like the question tells nothing."""
        return [step for step in await steps.look() if step != preview(asked, PREVIEW_BYTES)]

    def _say(self, *, status: str | None = None, problem: str | None = None) -> None:
        self.status, self.problem = status or self.status, problem
        self._tell()

    def _poke(self) -> None:
        self._poked.set()
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Conversations:
    """The sessions that somebody has open, each once however many windows show it."""

    def __init__(self, client: SessionClient) -> None:
        self.client = client
        self._open: dict[str, Conversation] = {}

    @contextlib.contextmanager
    def entered(self, session_id: str) -> Iterator[Conversation]:
        """The conversation of that session, for as long as a window is on it. Raises SessionError for what is no id."""
        here = self._open.get(session_id) or Conversation(self.client, session_id)
        self._open[session_id] = here
        here.windows += 1
        try:
            yield here
        finally:
            here.windows -= 1
            if not here.windows:
                here.close()
                del self._open[session_id]


def _progress(look: Look) -> str | None:
    found = look.progress
    if found is None:
        return None
    share = f"{found.done:g}" if found.total is None else f"{found.done:g} of {found.total:g}"
    return f"{share} · {found.note}" if found.note else share


def _whole(finish_reason: str | None) -> str | None:
    return f"ended by {finish_reason}: it may not be the whole answer" if finish_reason else None
