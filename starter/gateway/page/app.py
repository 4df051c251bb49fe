"""The page, served by NiceGUI: one window each, drawn from a `Conversation`. The one module here that imports NiceGUI.

One page a process: NiceGUI's application is a global of its own.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI
from nicegui import app as nicegui
from nicegui import background_tasks, ui
from starlette.types import ASGIApp
from temporalio.service import RPCError

from starter.client import SessionClient
from starter.client.calls import NoWorkerError
from starter.client.connection import NoServerError
from starter.gateway.page import shown
from starter.gateway.page.conversation import NEW, Conversation, Conversations, Exchange, Running
from starter.gateway.page.guard import Guard
from starter.gateway.page.looks import SCRIPT, SEND_ON_ENTER, STYLE
from workflows.contract import Question
from workflows.wire.approval import YES, ToolCall, call_in
from workflows.wire.errors import SessionError
from workflows.wire.validation import checked_id

TITLE = "Sessions"

LISTED = 50
"""Sessions at the side, at first; a button shows as many more."""

LIST_SECONDS = 3.0
"""Between two lists of the sessions at the side; the server itself is up to a second late with them."""

FRAME_SECONDS = 0.1
"""Between two drawings at least: a text that streams comes four times a second."""

RECONNECT_SECONDS = 30.0
"""How long the process keeps a window that has lost its connection, with what a person has typed into it."""

_FAILS = (SessionError, NoWorkerError, NoServerError, RPCError, TimeoutError)


def build_page(client: SessionClient) -> ASGIApp:
    """The page to chat on, at `/`, behind its guard. It is open to whoever reaches it: `Guard` says who does."""
    conversations = Conversations(client)

    async def page(session: str = "", owner: str = "") -> None:
        await _Window(conversations, session.strip(), owner.strip()).show()

    ui.page("/", title=TITLE)(page)
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(
        outer,
        title=TITLE,
        favicon="💬",
        dark=None,
        tailwind=False,
        reconnect_timeout=RECONNECT_SECONDS,
        show_welcome_message=False,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # it logs the addresses of WebSockets as asked for
    nicegui.config.socket_io_js_transports = ["websocket"]
    return Guard(outer)


def address(session: str, owner: str) -> str:
    """The address of a session's page; it keeps whose sessions stand at the side."""
    return "/?" + urlencode({name: text for name, text in (("session", session), ("owner", owner)) if text})


