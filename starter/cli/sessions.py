"""Commands for sessions: open, show, list, count, context, close, delete."""

import builtins
import signal
import sys
from typing import Annotated, Any, Literal, get_args

import typer

from starter.cli import arguments as a
from starter.cli import output, views
from starter.cli.app import SESSIONS, answer, connected, sent, verb
from starter.cli.difference import Difference
from starter.cli.exits import CommandError, ExitCode
from workflows.contract import Config, Snapshot
from workflows.wire.fields import CloseMode, ListedStatus, UncleanEnd
from workflows.wire.progress import Progress

Owner = Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this owner.")]


@verb('open demo --owner ada --title "Space talk" --value name=Ada', SESSIONS)
async def open(  # noqa: A001 (the command's name)
    session: a.SessionId,
    *,
    owner: Annotated[str | None, typer.Option(help="Whom it belongs to.")] = None,
    title: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    labels: a.Labels = None,
    default_kind: Annotated[str | None, typer.Option(help="The kind of tasks that name none.")] = None,
    task_timeout: Annotated[float | None, typer.Option(metavar="SECONDS", help="How long a task may take.")] = None,
    cancel_grace: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long a cancelled task may take to end.")
    ] = None,
    max_pending: Annotated[int | None, typer.Option(metavar="N", help="How many tasks may wait.")] = None,
    idle_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Close the session after so long without a task.")
    ] = None,
    on_failure: Annotated[
        Literal["continue", "pause"] | None, typer.Option(help="What to do when a task fails.")
    ] = None,
    read: a.ReadKeys = None,
    transcript: a.Transcript = None,
    queues: Annotated[
        builtins.list[str] | None,
        typer.Option("--queue", metavar="KIND=QUEUE", help="Where another worker hosts a kind; may be repeated."),
    ] = None,
    compact: Annotated[
        str | None, typer.Option(metavar="KIND", help="Have tasks of this kind sum up old turns, say Summarise.")
    ] = None,
    compact_turns: Annotated[
        int | None, typer.Option(metavar="N", help="With --compact: beyond so many turns.")
    ] = None,
    compact_bytes: Annotated[
        int | None, typer.Option(metavar="N", help="With --compact: beyond turns of so many bytes.")
    ] = None,
    budget: Annotated[
        builtins.list[str] | None,
        typer.Option(
            "--budget", metavar="NAME=NUMBER", help="Pause once its tasks have used so much; may be repeated."
        ),
    ] = None,
    notify: Annotated[
        str | None, typer.Option(metavar="URL", help="Tell this address what happens; its host must be allowed.")
    ] = None,
    notify_on: Annotated[
        str | None, typer.Option(metavar="EVENTS", help="With --notify: which of task,question,budget,close; else all.")
    ] = None,
    values: Annotated[
        builtins.list[str] | None,
        typer.Option("--value", metavar="KEY=VALUE", help="Something it knows from the start; may be repeated."),
    ] = None,
    fork_of: Annotated[
        str | None, typer.Option(metavar="SESSION", help="Begin with what that session remembers, open or closed.")
    ] = None,
    version: Annotated[
        int | None, typer.Option("--fork-version", metavar="N", help="As it was then; `context` lists versions.")
    ] = None,
    as_json: a.AsJson = False,
) -> None:
    """Open a session and show it.

    One that is open already stays as it is.
    """
    source = {"session_id": fork_of, "version": version} if fork_of else None
    asked: dict[str, Any] = {
        "owner": owner,
        "title": title,
        "labels": a.pairs(labels) or None,
        "default_kind": default_kind,
        "task_timeout": task_timeout,
        "cancel_grace": cancel_grace,
        "max_pending": max_pending,
        "idle_timeout": idle_timeout,
        "on_failure": on_failure,
        "read": a.read_policy(read),
        "transcript": transcript,
        "queues": a.pairs(queues) or None,
        "compact": a.compaction(compact, compact_turns, compact_bytes),
        "budget": a.numbers(budget) or None,
        "notify": a.notification(notify, notify_on),
    }
    config = {name: value for name, value in asked.items() if value is not None}
    client = await connected()
    with sent(f"session {session} is open"):
        here = await client.open(session, config, a.pairs(values), source)
        snapshot = await here.snapshot()
    wanted = Config.model_validate(config)
    if any(getattr(snapshot.config, name) != getattr(wanted, name) for name in config):
        output.note("it was open before, with other settings; they stay")
    _print(snapshot, as_json=as_json)


@verb("show demo", SESSIONS)
async def show(session: a.SessionId, *, as_json: a.AsJson = False) -> None:
    """Show how a session stands.

    What runs and how far it is, what waits, what came last, what was refused.
    """
    from starter.client.watching import task_progress  # noqa: PLC0415 (imports temporalio, which takes 0.2 s)

    here = (await connected()).get(session)
    snapshot = await answer(here.snapshot())
    running = None if as_json else snapshot.running
    _print(snapshot, await task_progress(here, running.task_id) if running else None, as_json=as_json)
    if snapshot.status in get_args(UncleanEnd) and not as_json:
        output.show("it was not closed: this is how it stood when it ended; a task that ran then goes on without it")
    queue = await here.unserved_queue(running.task_id) if running else None
    if queue:
        output.show(f"no worker polls {queue!r}, the task queue of the running task")


