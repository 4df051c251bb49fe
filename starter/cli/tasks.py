"""Commands for tasks: ask, submit, result, tasks, task."""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starter.cli import arguments as a
from starter.cli import output, views
from starter.cli.app import TASKS, answer, connected, sent, verb
from starter.cli.exits import CommandError, ExitCode, not_completed, refusal
from starter.program import COMMAND
from workflows.contract import TaskRecord
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import OnBusy
from workflows.wire.files import file_of, is_text, references_in
from workflows.wire.markdown import words_of
from workflows.wire.progress import Progress

if TYPE_CHECKING:
    from starter.client import Session


@verb('ask demo "What colour is a banana?"', TASKS)
async def ask(
    session: a.SessionId,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask.", show_default=False)],
    *,
    files: a.Files = None,
    wait: a.Wait = None,
    task_id: a.OwnTaskId = None,
    isolated: a.Isolated = False,
    priority: a.Priority = None,
    stream: a.Stream = True,
    as_json: a.AsJson = False,
) -> None:
    """Ask a question and print the answer.

    Opens the session if there is none of that name yet.
    """
    here = await (await connected()).open(session)
    drawn = stream and sys.stdout.isatty() and not as_json
    options: dict[str, Any] = {"context": a.policy(None, None, isolated=isolated), "priority": priority}
    if drawn and task_id is None:  # under an id of its own the task stays the same, whoever asks where
        options["stream"] = True
    record = await _submitted(here, await _with_files(here, question, files or []), task_id, options)
    if record.status != "rejected":
        record = await _ended(here, record.task_id, wait, drawn=drawn)
    _report(record, as_json=as_json, drawn=drawn)


@verb('submit demo "How big is the sun?" --label topic=space', TASKS)
async def submit(
    session: a.SessionId,
    text: Annotated[
        str | None,
        typer.Argument(metavar="INPUT", help="The task's input; stdin when left out, or `-`.", show_default=False),
    ] = None,
    *,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            metavar="PATH",
            exists=True,
            dir_okay=False,
            readable=True,
            help="Without INPUT: read the input from it. With INPUT: send the file along; may be repeated.",
        ),
    ] = None,
    json_input: Annotated[bool, typer.Option("--json-input", help="The input is JSON, not text.")] = False,
    kind: Annotated[str | None, typer.Option(help="The kind of task; the session has a default.")] = None,
    task_id: a.OwnTaskId = None,
    isolated: a.Isolated = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Leave nothing in the session.")] = False,
    read: a.ReadKeys = None,
    transcript: a.Transcript = None,
    on_busy: Annotated[OnBusy | None, typer.Option(help="What to do when other tasks run or wait.")] = None,
    not_before: Annotated[
        str | None, typer.Option(metavar="TIME", help="2026-11-23T09:00:00Z, or from now: +90s, +5m, +2h, +1d.")
    ] = None,
    expires_at: Annotated[str | None, typer.Option(metavar="TIME", help="Drop it if it still waits by then.")] = None,
    task_timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="How long the task may take.")
    ] = None,
    task_queue: Annotated[str | None, typer.Option(help="Of another worker, which hosts the kind.")] = None,
    priority: a.Priority = None,
    labels: a.Labels = None,
    as_json: a.AsJson = False,
) -> None:
    """Hand in a task and print its id, without waiting for its end.

    The session must be open; `open` and `ask` open one.
    """
    options = {
        "kind": kind,
        "context": a.policy(read, transcript, isolated=isolated, read_only=read_only),
        "on_busy": on_busy,
        "not_before": a.moment(not_before),
        "expires_at": a.moment(expires_at),
        "timeout": task_timeout,
        "task_queue": task_queue,
        "priority": priority,
        "labels": a.pairs(labels),
    }
    alone = files[0] if files and text is None and len(files) == 1 else None
    body = a.task_input(text, alone, as_json=json_input)
    here = (await connected()).get(session)
    record = await _submitted(here, await _with_files(here, body, [] if alone else files or []), task_id, options)
    if as_json:
        output.show_json(record)
    if record.status == "rejected":
        raise not_completed(record)
    if not as_json:
        output.show(record.task_id)
        ahead = f", {record.position} ahead of it" if record.position else ""
        output.note(f"{record.status}{ahead}; {_waits(session, record.task_id)}")


@verb("result demo task-0123456789abcdef --wait 60", TASKS)
async def result(
    session: a.SessionId,
    task: a.TaskId,
    *,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", file_okay=False, help="Save the files of the output into a folder.")
    ] = None,
    wait: a.Wait = None,
    as_json: a.AsJson = False,
) -> None:
    """Wait until a task has ended and print its output."""
    here = (await connected()).get(session)
    record = await _ended(here, task, wait)
    if save is not None and record.status == "completed":
        await _save(here, record.output, save)
    _report(record, as_json=as_json)


@verb("task demo task-0123456789abcdef", TASKS)
async def task(session: a.SessionId, task: a.TaskId, *, as_json: a.AsJson = False) -> None:
    """Show all that is known of a task as it stands."""
    here = (await connected()).get(session)
    record = await answer(_known(here, task))
    if as_json:
        output.show_json(record)
    else:
        output.show(*views.task(record))