class _Window:
    """One window of a browser."""

    def __init__(self, conversations: Conversations, session: str, owner: str) -> None:
        self._conversations = conversations
        self._session, self._owner = session, owner
        self._listed = LISTED
        self._rows: list[tuple[str, str]] | None = None
        self._relist = asyncio.Event()
        self._drawn: dict[str, Exchange] = {}
        self._running: _RunningTask | None = None
        self._queue: list[tuple[str, str]] = []
        self._told = 0

    async def show(self) -> None:
        """Draw the window, and go on drawing what is new until it is closed."""
        ui.add_css(STYLE)
        ui.add_head_html(f'<base target="_blank"><script>{SCRIPT}</script>')
        with ui.left_drawer(bottom_corner=True).props("width=270 breakpoint=700 bordered").classes("side") as side:
            self._draw_side()
        with ui.header().classes("top"):
            ui.button(icon="menu", on_click=side.toggle).props("flat dense round aria-label=Sessions")
            ui.label(self._session or TITLE).classes("title")
            self._status = ui.label().classes("status").props("role=status")
        self._watched = [background_tasks.create(self._keep_listing())]
        if not self._session:
            ui.label("Choose a session, or begin a new one.").classes("hint")
        elif (problem := _no_id(self._session)) is not None:
            ui.label(problem).classes("problem hint")
        else:
            self._lay_out()
            self._watched.append(background_tasks.create(self._keep_drawing()))
        ui.context.client.on_delete(self._gone)

    def _gone(self) -> None:
        for task in self._watched:
            task.cancel()

    # The side: the sessions of an owner.

    def _draw_side(self) -> None:
        with ui.row().classes("whose"):
            owner = ui.input("Owner", value=self._owner, placeholder="all").props("dense clearable").classes("grow")
            owner.on("keydown.enter", lambda: ui.navigate.to(address(self._session, (owner.value or "").strip())))
        with ui.row().classes("whose"):
            name = ui.input("New session", placeholder="a name, or none").props("dense").classes("grow")

            def begin() -> None:
                ui.navigate.to(address((name.value or "").strip() or f"chat-{uuid.uuid4().hex[:8]}", self._owner))

            name.on("keydown.enter", begin)
            ui.button(icon="add", on_click=begin).props("flat dense round aria-label='Begin a session'")
        self._list = ui.column().classes("sessions").props("role=navigation")

    async def _keep_listing(self) -> None:
        while True:
            try:
                page = await self._conversations.client.page(self._listed, owner=self._owner or None)
                rows = [(found.session_id, found.status) for found in page.sessions]
                self._draw_list(rows, more=page.next_page is not None)
            except _FAILS as error:
                self._draw_list([], more=False, problem=str(error))
            self._relist.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LIST_SECONDS):
                    await self._relist.wait()

    def _draw_list(self, rows: list[tuple[str, str]], *, more: bool, problem: str | None = None) -> None:
        if rows == self._rows and not problem:
            return
        self._rows = None if problem else rows
        self._list.clear()
        with self._list:
            if problem:
                ui.label(problem).classes("problem")
            for session_id, status in rows:
                here = " here" if session_id == self._session else ""
                with ui.link(target=address(session_id, self._owner)).classes(f"session{here}").props("target=_self"):
                    ui.label(session_id).classes("name")
                    ui.label(status).classes(f"status {status}")
            if more:
                ui.button("More", on_click=self._list_more).props("flat dense no-caps")

    def _list_more(self) -> None:
        self._listed += LISTED
        self._relist.set()

    # The conversation.

    def _lay_out(self) -> None:
        with ui.column().classes("talk"):
            self._past = ui.column().classes("exchanges")
            self._now = ui.column().classes("exchanges")
            self._waits = ui.column().classes("queue hidden").props("role=list aria-label=Queue")
            self._problem = ui.label().classes("problem")
            self._new = ui.column().classes("hidden")
            with self._new:
                ui.label("There is no session of that name yet; the first message opens it.").classes("soft")
                self._kind = ui.input("Kind", placeholder="Answer").props("dense")
        with ui.footer().classes("bottom"), ui.row().classes("composer"):
            self._text = ui.textarea(placeholder="Message").props("outlined dense autogrow rows=1 aria-label=Message")
            self._text.classes("grow").on("keydown.enter", self._send, js_handler=SEND_ON_ENTER)
            self._button = ui.button(icon="send", on_click=self._send).props("flat round aria-label=Send")

    async def _keep_drawing(self) -> None:
        with self._conversations.entered(self._session) as here:
            self._told = len(here.refused)
            while True:
                changed = here.changed
                self._draw(here)
                await asyncio.sleep(FRAME_SECONDS)
                await changed.wait()

    def _draw(self, here: Conversation) -> None:
        """What is new since the last time."""
        self._here = here
        self._status.set_text(here.status)
        self._status.classes(replace=f"status {here.status}")
        self._problem.set_text(here.problem or "")
        _hide(self._new, hidden=here.status != NEW)
        self._text.set_enabled(here.open)
        self._button.set_enabled(here.open)
        for said in list(here.ended.values()):
            if said.task_id not in self._drawn:
                self._drawn[said.task_id] = said
                with self._past:
                    self._draw_exchange(here, said)
        if self._running and (here.running is None or here.running.task_id != self._running.task_id):
            self._now.clear()
            self._running = None
        if here.running:
            if self._running is None:
                with self._now:
                    self._running = _RunningTask(here, here.running)
            self._running.draw(here.running)
        if here.queue != self._queue:
            self._queue = here.queue
            self._draw_queue(here)
        for words in here.refused[self._told :]:
            with self._past:
                ui.label(words).classes("problem")
        self._told = len(here.refused)

    def _draw_exchange(self, here: Conversation, said: Exchange) -> None:
        with ui.column().classes("exchange").props(f"data-task={said.task_id}"):
            ui.html(shown.asked(said.asked), sanitize=True).classes("asked")
            if said.status == "completed":
                ui.html(shown.value(said.answer), sanitize=True).classes("answer")
            if said.problem or said.note:
                ui.label(said.problem or said.note or "").classes("problem" if said.problem else "soft")

            steps = ui.column().classes("steps")

            async def look() -> None:
                try:
                    called = await here.steps(said.task_id)
                except _FAILS as error:
                    called = [str(error)]
                steps.clear()
                with steps:
                    for name in called or ["it called nothing that is still known"]:
                        ui.label(name).classes("step")

            with steps:
                ui.button("What it called", on_click=look).props("flat dense no-caps size=sm")

    def _draw_queue(self, here: Conversation) -> None:
        self._waits.clear()
        _hide(self._waits, hidden=not self._queue)
        with self._waits:
            for task_id, begins in self._queue:
                with ui.row().classes("row").props("role=listitem"):
                    ui.label("waits").classes("soft")
                    ui.label(begins).classes("begins")
                    _cancel_button(here, task_id)

    async def _send(self) -> None:
        text = (self._text.value or "").strip()
        if not text:
            return
        self._text.value = ""
        try:
            await self._here.ask(text, self._owner or None, (self._kind.value or "").strip() or None)
        except _FAILS as error:
            self._text.value = text
            ui.notify(str(error), type="negative")
        self._relist.set()