@verb("list --status waiting --owner ada --limit 20", SESSIONS)
async def list(  # noqa: A001 (the command's name)
    *,
    status: Annotated[ListedStatus | None, typer.Option(help="Only those that stand so.")] = None,
    owner: Owner = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many at most.")] = 100,
    page: Annotated[str | None, typer.Option(metavar="PAGE", help="Go on where the list before this ended.")] = None,
    as_json: a.AsJson = False,
) -> None:
    """List sessions.

    First those that go on, the newest at the top, then those that ended.
    """
    found = await (await connected()).page(limit, status=status, owner=owner, page=page)
    if as_json:
        output.show_json(found)
        return
    output.show(views.sessions(found.sessions))
    if found.next_page:
        output.note(f"there may be more: --page {found.next_page}")


@verb("count --owner ada", SESSIONS)
async def count(*, owner: Owner = None, as_json: a.AsJson = False) -> None:
    """Count sessions by status."""
    counts = await (await connected()).count(owner=owner)
    if as_json:
        output.show_json(counts)
    else:
        output.show(output.Table(("status", "sessions"), [row for row in counts.items() if row[1]]))


@verb("context demo --diff 3 7", SESSIONS)
async def context(
    session: a.SessionId,
    *,
    version: Annotated[int | None, typer.Option(metavar="N", help="As it was then; the log lists versions.")] = None,
    diff: Annotated[
        tuple[int, int] | None, typer.Option(metavar="OLD NEW", help="What two versions differ in, and who changed it.")
    ] = None,
    as_json: a.AsJson = False,
) -> None:
    """Show what a session remembers.

    Values, earlier turns, and which task changed what.
    """
    if diff and version is not None:
        raise typer.BadParameter("--diff already names two versions; leave out --version")
    here = (await connected()).get(session)
    if diff:
        old, new = [await answer(here.context(number)) for number in diff]
        found = Difference.between(old, new)
        output.show_json(found) if as_json else output.show(*views.difference(found))
        return
    view = await answer(here.context(version))
    if as_json:
        output.show_json(view)
    else:
        output.show(*views.context(view))


@verb("close demo", SESSIONS)
async def close(
    session: a.SessionId,
    *,
    mode: Annotated[
        CloseMode,
        typer.Option(help="drain: finish all tasks; discard: only the running one; now: cancel that one too."),
    ] = "drain",
    reason: Annotated[str | None, typer.Option(help="Kept with the tasks that it ends.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until it is closed.")] = True,
    as_json: a.AsJson = False,
) -> None:
    """Close a session.

    What it did stays readable; its name cannot be used again.
    """
    here = (await connected()).get(session)
    await here.close(mode, reason)
    with sent(f"session {session} was asked to close"):
        snapshot = await here.snapshot()
    if wait and snapshot.status != "closed":
        with output.waiting(f"waiting for {session} to close"):
            snapshot = await here.finished()
    if as_json:
        output.show_json(snapshot)
    else:
        output.show(f"{session} is {snapshot.status}; tasks: {views.counted(snapshot.counters)}")


@verb("delete demo --yes", SESSIONS)
async def delete(
    session: a.SessionId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")] = False,
    as_json: a.AsJson = False,
) -> None:
    """Erase a session for good, whatever it is doing.

    Its executions, its tasks' and its schedules, with all that they were given and said, leave the server. Its name is
    free again.
    """
    from starter.client.erasure import Erasure  # noqa: PLC0415 (imports temporalio)

    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise typer.BadParameter("there is no terminal to ask on; give --yes")
    erasure = Erasure((await connected()).temporal, session)
    found = await erasure.found()
    if not yes and not _confirmed(f"Remove {views.kinds(found.removed, found.schedules)} for good?"):
        raise CommandError(ExitCode.INTERRUPTED, f"{session} stays as it is")
    with output.waiting(f"erasing {session}") as tell:
        erased = await erasure.run(
            lambda removed, left: tell(f"erasing {session}: {removed} removed, {left} left", None)
        )
    if as_json:
        output.show_json(erased)
    else:
        files = f", {erased.files} files" if erased.files else ""
        output.show(f"{session} is erased: {views.kinds(erased.removed, erased.schedules)}{files}")


def _confirmed(question: str) -> bool:
    """What a person says to `question` on the terminal; Ctrl-C means no."""
    # The handler that asyncio has set would leave the prompt waiting for Enter.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False
    finally:
        signal.signal(signal.SIGINT, handler)


def _print(snapshot: Snapshot, progress: Progress | None = None, *, as_json: bool) -> None:
    if as_json:
        output.show_json(snapshot)
    else:
        output.show(*views.session(snapshot, progress))
