"""`schedule` of the command line, run in this process against a real server."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from typer.testing import CliRunner

from starter.cli import schedules
from starter.cli.exits import command_error
from starter.cli.main import app
from starter.client import SessionClient
from tests.conformance.caller import until
from tests.harness import WAIT, Harness

pytestmark = pytest.mark.not_on_test_server("it has no schedules (UNIMPLEMENTED)")

Command = Callable[..., Awaitable[tuple[int, str]]]
NEWS = ("0 9 * * MON-FRI", "What is new?", "--name", "news", "--time-zone", "Europe/Berlin")


@pytest.fixture
def run(elsewhere: Harness, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `schedule` with these words; its exit code, and what it printed or failed of."""

    async def connected() -> SessionClient:
        return elsewhere.client

    async def command(*words: str) -> tuple[int, str]:
        ran = await asyncio.to_thread(CliRunner().invoke, app, ["schedule", *words])
        if isinstance(ran.exception, Exception):
            error = command_error(ran.exception)
            return error.code, error.message
        return ran.exit_code, ran.output

    monkeypatch.setattr(schedules, "connected", connected)
    return command


async def test_a_schedule_is_added_listed_paused_resumed_triggered_and_deleted(
    run: Command, elsewhere: Harness
) -> None:
    session = await elsewhere.open()
    for _ in range(2):
        code, out = await run("add", session.id, *NEWS, "--kind", "Show", "--label", "a=b", "--priority", "1")
        assert (0, True) == (code, "cron: 0 9 * * MON-FRI\ntime zone: Europe/Berlin\nnext: 20" in out)
    view = await session.scheduled("news").shown()
    assert {"input": "What is new?", "kind": "Show", "labels": {"a": "b"}, "priority": 1} == view.request
    await until(session.schedules, lambda found: len(found) == 1)
    header, row = (await run("list", session.id))[1].splitlines()
    assert "schedule\tstatus\tcron\ttime_zone\tnext\tlast\tinput" == header
    assert ["news", "", "0 9 * * MON-FRI", "Europe/Berlin"] == row.split("\t")[:4]
    assert f"{view.next_times[0]:%Y-%m-%dT%H:%M:%SZ}" == row.split("\t")[4]
    assert "status: paused\nnote: holidays\n" in (await run("pause", session.id, "news", "--note", "holidays"))[1]
    [listed] = json.loads((await run("list", session.id, "--json"))[1])["schedules"]
    assert (True, "holidays", view.request) == (listed["paused"], listed["note"], listed["request"])
    assert listed["next_times"][0].endswith("00Z")
    assert False is json.loads((await run("resume", session.id, "news", "--json"))[1])["paused"]
    code, task_id = await run("trigger", session.id, "news")
    assert (0, "news-20") == (code, task_id[:7])
    async with elsewhere.worker():
        await until(lambda: session.task(task_id.strip()), lambda record: record is not None)
        assert "completed" == (await session.result(task_id.strip(), WAIT)).status
        await until(lambda: run("list", session.id), lambda ran: f"\t{task_id.strip()} submitted\t" in ran[1])
    assert (0, f"schedule news of {session.id} is deleted\n") == await run("delete", session.id, "news")


async def test_a_schedule_may_open_its_session_with_settings(run: Command, elsewhere: Harness) -> None:
    name = f"new-{elsewhere.queue}"
    settings = ("--setting", "owner=ada", "--setting", "task_timeout=600")
    assert 2 == (await run("add", name, *NEWS, *settings))[0]
    code, out = await run("add", name, *NEWS, "--open", *settings, "--json")
    assert (0, {"owner": "ada", "task_timeout": 600}) == (code, json.loads(out)["open"])
    await elsewhere.client.get(name).scheduled("news").delete()


async def test_what_cannot_be_done_has_a_name_and_an_exit_code(run: Command, elsewhere: Harness) -> None:
    session = await elsewhere.open()
    await run("add", session.id, *NEWS)
    for code, error, words in (
        (5, "InvalidRequest: cron: ", ("add", session.id, "nonsense", "x")),
        (5, "InvalidRequest: time_zone: ", ("add", session.id, "@daily", "x", "--time-zone", "Mars/Base")),
        (5, "ScheduleConflict: ", ("add", session.id, "@daily", "x", "--name", "news")),
        (6, "UnknownSchedule: ", ("pause", session.id, "never")),
        (6, "UnknownSchedule: ", ("delete", session.id, "never")),
        (6, "SessionNotFound: ", ("add", "nowhere", *NEWS)),
    ):
        ran = await run(*words)
        assert (code, error) == (ran[0], ran[1][: len(error)])
    await session.scheduled("news").delete()
