"""The command line as people and scripts meet it: real processes against a real server and worker."""

import asyncio
import inspect
import json
import os
import pty
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import typer
from temporalio.client import Client

from starter.cli import main
from starter.cli.app import SERVERS
from starter.cli.arguments import compaction, notification
from starter.dev_server import DevServer
from tests import command_lines
from tests.command_lines import Ran
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness, snapshot_when
from tests.servers import NO_LISTS, NO_NEXT_WORKER
from workflows.contract import ContextView, Snapshot, TaskRecord

ROOT = Path(__file__).resolve().parents[1]
BANANA = "What colour is a banana?"


Command = Callable[..., Awaitable[Ran]]


async def _run(*words: str, stdin: str = "", **environment: str) -> Ran:
    return await command_lines.run(*words, stdin=stdin, wait=WAIT, **environment)


@pytest.fixture
def run(harness: Harness, server: DevServer) -> Command:
    """Runs `python -m starter` against the server and the worker of this test."""

    async def command(*words: str, stdin: str = "") -> Ran:
        return await _run(*words, stdin=stdin, TEMPORAL_ADDRESS=server.address, SESSIONS_TASK_QUEUE=harness.queue)

    return command


@pytest.fixture
def name() -> str:
    return f"cli-{uuid.uuid4().hex[:12]}"


async def test_the_everyday_jobs(run: Command, name: str) -> None:
    """Start, ask, follow up, queue three, look at them, see what it remembers, close."""
    assert Ran(0, "A ripe banana is yellow.\n", "") == await run("ask", name, BANANA)
    assert "You first asked" in (await run("ask", name, "What did I ask first?")).out
    queued = [(await run("submit", name, f"My dish is {n}", "--task-id", f"q{n}")).out.strip() for n in range(3)]
    assert ["q0", "q1", "q2"] == queued
    assert "dish" in (await run("result", name, "q2", "--wait", "30")).out
    listed = (await run("tasks", name)).out
    assert queued == [task_id for task_id in queued if task_id in listed]
    assert "dish" in (await run("context", name)).out
    assert 0 == (await run("close", name)).code
    assert "closed" in (await run("show", name)).out
    assert 7 == (await run("ask", name, BANANA)).code


async def test_an_answer_that_is_not_whole_is_told_as_such_wherever_it_is_shown(
    run: Command, server: DevServer, harness: Harness, name: str
) -> None:
    told = "ended by length: it may not be the whole answer"
    await run("open", name, "--default-kind", "Return")
    for task_id, reason in (("cut", "length"), ("whole", "stop")):
        result = json.dumps({"output": f"said by {task_id}", "finish_reason": reason})
        await run("submit", name, result, "--json-input", "--task-id", task_id)
    assert Ran(0, "said by cut\n", f"warning: task cut {told}\n") == await run("result", name, "cut")
    assert Ran(0, "said by whole\n", "") == await run("result", name, "whole")
    shown = await run("result", name, "cut", "--json")
    assert ("length", "") == (json.loads(shown.out)["finish_reason"], shown.err)
    assert "finish_reason: length\n" in (await run("task", name, "cut")).out
    assert "finish_reason: " not in (await run("task", name, "whole")).out
    for command in ("show", "tasks", "context"):
        rows = [row for row in (await run(command, name)).out.splitlines() if "said by" in row]
        assert (command, ["length", ""]) == (command, [row.split("\t")[-1] for row in rows])
    talked = (await run("chat", name, stdin="/quit\n")).out
    assert f"said by cut\n({told})\n" in talked
    assert 1 == talked.count("ended by")
    await run("pause", name)
    await run("submit", name, '{"output": "said late", "finish_reason": "length"}', "--json-input")
    async with on_terminal(server, harness, "chat", name) as terminal:
        await terminal.shows(f"({told})")
        await terminal.shows("/quit leaves")
        await run("resume", name)
        await terminal.shows("said late")
        await terminal.shows(f"({told})")