@verb("tasks demo", TASKS)
async def tasks(session: a.SessionId, *, as_json: a.AsJson = False) -> None:
    """List the tasks of a session.

    First the latest finished ones, then the running one, then those that wait.
    """
    here = (await connected()).get(session)
    snapshot = await answer(here.snapshot())
    if as_json:
        output.show_json({"running": snapshot.running, "pending": snapshot.pending, "recent": snapshot.recent})
    else:
        output.show(views.tasks(snapshot))


async def _with_files(session: "Session", body: Any, files: list[Path]) -> Any:
    """An input with the references of these files, which are stored first."""
    if not files:
        return body
    if not isinstance(body, str | dict):
        raise typer.BadParameter('--file goes with a text, or with an object, which gets a field "files"')
    with output.waiting("storing files"):
        references = [await session.put(path) for path in files]
    return ({"text": body} if isinstance(body, str) else body) | {"files": references}


async def _save(session: "Session", value: Any, folder: Path) -> None:
    """Save each file that an output refers to, under its name; nothing that is there is overwritten."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    for reference in references_in(value):
        file = file_of(reference, session.id)
        name = Path(file.name or f"{file.sha256[:16]}{'.txt' if is_text(file.media_type) else ''}")
        to, number = folder / name, 1
        while await asyncio.to_thread(lambda to=to: to.exists() or to.is_symlink()):  # type: ignore[misc]
            number += 1
            to = folder / f"{name.stem}-{number}{name.suffix}"
        with output.waiting(f"saving {to.name}"):
            await session.get(reference, to=to)
        output.note(f"saved {to}")


async def _submitted(session: "Session", body: Any, task_id: str | None, options: dict[str, Any]) -> TaskRecord:
    """Send a task and look once what became of it: its record, which may say that it was refused.

    Raises SessionError (TaskIdConflict) where the record is that of another task under the same id.
    """
    if task_id is None:
        task_id = await session.submit(body, **options)
        with sent(f"task {task_id} is sent"):
            return await _known(session, task_id)
    before = await answer(session.snapshot())
    await session.submit(body, task_id=task_id, **options)
    with sent(f"task {task_id} is sent"):
        refused = refusal("submit", task_id, before, await session.snapshot())
        if refused and refused.type == ErrorType.TASK_ID_CONFLICT:
            raise refused
        return await _known(session, task_id)


async def _ended(session: "Session", task_id: str, wait: float | None, *, drawn: bool = False) -> TaskRecord:
    """The final record of a task. A worker that is away is waited for, unless it was away from the start.

    `drawn`: what it says is drawn on the terminal meanwhile.
    """
    try:
        async with asyncio.timeout(wait):
            if drawn:
                await _known(session, task_id)
                return await _drawn(session, task_id)
            with output.waiting(f"waiting for {task_id}") as tell:
                await _known(session, task_id)
                telling = asyncio.create_task(_tell_progress(session, task_id, tell))
                try:
                    return await session.result(task_id)
                finally:
                    telling.cancel()
    except TimeoutError:
        message = f"task {task_id} has not ended within {wait:g} s; {_waits(session.id, task_id)}"
        raise CommandError(ExitCode.STILL_WAITING, message) from None
    except asyncio.CancelledError:
        output.note(f"the task goes on; {_waits(session.id, task_id)}")
        raise


async def _drawn(session: "Session", task_id: str) -> TaskRecord:
    """Draw what a task says, until it has ended."""
    text, progress = "", None
    with output.writing(f"waiting for {task_id}") as tell:
        async for event in session.stream(task_id):
            if event.record is not None and event.type == "ended":
                return event.record
            text = "" if event.type == "restarted" else text + (event.text or "")
            progress = Progress.model_validate(event.data) if event.type == "progress" else progress
            tell(text, views.bar(progress))
    raise AssertionError("a stream ends with the task's record")


async def _tell_progress(session: "Session", task_id: str, tell: Callable[[str, output.Bar | None], None]) -> None:
    """Tell how far a task is, again and again, where somebody can see it."""
    from temporalio.service import RPCError  # noqa: PLC0415 (imports temporalio, which takes 0.2 s)

    from starter.client.watching import LOOK_SECONDS, task_progress  # noqa: PLC0415 (the same)

    while sys.stderr.isatty():
        await asyncio.sleep(LOOK_SECONDS)
        with contextlib.suppress(RPCError):  # who waits for the task learns of a server that is away
            tell(f"waiting for {task_id}", views.bar(await task_progress(session, task_id)))


async def _known(session: "Session", task_id: str) -> TaskRecord:
    record = await session.task(task_id)
    if record is None:
        raise SessionError(ErrorType.UNKNOWN_TASK, f"session {session.id!r} has no task {task_id!r}")
    return record


def _report(record: TaskRecord, *, as_json: bool, drawn: bool = False) -> None:
    """Print a task's output; end the command as failed where it did not complete."""
    if as_json:
        output.show_json(record)
    elif record.status == "completed":
        text = output.readable(record.output)
        output.show(output.Prose(text) if drawn and words_of(record.output) is not None else text)
        if record.finish_reason:
            output.warn(f"task {record.task_id} {views.unlike_whole(record.finish_reason)}")
    if record.status != "completed":
        raise not_completed(record)


def _waits(session_id: str, task_id: str) -> str:
    return f"`{COMMAND} result {session_id} {task_id}` waits for it"
