"""Commands of `python -m starter` as processes of their own, without half a second of imports for each.

A process that has imported the command line, and begun nothing else, forks one process a command: with its arguments,
environment, standard streams and exit code like any other. The tests of
`watch` start it the long way.
"""

import asyncio
import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.conformance.caller import SLOWNESS

ROOT = Path(__file__).resolve().parents[1]

_REQUEST_BYTES = 1 << 20  # arguments and environment of one command


@dataclass
class Ran:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


class CommandLine:
    """One command that runs. Its exit code is what a shell would see."""

    def __init__(self, exit_code: IO[bytes], pid: int) -> None:
        self.pid = pid
        self._exit_code = exit_code
        self._code: int | None = None

    async def wait(self) -> int:
        """Its exit code; negative for the signal that ended it."""
        return await asyncio.to_thread(self.ended)

    def ended(self) -> int:
        if self._code is None:
            self._code = int(self._exit_code.read())
            self._exit_code.close()
        return self._code

    def send_signal(self, number: int) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class CommandLines:
    """The process that forks commands; it ends with this one, however that ends."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REQUEST_BYTES)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (our own arguments)
                [sys.executable, "-m", __name__, str(theirs.fileno())], cwd=ROOT, pass_fds=[theirs.fileno()]
            )

    def start(self, *words: str, environment: Mapping[str, str], streams: tuple[int, ...]) -> CommandLine:
        """Begin a command, told its number as soon as it is there."""
        exit_code, theirs = os.pipe()
        request = json.dumps({"words": words, "environment": {**os.environ, **environment}}).encode()
        try:
            socket.send_fds(self._socket, [request], [*streams, theirs])
        finally:
            os.close(theirs)
        told = os.fdopen(exit_code, "rb")
        return CommandLine(told, int(told.readline()))

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


def _pipe(stack: contextlib.ExitStack, *, theirs_reads: bool) -> tuple[IO[bytes], IO[bytes]]:
    reads, writes = os.pipe()
    ours, theirs = (writes, reads) if theirs_reads else (reads, writes)
    return (
        stack.enter_context(os.fdopen(ours, "wb" if theirs_reads else "rb")),
        stack.enter_context(os.fdopen(theirs, "rb" if theirs_reads else "wb")),
    )


def _say(stdin: IO[bytes], text: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), stdin:
        stdin.write(text)


def _serve(requests: socket.socket) -> None:
    """Fork a process for each request. One more stands between, which waits for it and tells how it ended."""
    import starter.cli.chat  # noqa: PLC0415
    import starter.cli.main  # noqa: PLC0415 (what every command imports)
    import starter.client  # noqa: PLC0415
    import starter.gateway.serving  # noqa: PLC0415

    starter.cli.chat.QUICK *= SLOWNESS  # a prompt stays away as long as an answer may take here
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for those that stand between
    while True:
        body, descriptors, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 4)
        if not body:
            return
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _attend(json.loads(body), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _attend(request: Mapping[str, Any], descriptors: list[int]) -> None:
    *streams, exit_code = descriptors
    pid = os.fork()
    if pid == 0:
        os.close(exit_code)
        _become(request, streams)
    for descriptor in [*streams, 0, 1, 2]:
        os.close(descriptor)
    os.write(exit_code, b"%d\n" % pid)
    os.write(exit_code, b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os._exit(0)


def _become(request: Mapping[str, Any], streams: list[int]) -> None:
    from starter.__main__ import command  # noqa: PLC0415 (imports nothing)

    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["starter", *request["words"]]
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    try:
        command()
    finally:  # never back into the loop above
        os._exit(1)


@functools.cache
def _lines() -> CommandLines:
    lines = CommandLines()
    atexit.register(lines.close)
    return lines


def started(*words: str, environment: Mapping[str, str], streams: tuple[int, ...]) -> CommandLine:
    """Begin `python -m starter` with these words; `streams`: descriptors for its standard input, output and error."""
    return _lines().start(*words, environment=environment, streams=streams)


async def run(*words: str, stdin: str = "", wait: float, **environment: str) -> Ran:
    """Run a command to its end, `wait` seconds at most."""
    with contextlib.ExitStack() as stack:
        ours, theirs = zip(*(_pipe(stack, theirs_reads=stream == 0) for stream in range(3)), strict=True)
        command = started(*words, environment=environment, streams=tuple(end.fileno() for end in theirs))
        for end in theirs:
            end.close()
        try:
            async with asyncio.timeout(wait):
                _, out, err = await asyncio.gather(
                    asyncio.to_thread(_say, ours[0], stdin.encode()),
                    asyncio.to_thread(ours[1].read),
                    asyncio.to_thread(ours[2].read),
                )
                return Ran(await command.wait(), out.decode(), err.decode())
        finally:
            command.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        _serve(requests)