async def test_steering_a_session(run: Command, name: str) -> None:
    opened = await run("open", name, "--compact", "Summarise", "--compact-turns", "20")
    assert "by Summarise, beyond 20 turns or 65,536 bytes of them" in opened.out
    assert "" == opened.err
    await run("submit", name, "20", "--json-input", "--kind", "Countdown", "--task-id", "long")
    await run("submit", name, BANANA, "--task-id", "waiting")
    assert "waiting is cancelled\n" == (await run("cancel", name, "waiting")).out
    await _until_shown(run, name, " of 20, ")  # what has not begun yet ends at once
    stopped = await run("stop", name)
    # Most often it is still running; on a slow machine it may have ended by the look that follows.
    assert (True, "") == (stopped.out in {"long is asked to end\n", "long is cancelled\n"}, stopped.err)
    assert "cancelled" in (await run("result", name, "long")).err
    assert 6 == (await run("stop", name)).code
    assert {"version": 1} == json.loads((await run("patch", name, "--value", "n=1", "--json")).out)
    assert {"version": 2} == json.loads((await run("rollback", name, "0", "--json")).out)
    assert 5 == (await run("patch", name, "--value", "n=1", "--expected-version", "0")).code
    configured = json.loads((await run("configure", name, "on_failure=pause", "compact=null", "--json")).out)
    assert ("pause", None) == (configured["on_failure"], configured["compact"])
    assert [f"{name} is paused\n", f"{name} is idle\n"] == [
        (await run(command, name)).out for command in ("pause", "resume")
    ]
    assert (6, "") == ((unknown := await run("cancel", name, "never-sent")).code, unknown.out)


async def test_a_session_is_opened_with_an_address_to_tell_and_shows_its_host(run: Command, name: str) -> None:
    url = "https://hooks.example.com/sesame"
    opened = await run("open", name, "--notify", url, "--notify-on", "task,question")
    assert (0, True) == (opened.code, "hooks.example.com, of task, question" in opened.out)
    assert "sesame" not in opened.out
    assert {"url": url, "on": ["task", "question"]} == json.loads((await run("show", name, "--json")).out)["config"][
        "notify"
    ]


def test_what_is_told_needs_an_address_and_is_all_unless_said_otherwise() -> None:
    assert notification(None, None) is None
    assert ["task", "question", "budget", "close"] == (notification("https://a.example/", None) or {})["on"]
    with pytest.raises(typer.BadParameter, match="--notify names the address"):
        notification(None, "task")


def test_the_bounds_of_a_compaction_need_its_kind() -> None:
    assert compaction(None, None, None) is None
    assert {"kind": "Summarise", "turns": 3, "bytes": None} == compaction("Summarise", 3, None)
    for bounds in ((3, None), (None, 3_000)):
        with pytest.raises(typer.BadParameter, match="--compact"):
            compaction(None, *bounds)


async def test_json_is_the_contracts_own_shape(run: Command, name: str) -> None:
    asked = await run("ask", name, BANANA, "--task-id", "a", "--json")
    shown = await run("show", name, "--json")
    context = await run("context", name, "--json")
    assert "completed" == TaskRecord.model_validate_json(asked.out).status
    assert 1 == Snapshot.model_validate_json(shown.out).counters.completed
    assert [BANANA] == [turn.input for turn in ContextView.model_validate_json(context.out).transcript]


@pytest.mark.not_on_test_server(NO_LISTS)
@pytest.mark.rare
async def test_sessions_are_listed_in_pages_and_counted(run: Command, harness: Harness, name: str) -> None:
    owner = f'O\'Hara "{name}"'
    for number in range(3):
        await run("open", f"{name}-{number}", "--owner", owner)
    await run("pause", f"{name}-0")
    async with asyncio.timeout(WAIT):
        while 1 != (await harness.client.count(owner=owner))["paused"]:  # noqa: ASYNC110 (it has no event for it)
            await asyncio.sleep(0.1)
    first = json.loads((await run("list", "--owner", owner, "--limit", "2", "--json")).out)
    assert [f"{name}-2", f"{name}-1"] == [entry["session_id"] for entry in first["sessions"]]
    row = (await run("list", "--owner", owner, "--limit", "2", "--page", first["next_page"])).out.splitlines()[1]
    assert [f"{name}-0", "paused", owner] == row.split("\t")[:3]
    assert 2 == len((await run("list", "--owner", owner, "--status", "paused")).out.splitlines())
    counted = await run("count", "--owner", owner)
    assert ["status\tsessions", "open\t2", "paused\t1"] == counted.out.splitlines()
    assert {"open": 2, "paused": 1, "closed": 0}.items() <= json.loads(
        (await run("count", "--owner", owner, "--json")).out
    ).items()
    refused = await run("list", "--page", "no-page")
    assert (5, "", 1) == (refused.code, refused.out, len(refused.err.splitlines()))


