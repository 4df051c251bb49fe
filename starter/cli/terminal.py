"""A terminal, or a pipe, that is read and written at the same time."""

import asyncio
import contextlib
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

from starter.cli import output

try:  # what is not on every system
    import readline
    import termios
except ModuleNotFoundError:  # pragma: no cover (Windows)
    readline = termios = None  # type: ignore[assignment]

PROMPT = "> "


@contextlib.contextmanager
def interrupted(call: Callable[[], object]) -> Iterator[None]:
    """In here Ctrl-C calls `call` in the event loop, and ends nothing."""
    loop = asyncio.get_running_loop()
    before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Terminal:
    """Lines from stdin, read by a thread of their own; what is shown meanwhile goes above the line being typed."""

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._wanted = threading.Semaphore(0)
        self._typing = False
        self._draft = ""

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Read lines in here. Afterwards the terminal is as before, although the thread may still wait for a line."""
        settings = termios.tcgetattr(sys.stdin) if termios and self.interactive else None
        # Not joined at exit: nothing can wake it from reading.
        threading.Thread(target=self._read, args=(asyncio.get_running_loop(),), daemon=True).start()
        try:
            yield
        finally:
            if settings:
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)
            if self._typing and self.interactive:
                sys.stdout.write("\n")

    async def line(self, draft: str = "") -> str | None:
        """The next line; null at the end of the input. On a terminal `draft` stands there, to be changed."""
        self._typing, self._draft = True, draft
        self._wanted.release()
        line = await self._lines.get()
        self._typing = False
        if line is None and self.interactive:
            sys.stdout.write("\n")
        return line

    def show(self, *parts: output.Part) -> None:
        """Print parts, above what is being typed."""
        if not self.interactive:
            output.show(*parts)
            return
        typed = PROMPT + readline.get_line_buffer() if readline and self._typing else ""
        if typed:
            rows = (len(typed) - 1) // shutil.get_terminal_size().columns
            sys.stdout.write(f"\x1b[{rows}A" * bool(rows) + "\r\x1b[J")
        output.show(*parts)
        sys.stdout.write("\n" + typed)
        sys.stdout.flush()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        line: str | None = ""
        while line is not None:
            self._wanted.acquire()
            try:
                if readline:
                    readline.set_startup_hook(partial(readline.insert_text, self._draft))
                line = input(PROMPT if self.interactive else "")
            except EOFError:
                line = None
            except UnicodeDecodeError:
                line = ""
            loop.call_soon_threadsafe(self._lines.put_nowait, line)
