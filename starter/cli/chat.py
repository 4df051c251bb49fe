"""The command for a conversation: questions as they are typed, answers as they finish.

Typing does not wait for answers, nor answers for typing. Answers come in the order of the questions: a session runs one
task at a time.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starter.cli import approvals, gateway, output, views
from starter.cli import arguments as a
from starter.cli.app import TASKS, connected, verb
from starter.cli.exits import ExitCode, command_error, not_completed, refusal
from starter.cli.terminal import Terminal, interrupted
from starter.program import COMMAND
from workflows.contract import Question
from workflows.wire.approval import call_in
from workflows.wire.encoding import preview
from workflows.wire.limits import PREVIEW_BYTES
from workflows.wire.markdown import words_of

if TYPE_CHECKING:
    from starter.client import Session
    from starter.client.steps import Steps

LAST_TURNS = 5
"""Turns shown on entry: enough to go on from."""

QUICK = 2.0
"""Seconds that the prompt stays away for an answer; with a slower one it comes back, and the answer is shown above.
In a pipe nobody types meanwhile, and the next line may be the answer to what is about to be asked: it waits."""


SILENT = 10.0
"""The same, once text comes: a tool that is called in between most often takes less, a dead worker more."""


Session_ = Annotated[
    str | None, typer.Argument(metavar="SESSION", help="Session id; not needed with --web.", show_default=False)
]
Web = Annotated[bool, typer.Option("--web", help="On a page in the browser instead, until Ctrl-C.")]
Owner = Annotated[
    str | None, typer.Option(metavar="OWNER", help="With --web: whose sessions are at its side.", show_default=False)
]
Open = Annotated[
    bool, typer.Option("--open/--no-open", help="With --web: open the page in the browser.", show_default=False)
]


@verb("chat demo", TASKS)
async def chat(
    session: Session_ = None, *, stream: a.Stream = True, web: Web = False, owner: Owner = None, browse: Open = True
) -> None:
    """Hold a conversation.

    Opens the session if there is none of that name yet, shows the last turns, then reads questions, one a line.
    /show tells how the session stands, /cancel ends what runs, /quit leaves; what was asked goes on without you.
    An answer shows while it comes; Ctrl-C brings the prompt back meanwhile. When a task asks something itself, the next
    line is the answer. Where it asks leave for a tool, that is y, or n and why, or edit, which lets you change the
    arguments.

    With --web there is a page for all that (docs/web-chat.md).
    """
    if web:
        await gateway.chat_on_a_page(session, owner, browse=browse)
        return
    if session is None:
        raise typer.BadParameter("which session? Give SESSION, or --web for a page that lists them")
    if owner is not None:
        raise typer.BadParameter("--owner goes with --web; `open` makes a session of an owner's")
    terminal = Terminal()
    here = await (await connected()).open(session)
    conversation = Conversation(here, terminal, stream=stream and terminal.interactive)
    try:
        with terminal.opened():
            await conversation.run()
    finally:
        if conversation.waiting:
            output.note(f"{conversation.waiting} unanswered; `{COMMAND} chat {session}` shows what came of it")


LOOK = 0.5
"""Seconds between looks at what a task may ask, while one runs: a person hardly notices, a session hardly either."""


@dataclass
class Asked:
    """A question without an answer yet. `in_view`: it stands right above the place of its answer.

    `cursor`: how far its text has been shown while it came.
    """

    task_id: str
    question: str
    in_view: bool
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    steps: "Steps | None" = None
    cursor: str | None = None


class Conversation:
    """One person in a session. `waiting`: questions without an answer yet. `stream`: show text while it comes."""

    def __init__(self, session: "Session", terminal: Terminal, *, stream: bool = False) -> None:
        self._session = session
        self._terminal = terminal
        self._options: dict[str, Any] = {"stream": True} if stream else {}
        self._unanswered: asyncio.Queue[Asked] = asyncio.Queue()
        self._first: Asked | None = None
        self._asks: Question | None = None
        self._edits: Question | None = None
        self._looking = asyncio.Lock()
        self.waiting = 0
        self._commands = {"/show": self._show, "/cancel": self._cancel}

    async def run(self) -> None:
        """Talk until the person leaves, or stdin ends and everything asked is answered."""
        await self._enter()
        all_three = {asyncio.create_task(work()) for work in (self._listen, self._print_answers, self._print_questions)}
        done, _ = await asyncio.wait(all_three, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _enter(self) -> None:
        """Show the last turns, and wait for what an earlier conversation left unanswered."""
        with output.waiting("looking at the session"):
            snapshot, context = await self._session.snapshot(), await self._session.context()
        turns = [
            output.Exchange(
                output.readable(turn.input),
                output.readable(turn.output),
                note=views.unlike_whole(turn.finish_reason),
                prose=words_of(turn.output) is not None,
            )
            for turn in context.transcript
        ]
        if turns:
            self._terminal.show(*turns[-LAST_TURNS:])
        output.note(f"{self._session.id} is {snapshot.status}; /show tells how it stands, /quit leaves")
        shown = {turn.task_id for turn in context.transcript}  # what ended since the snapshot
        running = snapshot.running
        if running and running.task_id not in shown:
            self._first = self._expect(running.task_id, running.input_preview, in_view=False)
            if running.waiting_for:
                self._put(self._first, running.waiting_for)
        for task in snapshot.pending:
            # A delayed one would hold up the answers to what is asked now.
            if not task.not_before and task.task_id not in shown:
                self._expect(task.task_id, task.input_preview, in_view=False)

    async def _listen(self) -> None:
        """Act on every line."""
        while (line := await self._terminal.line(self._draft())) is not None:
            text = line.strip()
            if text == "/quit":
                return
            try:
                if text in self._commands:
                    await self._commands[text]()
                elif text.startswith("/"):
                    self._terminal.show(f"there is no {text}; there are {', '.join(self._commands)}, /quit")
                elif self._edits or (text and self._first and self._asks):
                    await self._answer(text)
                elif text:
                    await self._ask(text)
            except Exception as error:
                failure = command_error(error)
                if failure.code in {ExitCode.SESSION_CLOSED, ExitCode.BUG}:
                    raise
                self._terminal.show(output.Exchange("", failure.message, failed=True))
        if not self._terminal.interactive:
            await self._unanswered.join()

    async def _ask(self, question: str) -> None:
        task_id = await self._session.submit(question, **self._options)
        asked = self._expect(task_id, question, in_view=self._terminal.interactive)
        await self._hear(asked)

    def _draft(self) -> str:
        """What stands in the next line already: the arguments that a person is about to change."""
        call = call_in(self._edits) if self._edits else None
        return approvals.draft(call) if call else ""

    async def _answer(self, text: str) -> None:
        """Answer what the running task asks. An approval takes no line for an answer that is none, and asks again."""
        edits, self._edits = self._edits, None
        asked, question = self._first, self._asks
        if asked is None or question is None or (edits and edits.id != question.id):
            self._terminal.show("what was asked is no longer asked; nothing is sent")
            return
        value: Any = text
        if call_in(question):
            if not edits and self._terminal.interactive and approvals.wants_to_edit(text):
                self._edits = question
                return
            try:
                value = approvals.changed(text) if edits else approvals.answer(text)
            except approvals.UnclearError as error:
                self._terminal.show(str(error))
                return
        await self._respond(asked, question, value)

    async def _respond(self, asked: Asked, question: Question, value: Any) -> None:
        """Answer what the task asks; where the session refuses it, the question stays."""
        before = await self._session.snapshot()
        await self._session.respond(asked.task_id, value, question.id)
        if refused := refusal("respond", asked.task_id, before, await self._session.snapshot()):
            raise refused
        asked.heard.clear()
        self._asks = None
        await self._hear(asked)

    async def _hear(self, asked: Asked) -> None:
        """Keep the prompt away for a moment: most often the answer, or what the task asks, is there by then.

        While text comes it stays away, until that is silent for a while or Ctrl-C brings it back.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUICK if self._terminal.interactive else None) as away:
                writing = asyncio.create_task(self._write(asked, away)) if self._options else None
                try:
                    await asked.heard.wait()
                finally:
                    if writing:
                        writing.cancel()
                        await asyncio.gather(writing, return_exceptions=True)
        if not asked.heard.is_set():
            asked.in_view = False
            output.note("still at it; ask on, the answer comes when it is there")

    async def _write(self, asked: Asked, away: asyncio.Timeout) -> None:
        """Draw what the task says, while it says it; who waits for its end learns what becomes of it."""
        loop, text = asyncio.get_running_loop(), ""
        with output.writing("…") as tell, interrupted(lambda: away.reschedule(loop.time())):
            async for event in self._session.stream(asked.task_id, after=asked.cursor):
                asked.cursor = event.cursor
                text = "" if event.type == "restarted" else text + (event.text or "")
                if text:
                    away.reschedule(loop.time() + SILENT)
                    tell(text, None)

    def _expect(self, task_id: str, question: str, *, in_view: bool) -> Asked:
        asked = Asked(task_id, question, in_view and not self.waiting)
        self._unanswered.put_nowait(asked)
        self.waiting += 1
        return asked

    async def _print_answers(self) -> None:
        while True:
            asked = self._first = await self._unanswered.get()
            record = await self._session.result(asked.task_id)
            await self._show_steps(asked)
            question = "" if asked.in_view else asked.question
            if record.status == "completed":
                note = views.unlike_whole(record.finish_reason)
                prose = words_of(record.output) is not None
                self._terminal.show(output.Exchange(question, output.readable(record.output), note=note, prose=prose))
            else:
                self._terminal.show(output.Exchange(question, not_completed(record).message, failed=True))
            self._asks = None
            self.waiting -= 1
            asked.heard.set()
            self._unanswered.task_done()

    async def _print_questions(self) -> None:
        """Show what the running task asks of the person, each time it asks."""
        from temporalio.service import RPCError  # noqa: PLC0415 (takes 0.2 s; usage errors do without)

        from starter.client.calls import NoWorkerError  # noqa: PLC0415 (the same)

        while True:
            await asyncio.sleep(LOOK)
            if not self.waiting or self._asks:
                continue
            if self._first:
                await self._show_steps(self._first)
            with contextlib.suppress(NoWorkerError, RPCError):  # a worker or a server that restarts is waited for
                running, asked = (await self._session.snapshot()).running, self._first
                if running and running.waiting_for and asked and running.task_id == asked.task_id:
                    await self._show_steps(asked)  # what led to the question, before it
                    if self._first is asked:
                        self._put(asked, running.waiting_for)

    def _put(self, asked: Asked, question: Question) -> None:
        self._asks, asked.in_view = question, False
        self._terminal.show(*approvals.shown(question))
        asked.heard.set()

    async def _show_steps(self, asked: Asked) -> None:
        """Show what the task has called since the last look: models and tools, by name.

        A call named like the question tells nothing.
        """
        from temporalio.service import RPCError  # noqa: PLC0415 (takes 0.2 s; usage errors do without)

        from starter.client.steps import Steps  # noqa: PLC0415 (the same)

        if not self._terminal.interactive:
            return
        async with self._looking:
            asked.steps = asked.steps or Steps(self._session, asked.task_id)
            with contextlib.suppress(RPCError):  # a server that restarts is waited for
                for step in await asked.steps.look():
                    if step != preview(asked.question, PREVIEW_BYTES):
                        self._terminal.show(output.Aside(f"· {step}"))

    async def _show(self) -> None:
        from starter.client.watching import task_progress  # noqa: PLC0415 (imports temporalio, which takes 0.2 s)

        snapshot = await self._session.snapshot()
        running = snapshot.running
        progress = await task_progress(self._session, running.task_id) if running else None
        self._terminal.show(*views.session(snapshot, progress))

    async def _cancel(self) -> None:
        snapshot = await self._session.snapshot()
        if snapshot.running is None:
            self._terminal.show("nothing runs")
            return
        await self._session.cancel(snapshot.running.task_id, "cancelled in a conversation")