async def test_input_comes_from_argument_file_or_stdin(run: Command, name: str, tmp_path: Path) -> None:
    (tmp_path / "question.txt").write_text(BANANA)
    await run("open", name)
    for number, words in enumerate((["--file", str(tmp_path / "question.txt")], ["-"])):
        await run("submit", name, *words, "--task-id", f"t{number}", stdin=BANANA)
        assert "yellow" in (await run("result", name, f"t{number}")).out


async def test_what_is_piped_has_no_escape_codes_and_markup_in_a_text_is_literal(run: Command, name: str) -> None:
    await run("ask", name, "[red]My dish is [bold]soup\x1b[31m[/]")
    shown = (await run("show", name)).out + (await run("context", name)).out + (await run("tasks", name)).out
    assert "[red]My dish is [bold]soup" in shown
    assert "\x1b" not in shown


ENDS = [
    (["ask", "NAME", "x", "--no-such-option"], 2, "no such option"),
    (["submit", "NAME", "x", "--label", "topic"], 2, "not KEY=VALUE"),
    (["show", "never-opened"], 6, "SessionNotFound"),
    (["result", "NAME", "never-sent"], 6, "UnknownTask"),
    (["result", "NAME", "slow", "--wait", "0.2"], 8, "has not ended"),
    (["submit", "NAME", "another", "--task-id", "slow"], 5, "TaskIdConflict"),
    (["submit", "NAME", "x", "--on-busy", "reject"], 5, "Busy"),
    (["ask", "a/b", "x"], 5, "InvalidRequest"),
    (["ask", "NAME", "", "--task-id", "last"], 1, "InvalidRequest"),
]
"""Command lines, their exit codes, what their error says. A long task runs until the last one."""


async def test_errors_are_one_line_with_an_exit_code(run: Command, name: str) -> None:
    await run("open", name)
    ended = await run("submit", name, "60", "--json-input", "--kind", "Countdown", "--task-id", "slow")
    assert Ran(0, "slow\n", "") == ended
    for words, code, says in ENDS:
        if "last" in words:
            await run("stop", name)
        ended = await run(*[name if word == "NAME" else word for word in words])
        assert (words, code, "", 1) == (words, ended.code, ended.out, len(ended.err.splitlines()))
        assert says.lower() in ended.err.lower()


async def test_no_server_is_one_line_that_says_how_to_start_one() -> None:
    ended = await _run("show", "demo", TEMPORAL_ADDRESS="127.0.0.1:1")
    assert (3, "", 1) == (ended.code, ended.out, len(ended.err.splitlines()))
    assert "make dev" in ended.err


async def test_a_conversation_by_lines(run: Command, name: str) -> None:
    await run("ask", name, BANANA)
    talked = await run("chat", name, stdin="How big is the sun?\n/show\n/quit\n")
    assert 0 == talked.code
    assert "yellow" in talked.out
    assert "1.39 million km" in talked.out


async def test_a_session_is_forked_at_a_version(run: Command, name: str) -> None:
    await run("open", name, "--value", "tea=green")
    await run("patch", name, "--value", "tea=black")
    for copy, options, tea in (("now", (), "black"), ("then", ("--fork-version", "0"), "green")):
        opened = await run("open", f"{name}-{copy}", "--fork-of", name, *options)
        assert 0 == opened.code
        await run("ask", f"{name}-{copy}", BANANA)  # the context is there before the first task
        view = ContextView.model_validate_json((await run("context", f"{name}-{copy}", "--json")).out)
        assert {"tea": tea} == view.values


async def test_what_a_task_asks_is_shown_and_answered(run: Command, name: str) -> None:
    await run("open", name)
    early = await run("respond", name, "yes")
    assert (5, 1, True) == (early.code, len(early.err.splitlines()), "NotWaiting" in early.err)
    await run("submit", name, "deploy", "--kind", "Approve", "--task-id", "asks")
    await _until_shown(run, name, "deploy? (yes / no)")
    for words, error in ((("perhaps",), "InvalidRequest"), (("yes", "--question", "old"), "NotWaiting")):
        refused = await run("respond", name, *words)
        assert (5, True) == (refused.code, error in refused.err)
    assert Ran(0, "asks has the answer\n", "") == await run("respond", name, "yes")
    await _until_shown(run, name, "Why?")
    answered = await run("respond", name, '{"it": "is Tuesday"}', "--json-input", "--task", "asks", "--json")
    assert name == Snapshot.model_validate_json(answered.out).session_id
    ended = await run("result", name, "asks", "--json")
    assert {"did": "deploy", "why": {"it": "is Tuesday"}} == json.loads(ended.out)["output"]


