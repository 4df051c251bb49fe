"""Commands that steer sessions: cancel, stop, go, respond, pause, resume, patch, rollback, configure."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import arguments as a
from starter.cli import output
from starter.cli.app import SESSIONS, TASKS, answer, connected, sent, verb
from starter.cli.exits import CommandError, ExitCode, not_completed, refusal
from workflows.contract import Snapshot

if TYPE_CHECKING:
    from starter.client import Session
    from starter.client.standstill import Told

Owner = Annotated[str | None, typer.Option(help="All sessions of this owner.")]
All = Annotated[bool, typer.Option("--all", help="All sessions there are.")]
Reason = Annotated[str | None, typer.Option(help="Kept with the task's record.")]


@verb("cancel demo task-0123456789abcdef", TASKS)
async def cancel(session: a.SessionId, task: a.TaskId, *, reason: Reason = None, as_json: a.AsJson = False) -> None:
    """Cancel a task, waiting or running.

    A running one may clean up; what it would have left in the session is dropped.
    """
    await _cancelled((await connected()).get(session), task, reason, as_json=as_json)


@verb("stop demo", TASKS)
async def stop(
    session: Annotated[
        str | None, typer.Argument(metavar="SESSION", help="The session's id.", show_default=False)
    ] = None,
    *,
    owner: Owner = None,
    everywhere: All = False,
    reason: Reason = None,
    as_json: a.AsJson = False,
) -> None:
    """Cancel whatever runs; the next task starts then.

    With --owner, or --all, in all of these sessions, which pause: nothing starts until `go`.
    """
    if (session is not None) + (owner is not None) + everywhere != 1:
        raise typer.BadParameter("name a session, or give --owner or --all")
    if session is None:
        from starter.client import standstill  # noqa: PLC0415 (imports temporalio)

        told = standstill.stop(await connected(), owner=owner, reason=reason)
        await _tell_of_all(told, "stopped", as_json=as_json)
        return
    here = (await connected()).get(session)
    snapshot = await answer(here.snapshot())
    if snapshot.running is None:
        raise CommandError(ExitCode.NOT_FOUND, f"nothing runs in session {session}")
    await _cancelled(here, snapshot.running.task_id, reason, as_json=as_json)


@verb("go --owner ada", SESSIONS)
async def go(
    *,
    owner: Owner = None,
    everywhere: All = False,
    only: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Only those that this output of `stop --json` has stopped.")
    ] = None,
    as_json: a.AsJson = False,
) -> None:
    """Resume all sessions that `stop` or `pause` has paused; what a failure or a budget has paused stays so."""
    from starter.client import standstill  # noqa: PLC0415 (imports temporalio)

    if (owner is not None) == everywhere:
        raise typer.BadParameter("give --owner or --all")
    stopped = None if only is None else a.stopped_in(only)
    told = standstill.go(await connected(), owner=owner, only=stopped)
    await _tell_of_all(told, "resumed", as_json=as_json)


@verb("respond demo yes", TASKS)
async def respond(
    session: a.SessionId,
    value: Annotated[str, typer.Argument(metavar="ANSWER", help="What to answer.", show_default=False)],
    *,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Only if this task asks.")] = None,
    question: Annotated[str | None, typer.Option(metavar="ID", help="Only if it asks this question.")] = None,
    json_input: Annotated[bool, typer.Option("--json-input", help="The answer is JSON, not text.")] = False,
    as_json: a.AsJson = False,
) -> None:
    """Answer what the running task asks.

    `show` shows the question; the answer goes to the one that is asked now.
    """
    here = (await connected()).get(session)
    before = await answer(here.snapshot())
    running = before.running
    if task is None and (running is None or running.waiting_for is None):
        raise CommandError(ExitCode.REFUSED, f"NotWaiting: nothing in session {session} waits for an answer")
    if running and running.waiting_for and task in (None, running.task_id):
        task, question = running.task_id, question or running.waiting_for.id
    await here.respond(str(task), a.task_input(value, None, as_json=json_input), question)
    with sent(f"the answer to {task} is sent"):
        after = await here.snapshot()
    refused = refusal("respond", str(task), before, after)
    if refused:
        raise refused
    if as_json:
        output.show_json(after)
    else:
        output.show(f"{task} has the answer")


@verb("pause demo", SESSIONS)
async def pause(session: a.SessionId, *, as_json: a.AsJson = False) -> None:
    """Start no further task until `resume`; tasks are still taken."""
    here = (await connected()).get(session)
    await here.pause()
    with sent(f"the pause of {session} is sent"):
        after = await here.snapshot()
    _show_status(after, as_json=as_json)


@verb("resume demo", SESSIONS)
async def resume(session: a.SessionId, *, as_json: a.AsJson = False) -> None:
    """Start tasks again."""
    here = (await connected()).get(session)
    before = await answer(here.snapshot())
    await here.resume()
    with sent(f"the resume of {session} is sent"):
        after = await here.snapshot()
    refused = refusal("resume", None, before, after)
    if refused:
        raise refused
    _show_status(after, as_json=as_json)


@verb("patch demo --value topic=space --unset name", SESSIONS)
async def patch(
    session: a.SessionId,
    *,
    value: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Set a value, JSON or text. May be repeated.")
    ] = None,
    unset: Annotated[list[str] | None, typer.Option(metavar="KEY", help="Forget a value. May be repeated.")] = None,
    expected: Annotated[
        int | None, typer.Option("--expected-version", metavar="N", help="Refuse if the context is at another version.")
    ] = None,
    as_json: a.AsJson = False,
) -> None:
    """Change what a session remembers."""
    change = {"set": a.values(value), "unset": unset or []}
    here = await _answering(session)
    _show_version(session, await here.patch_context(change, expected), as_json=as_json)


@verb("rollback demo 3", SESSIONS)
async def rollback(
    session: a.SessionId,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="As `context` lists them.", show_default=False)],
    *,
    as_json: a.AsJson = False,
) -> None:
    """Bring back what a session remembered at a version, as a new version."""
    here = await _answering(session)
    _show_version(session, await here.rollback(version), as_json=as_json)


@verb("configure demo task_timeout=600 on_failure=pause", SESSIONS)
async def configure(
    session: a.SessionId,
    settings: Annotated[list[str], typer.Argument(metavar="SETTING=VALUE...", show_default=False)],
    *,
    as_json: a.AsJson = False,
) -> None:
    """Change settings of a session, named as in `show --json`, and show them all."""
    here = await _answering(session)
    config = await here.configure(**a.values(settings))
    if as_json:
        output.show_json(config)
    else:
        output.show(output.Facts(config.model_dump()))


async def _tell_of_all(told: "AsyncIterator[Told]", done: str, *, as_json: bool) -> None:
    """What became of each session: all of it as JSON; for a person the sum, and those that were not `done`."""
    sessions = []
    with output.waiting("looking for sessions") as tell:
        async for each in told:
            sessions.append(each)
            tell(f"{len(sessions)} sessions: the last was {each.session_id}", None)
    if as_json:
        output.show_json({"sessions": [each.model_dump() for each in sessions]})
        return
    cancelled = sum(each.cancelled is not None for each in sessions)
    ended = f", {cancelled} tasks asked to end" if done == "stopped" else ""
    output.show(f"{sum(each.done for each in sessions)} sessions {done}{ended}")
    rest = [(each.session_id, each.why) for each in sessions if not each.done]
    output.show(output.Table(("session", "why not"), rest, "not " + done))


async def _answering(session: str) -> "Session":
    """The session, once a worker has answered for it: an update would wait for a worker without end."""
    here = (await connected()).get(session)
    await answer(here.snapshot())
    return here


async def _cancelled(here: "Session", task: str, reason: str | None, *, as_json: bool) -> None:
    await here.cancel(task, reason)
    with sent(f"the cancel of {task} was sent"):
        record = await here.task(task)
    if record is None:
        raise CommandError(ExitCode.NOT_FOUND, f"session {here.id} has no task {task}")
    if as_json:
        output.show_json(record)
    if record.status == "rejected":
        raise not_completed(record)
    if not as_json:
        doing = "is asked to end" if record.status == "running" else f"is {record.status}"
        output.show(f"{task} {doing}")


def _show_version(session: str, version: int, *, as_json: bool) -> None:
    if as_json:
        output.show_json({"version": version})
    else:
        output.show(f"the context of {session} is at version {version}")


def _show_status(snapshot: Snapshot, *, as_json: bool) -> None:
    if as_json:
        output.show_json(snapshot)
    else:
        output.show(f"{snapshot.session_id} is {snapshot.status}")