class _RunningTask:
    """The drawing of the task that runs."""

    def __init__(self, here: Conversation, running: Running) -> None:
        self.task_id = running.task_id
        self._here = here
        self._steps = 0
        self._text = ""
        self._question: str | None = None
        with ui.column().classes("exchange").props(f"data-task={running.task_id} aria-live=polite"):
            ui.html(shown.asked(running.asked), sanitize=True).classes("asked")
            self._called = ui.column().classes("steps")
            self._said = ui.html("", sanitize=True).classes("answer")
            self._box = ui.column().classes("wide")
            with ui.row().classes("working"):
                self._spinner = ui.spinner("dots", size="1.4em")
                self._progress = ui.label()
                _cancel_button(here, running.task_id)

    def draw(self, running: Running) -> None:
        """What is new since the last time."""
        for step in running.steps[self._steps :]:
            with self._called:
                ui.label(f"· {step}").classes("step")
        self._steps = len(running.steps)
        if running.text != self._text:
            self._text = running.text
            self._said.set_content(shown.growing(running.text))
        self._progress.set_text(running.progress or "")
        asks = running.question
        self._spinner.set_visibility(asks is None)
        if (asks and asks.id) != self._question:
            self._question = asks.id if asks else None
            self._box.clear()
            if asks:
                with self._box:
                    self._draw_question(asks)

    def _draw_question(self, question: Question) -> None:
        call = call_in(question)
        with ui.column().classes("question").props("role=group aria-label=Question"):
            ui.label(question.text).classes("asks")
            if question.expires_at:
                ui.label(f"until {question.expires_at:%Y-%m-%d %H:%M:%S %Z}").classes("soft")
            if call:
                self._draw_leave(question, call)
                return
            if question.data is not None:
                ui.html(shown.as_block(question.data), sanitize=True)
            with ui.row().classes("buttons"):
                if question.choices:
                    for choice in question.choices:
                        ui.button(choice, on_click=self._answering(question, choice)).props("no-caps unelevated")
                    return
                words = ui.input(placeholder="Answer").props("outlined dense").classes("grow")

                async def answer() -> None:
                    if words.value:
                        await self._answering(question, words.value)()

                words.on("keydown.enter", answer)
                ui.button("Answer", on_click=answer).props("no-caps unelevated")

    def _draw_leave(self, question: Question, call: ToolCall) -> None:
        """A call with all of its arguments, uncut: nobody is to agree to what they have not seen."""
        ui.label(call.tool).classes("tool")
        with ui.column().classes("wide") as arguments:
            ui.html(shown.as_block(call.arguments), sanitize=True).classes("wide")
        edited: list[ui.textarea] = []
        problem = ui.label().classes("problem")

        def edit() -> None:
            if not edited:
                arguments.clear()
                with arguments:
                    field = ui.textarea("Arguments", value=shown.as_json(call.arguments))
                edited.append(field.props("outlined autogrow").classes("wide"))

        async def allow() -> None:
            try:
                value = shown.leave(call.arguments, edited[0].value or "") if edited else YES
            except shown.NoArgumentsError as error:
                problem.set_text(f"Nothing is sent yet: {error}")
                return
            await self._answering(question, value)()

        async def refuse() -> None:
            await self._answering(question, shown.refusal(reason.value or ""))()

        with ui.row().classes("buttons"):
            ui.button("Approve", on_click=allow).props("no-caps unelevated")
            ui.button("Edit arguments", on_click=edit).props("no-caps flat")
        with ui.row().classes("buttons"):
            reason = ui.input(placeholder="Why not (may be empty)").props("outlined dense").classes("grow")
            ui.button("Refuse", on_click=refuse).props("no-caps unelevated color=negative")

    def _answering(self, question: Question, value: Any) -> Callable[[], Awaitable[None]]:
        async def answer() -> None:
            try:
                await self._here.respond(question, value)
            except _FAILS as error:
                ui.notify(str(error), type="negative")

        return answer


def _cancel_button(here: Conversation, task_id: str) -> None:
    async def cancel() -> None:
        try:
            await here.cancel(task_id)
        except _FAILS as error:
            ui.notify(str(error), type="negative")

    ui.button("Cancel", on_click=cancel).props(f"flat dense no-caps size=sm data-cancels={task_id}")


def _hide(element: ui.element, *, hidden: bool) -> None:
    element.classes(add="hidden") if hidden else element.classes(remove="hidden")


def _no_id(session_id: str) -> str | None:
    """Why that can be no session's id; null where it can."""
    try:
        checked_id(session_id)
    except SessionError as error:
        return str(error)
    return None