async def test_a_conversation_asks_on_the_spot(run: Command, name: str) -> None:
    await run("open", name, "--default-kind", "Approve")
    talked = await run("chat", name, stdin="deploy\nperhaps\nyes\nit is Tuesday\n/quit\n")
    assert 0 == talked.code
    assert "deploy? (yes / no)" in talked.out
    assert "must be one of" in talked.out
    assert "it is Tuesday" in talked.out.split("Why?")[1]


async def test_the_next_line_of_a_pipe_waits_for_what_is_about_to_be_asked(run: Command, name: str) -> None:
    await run("open", name, "--default-kind", "Approve")
    slow = json.dumps({"seconds": 2.5 * SLOWNESS})  # longer than a prompt stays away
    await run("submit", name, slow, "--json-input", "--kind", "Slow")
    talked = await run("chat", name, stdin="deploy\nyes\nit is Tuesday\n")
    assert 0 == talked.code
    assert "it is Tuesday" in talked.out.split("Why?")[1]


async def _until_shown(run: Command, name: str, text: str) -> None:
    async with asyncio.timeout(WAIT):
        while text not in (await run("show", name)).out:
            pass


async def test_every_command_is_on_the_help_page_with_an_example_and_json() -> None:
    pages = await asyncio.gather(_run("--help"), _run("ask", "--help"))
    assert 'python -m starter ask demo "What colour is a banana?"' in pages[1].out
    assert "no worker answers" in pages[0].out
    for command in main.app.registered_commands:
        assert command.callback is not None
        assert command.callback.__name__.replace("_", "-") in pages[0].out
        assert "Example:\n  python -m starter" in str(command.epilog)
        if command.callback.__name__ != "chat" and command.rich_help_panel != SERVERS:
            assert "as_json" in inspect.signature(command.callback).parameters


