"""`schedule`: tasks at set times."""

import builtins
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from starter.cli import arguments as a
from starter.cli import output
from starter.cli.app import SESSIONS, app, connected, verb
from workflows.wire.fields import OnBusy

if TYPE_CHECKING:
    from starter.client.schedules import ScheduledTime, ScheduleView

Name = Annotated[str, typer.Argument(metavar="SCHEDULE", help="As `schedule list` names it.", show_default=False)]
Note = Annotated[str | None, typer.Option(help="Why, for who looks at it later.")]

group = typer.Typer(no_args_is_help=True, help="Submit tasks at set times: add, list, pause, resume, trigger, delete.")
app.add_typer(group, name="schedule", rich_help_panel=SESSIONS)


@verb('schedule add demo "0 9 * * MON-FRI" "What is new?" --time-zone Europe/Berlin', SESSIONS, group)
async def add(
    session: a.SessionId,
    cron: Annotated[str, typer.Argument(metavar="CRON", help="`0 9 * * MON-FRI`, `@daily`, `@every 90m`.")],
    text: Annotated[
        str | None,
        typer.Argument(metavar="INPUT", help="The task's input; stdin when left out, or `-`.", show_default=False),
    ] = None,
    *,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What it is called; made up from what it does.")
    ] = None,
    time_zone: Annotated[str, typer.Option(metavar="ZONE", help="In which the hours are, like Europe/Berlin.")] = "UTC",
    overlap: Annotated[
        Literal["skip", "buffer_one", "buffer_all", "allow_all"],
        typer.Option(help="What to do at a time while an earlier one is not submitted yet."),
    ] = "skip",
    catch_up: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How late a time may still start; a day.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the session where there is none then.")] = False,
    settings: Annotated[
        builtins.list[str] | None,
        typer.Option("--setting", metavar="SETTING=VALUE", help="Of the session that --open opens; may be repeated."),
    ] = None,
    json_input: Annotated[bool, typer.Option("--json-input", help="The input is JSON, not text.")] = False,
    kind: Annotated[str | None, typer.Option(help="The kind of task; the session has a default.")] = None,
    isolated: a.Isolated = False,
    read: a.ReadKeys = None,
    transcript: a.Transcript = None,
    on_busy: Annotated[OnBusy | None, typer.Option(help="What to do when other tasks run or wait.")] = None,
    task_timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="How long the task may take.")
    ] = None,
    priority: a.Priority = None,
    labels: a.Labels = None,
    as_json: a.AsJson = False,
) -> None:
    """Submit a task at each of the times that a cron expression names.

    The same again changes nothing. docs/schedules.md says what happens to times that pass while nothing runs.
    """
    if settings and not open_it:
        raise typer.BadParameter("--setting is for the session that --open opens")
    options: dict[str, Any] = {
        "time_zone": time_zone,
        "overlap": overlap,
        "kind": kind,
        "context": a.policy(read, transcript, isolated=isolated),
        "on_busy": on_busy,
        "timeout": task_timeout,
        "priority": priority,
        "labels": a.pairs(labels),
    }
    options |= {} if catch_up is None else {"catch_up": catch_up}
    body = a.task_input(text, None, as_json=json_input)
    here = (await connected()).get(session)
    added = await here.schedule(cron, body, name=name, open=a.values(settings) if open_it else None, **options)
    _print(await added.shown(), as_json=as_json)


@verb("schedule list demo", SESSIONS, group)
async def list(session: a.SessionId, *, as_json: a.AsJson = False) -> None:  # noqa: A001 (the command's name)
    """Show the schedules of a session, what comes next of each, and what became of its last time."""
    found = await (await connected()).get(session).schedules()
    if as_json:
        output.show_json({"schedules": found})
        return
    columns = ("schedule", "status", "cron", "time_zone", "next", "last", "input")
    rows = [
        (
            view.schedule,
            "paused" if view.paused else "",
            view.cron,
            view.time_zone,
            "".join(_next(view, 1)),
            _last(view.last),
            output.readable(view.request.get("input")),
        )
        for view in found
    ]
    output.show(output.Table(columns, rows, cut=True))


@verb("schedule pause demo news --note holidays", SESSIONS, group)
async def pause(session: a.SessionId, name: Name, *, note: Note = None, as_json: a.AsJson = False) -> None:
    """Let the times of a schedule pass until `schedule resume`."""
    found = (await connected()).get(session).scheduled(name)
    await found.pause(note)
    _print(await found.shown(), as_json=as_json)


@verb("schedule resume demo news", SESSIONS, group)
async def resume(session: a.SessionId, name: Name, *, note: Note = None, as_json: a.AsJson = False) -> None:
    """Go on with the next time of a schedule."""
    found = (await connected()).get(session).scheduled(name)
    await found.resume(note)
    _print(await found.shown(), as_json=as_json)


@verb("schedule trigger demo news", SESSIONS, group)
async def trigger(session: a.SessionId, name: Name, *, as_json: a.AsJson = False) -> None:
    """Submit the task of a schedule now, paused or not, and print the task's id."""
    task_id = await (await connected()).get(session).scheduled(name).trigger()
    if as_json:
        output.show_json({"task_id": task_id})
    else:
        output.show(task_id)


@verb("schedule delete demo news", SESSIONS, group)
async def delete(session: a.SessionId, name: Name, *, as_json: a.AsJson = False) -> None:
    """End a schedule; tasks that it has submitted stay."""
    await (await connected()).get(session).scheduled(name).delete()
    if as_json:
        output.show_json({"session_id": session, "schedule": name})
    else:
        output.show(f"schedule {name} of {session} is deleted")


def _next(view: "ScheduleView", count: int) -> builtins.list[str]:
    """The next times; one that is paused has none."""
    return [] if view.paused else [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in view.next_times[:count]]


def _last(last: "ScheduledTime | None") -> str:
    if last is None:
        return ""
    why = f": {last.error.type}: {last.error.message}" if last.error else ""
    return f"{last.task_id} {last.status}{why}"


def _print(view: "ScheduleView", *, as_json: bool) -> None:
    if as_json:
        output.show_json(view)
        return
    facts = {
        "schedule": view.schedule,
        "session": view.session_id,
        "status": "paused" if view.paused else None,
        "note": view.note,
        "cron": view.cron,
        "time zone": view.time_zone,
        "next": ", ".join(_next(view, 3)),
        "last": _last(view.last),
        "overlap": view.overlap,
        "catch up": f"{view.catch_up:g} s",
        "times": f"{view.started} started, {view.skipped} skipped, {view.missed} missed",
        "opens the session": "yes" if view.open is not None else None,
        "input": output.readable(view.request.get("input")),
    }
    output.show(output.Facts(facts))