class OnTerminal:
    """`python -m starter` on a terminal of its own."""

    def __init__(self, *words: str, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        self._output = self.printed = b""
        terminal = {"TERM": "xterm-256color", "COLUMNS": "200"}
        self.process = command_lines.started(
            *words, environment={**terminal, **environment}, streams=(theirs, theirs, theirs)
        )
        os.close(theirs)

    def type(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    async def shows(self, text: str) -> None:
        """Wait until `text` has been printed after what was waited for before."""
        async with asyncio.timeout(WAIT):
            while text.encode() not in self._output:
                try:
                    read = await asyncio.to_thread(os.read, self._ours, 4096)
                except OSError as error:  # how a terminal ends that nobody writes to any more
                    raise AssertionError(f"it ended and did not show {text!r}: {self.printed!r}") from error
                self._output, self.printed = self._output + read, self.printed + read
        self._output = self._output.partition(text.encode())[2]

    async def ended(self) -> int:
        async with asyncio.timeout(WAIT):
            return await self.process.wait()

    def close(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.ended()
        os.close(self._ours)


@asynccontextmanager
async def on_terminal(server: DevServer, harness: Harness, *words: str) -> AsyncIterator[OnTerminal]:
    terminal = OnTerminal(*words, TEMPORAL_ADDRESS=server.address, SESSIONS_TASK_QUEUE=harness.queue)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_a_conversation_outlives_its_worker(server: DevServer, temporal: Client, name: str) -> None:
    """Asked while no worker is there, answered by the next one; the prompt comes back meanwhile."""
    harness = Harness(temporal)
    async with on_terminal(server, harness, "chat", name) as terminal:
        async with harness.worker():
            await terminal.shows("/quit leaves")
            terminal.type("My dish is soup")
            await terminal.shows("Noted: your dish is soup.")
        terminal.type("What is my dish?")
        await terminal.shows("still at it")
        async with harness.worker():
            await terminal.shows("Your dish is soup.")
            terminal.type("/quit")
            assert 0 == await terminal.ended()


async def test_an_interrupted_wait_says_how_to_go_on(
    run: Command, server: DevServer, harness: Harness, name: str
) -> None:
    await run("open", name)
    await run("submit", name, "60", "--json-input", "--kind", "Countdown", "--task-id", "long")
    async with on_terminal(server, harness, "result", name, "long") as terminal:
        await terminal.shows("waiting for long")
        terminal.process.send_signal(signal.SIGINT)
        await terminal.shows("the task goes on")
        assert 130 == await terminal.ended()
    await run("close", name, "--mode", "now")


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_a_session_is_deleted_when_a_person_or_an_option_says_yes(
    run: Command, server: DevServer, harness: Harness, name: str
) -> None:
    await run("ask", name, BANANA)
    assert (2, "") == ((unasked := await run("delete", name)).code, unasked.out)
    for answer in ("n", "\x03"):
        async with on_terminal(server, harness, "delete", name) as terminal:
            await terminal.shows("Remove 2 executions (1 Answer, 1 Session) for good? [y/N]")
            terminal.type(answer)
            await terminal.shows(f"{name} stays as it is")
            assert 130 == await terminal.ended()
    async with on_terminal(server, harness, "delete", name) as terminal:
        await terminal.shows("for good?")
        terminal.type("y")
        await terminal.shows(" left")  # how many, as of the moment that the line is drawn: each half second or sooner
        await terminal.shows(f"{name} is erased: 2 executions (1 Answer, 1 Session)")
        assert 0 == await terminal.ended()
    assert 6 == (await run("show", name)).code
    assert 6 == (await run("delete", name, "--yes")).code
    await run("open", name)
    erased = json.loads((await run("delete", name, "--yes", "--json")).out)
    assert {"session_id": name, "removed": {"Session": 1}, "schedules": 0, "files": 0} == erased


async def test_no_control_character_of_a_text_reaches_a_terminal(
    run: Command, server: DevServer, harness: Harness, name: str
) -> None:
    await run("ask", name, "[red]My dish\x1b[31m is \u202e soup")
    async with on_terminal(server, harness, "tasks", name) as terminal:
        await terminal.shows("[red]My dish\u241b[31m is \ufffd soup")
        assert 0 == await terminal.ended()


async def test_no_worker_has_its_own_exit_code_and_loses_nothing(server: DevServer, name: str) -> None:
    environment = {"TEMPORAL_ADDRESS": server.address, "SESSIONS_TASK_QUEUE": "nobody-polls-this"}
    ended = await _run("ask", name, BANANA, **environment)
    assert (4, "", 1) == (ended.code, ended.out, len(ended.err.splitlines()))
    assert "is sent, but no worker answers" in ended.err


def _python(code: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)  # noqa: S603 (our own)


def test_the_help_is_quick_and_a_missing_extra_is_named() -> None:
    assert 0 == _python("import sys, starter.cli.main; sys.exit('temporalio' in sys.modules)").returncode
    ended = _python("import runpy, sys; sys.modules['typer'] = None; runpy.run_module('starter', run_name='__main__')")
    assert (1, b"error: the command line needs typer: pip install typer rich\n") == (ended.returncode, ended.stderr)


async def test_the_shell_completes_commands_options_and_choices() -> None:
    script = (await _run("--show-completion", SHELL="/bin/bash")).out
    typed = {"cont": "context", "close --mo": "--mode", "close --mode d": "drain discard"}
    for words, completed in typed.items():
        tried = f"{script}COMP_WORDS=({sys.executable} -m starter {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
        ended = await asyncio.create_subprocess_exec(
            "bash", "-c", tried + '_starter_completion; echo "${COMPREPLY[*]}"', cwd=ROOT, stdout=subprocess.PIPE
        )
        assert completed == (await ended.communicate())[0].decode().strip()


async def test_a_terminated_session_is_shown_as_such_and_nobody_waits_in_it(
    run: Command, name: str, harness: Harness
) -> None:
    await run("open", name)
    await run("submit", name, "for ever", "--kind", "Hang", "--task-id", "t")
    await snapshot_when(harness.client.get(name), lambda s: s.running is not None and s.running.run_id is not None)
    await harness.temporal.get_workflow_handle(name).terminate(reason="operator")
    shown = await run("show", name)
    assert 0 == shown.code
    assert "status: terminated\n" in shown.out
    assert "this is how it stood when it ended" in shown.out
    assert "terminated" == json.loads((await run("show", name, "--json")).out)["status"]
    waited = await run("result", name, "t")
    assert (7, "") == (waited.code, waited.out)
    assert "was terminated: operator; task 't' still runs" in waited.err
    await harness.temporal.get_workflow_handle(f"{name}/t").terminate()
