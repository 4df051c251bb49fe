"""Names and ids made to break ids, pages, search attributes, list queries and paths: refused by name, or just names."""

import asyncio
import json
import uuid
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from starter.client.finding import SessionListing
from tests.harness import WAIT, Harness, details_of, run_task, snapshot_when
from tests.pages import HOSTILE as MARKDOWN
from tests.pages import commonmark
from tests.servers import NO_LISTS
from tests.test_cli import Command
from tests.test_cli import run as run  # noqa: PLC0414 (a fixture)
from workflows.contract import SESSION_TYPE, Config, task_workflow_id
from workflows.wire import limits
from workflows.wire.attributes import owner_of, owner_value
from workflows.wire.errors import SessionError

TEXTS = [
    "'",
    '"',
    "\\",
    "\\'",
    "' OR ''='",
    "' OR SessionOwner != '",
    '" OR "" = "',
    "x'; DROP TABLE executions_visibility; --",
    "`backtick`",
    "../../etc/passwd",
    "a/b",
    "?a=b&c#d",
    "%00",
    "%2e%2e%2f",
    "%s %d {0} ${HOME} $(id)",
    "nul \x00 nul",
    "two\nlines\r\nand\ttab",
    "line\u2028and\u2029paragraph",
    "\x1b[31mred\x1b[0m\x7f",
    "\u202eesrever\u202c \u200f\u2066x\u2069",
    "zero\u200bwidth\ufeff",
    "👩\u200d👩\u200d👧 🍌 e\u0301 é",
    " around ",
    "null",
    "-rf",
    "<img src=x onerror=alert(1)>",
    "](javascript:alert(1))",
]
"""What breaks a query, a path, a format, a terminal or a page, where it is not told apart from what it stands in."""

WORST = "".join(text for text in TEXTS if "\x00" not in text)[: limits.NAME_CHARS - 8]
"""Nearly all of it in one name: the system's own arguments cannot have a NUL."""

LONG = ["x" * limits.NAME_CHARS, "🍌" * limits.NAME_CHARS, "'" * limits.NAME_CHARS, "\\" * limits.NAME_CHARS]


def unique(name: str) -> str:
    """That name, but nobody else's, with what is hostile still at both of its ends."""
    own = uuid.uuid4().hex[:8]
    half = (limits.NAME_CHARS - len(own)) // 2
    return name[:half] + own + name[-half:]


NAMES = [*TEXTS, *MARKDOWN, *LONG]
AT_ONCE = 8
"""Sessions that are tried at a time."""


async def tried(harness: Harness, name: str) -> list[str]:
    """A session with that name for everything, in every answer as it was sent; the elements of its page."""
    labels = {name: name} if len(name) < 200 else {}
    session = await harness.open(Config(owner=name, title=name, labels=labels), {name: name})
    record = await run_task(session, name, kind="Show", labels=labels)
    assert (name, "completed", labels) == (record.output["input"], record.status, record.labels)
    assert {name: name} == record.output["context"]["values"] == (await session.context()).values
    config = (await session.snapshot()).config
    assert (name, name, labels) == (config.owner, config.title, config.labels)
    return commonmark(await details_of(harness.temporal, session.id))[0]


@pytest.mark.rare
async def test_a_hostile_name_is_just_a_name_wherever_it_stands(harness: Harness) -> None:
    """Owner, title, labels, input, context key: as they were sent, in every answer, and nothing on the page."""
    some = asyncio.Semaphore(AT_ONCE)

    async def page(name: str) -> list[str]:
        async with some:
            return await tried(harness, name)

    plain, *pages = await asyncio.gather(*map(page, ["harmless", *NAMES]))
    assert [] == [(name, seen) for name, seen in zip(NAMES, pages, strict=True) if seen != plain]


async def found_by(harness: Harness, owner: str) -> list[SessionListing]:
    """What a list of an owner's sessions has, once it has anything: it is written a moment after it happens."""
    async with asyncio.timeout(WAIT):
        while not (found := [listing async for listing in harness.client.list(owner=owner)]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


@pytest.mark.rare
@pytest.mark.not_on_test_server(NO_LISTS)
async def test_a_hostile_owner_finds_and_counts_its_own_sessions_and_no_others(harness: Harness) -> None:
    owners = [unique(name) for name in NAMES]
    opened = {owner: (await harness.open(Config(owner=owner))).id for owner in owners}
    for owner, session_id in opened.items():
        (found,) = await found_by(harness, owner)
        assert session_id == found.session_id
        assert owner_of(owner_value(owner)) == found.owner
        assert 1 == (await harness.client.count(owner=owner))["open"]


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_owners_that_are_too_long_for_their_attribute_are_not_taken_for_each_other(harness: Harness) -> None:
    beginning = uuid.uuid4().hex + '"' * (limits.NAME_CHARS - 40)
    owners = [f"{beginning}{end}" for end in ("ada", "bob")]
    opened = {owner: (await harness.open(Config(owner=owner))).id for owner in owners}
    for owner, session_id in opened.items():
        assert [session_id] == [listing.session_id for listing in await found_by(harness, owner)]


async def test_a_hostile_session_id_is_refused_by_clients_and_by_the_session_itself(harness: Harness) -> None:
    """Whoever starts it past our client finds that the run has failed, by name."""
    for session_id in [*TEXTS, "", ".", "..", ".a", "_a", "a ", "ä", "\u0661", "x" * 129]:
        if session_id == "null":
            continue
        with pytest.raises(SessionError, match=r"^InvalidRequest: "):
            await harness.client.open(session_id)
        with pytest.raises(SessionError, match=r"^InvalidRequest: "):
            harness.client.get(session_id)
    for session_id in (
        "../../etc/passwd",
        "' OR ''='",
        "a%00b",
        "a\nb",
        "\u202ea",
        "🍌",
        "<b>a</b>",
        "\\",
        "nul\x00nul",
    ):
        own = f"{session_id}{uuid.uuid4().hex[:8]}"
        handle = await harness.temporal.start_workflow(SESSION_TYPE, id=own, task_queue=harness.queue)
        with pytest.raises(WorkflowFailureError) as failed:
            await asyncio.wait_for(handle.result(), WAIT)
        assert isinstance(failed.value.cause, ApplicationError)
        assert "InvalidRequest" == failed.value.cause.type


async def test_a_hostile_task_id_is_refused_by_name_whoever_sends_it(harness: Harness) -> None:
    session = await harness.open()
    handle = harness.temporal.get_workflow_handle(session.id)
    ids = [name for name in TEXTS if name != "null"] + ["", ".", "..", "ä", "x" * 129]
    for task_id in ids:
        if task_id:
            with pytest.raises(SessionError, match=r"^InvalidRequest: task_id: "):
                await session.submit(1, task_id=task_id)
        await handle.signal("submit", {"task_id": task_id, "input": 1, "kind": "Show"})
    snapshot = await snapshot_when(session, lambda seen: len(ids) == seen.counters.rejected)
    assert {"InvalidRequest"} == {entry.error.type for entry in snapshot.rejected}
    assert (0, "idle") == (snapshot.counters.submitted, snapshot.status)
    for task_id in ids:
        record = await session.task(task_id)
        assert record is None or "rejected" == record.status
    assert "completed" == (await run_task(session, 1, kind="Show")).status


async def test_ids_that_look_like_something_else_are_ids(harness: Harness) -> None:
    own = uuid.uuid4().hex[:8]
    for name in ("null", "true", "1e5", "0", "a..", "a.-_", "CON", "task.json", "x" * 119):
        session = await harness.client.open(f"{name}-{own}")
        record = await run_task(session, name, kind="Show", task_id=name)
        assert (name, name) == (record.task_id, record.output["input"])
        child = await harness.temporal.get_workflow_handle(task_workflow_id(session.id, name)).describe()
        assert record.run_id == child.run_id


async def test_a_hostile_kind_fails_its_own_task_by_name(harness: Harness) -> None:
    session = await harness.open()
    names = [*TEXTS, "x" * limits.NAME_CHARS, "🍌" * 249]
    sent = [await session.submit(1, kind=name) for name in names]
    ended = [await session.result(task_id, WAIT) for task_id in sent]
    assert [(name, "failed", "UnknownKind") for name in names] == [
        (record.kind, record.status, record.error.type if record.error else None) for record in ended
    ]
    assert "completed" == (await run_task(session, 1, kind="Show")).status


@pytest.mark.parametrize("field", ["kind", "task_queue"])
async def test_a_name_that_the_server_would_not_take_wedges_nothing(harness: Harness, field: str) -> None:
    """Such a command fails its workflow task, again and again; 249 of these, with quotes, are the most it takes."""
    session = await harness.open()
    options: dict[str, Any] = {field: "🍌" * 251}
    with pytest.raises(SessionError, match=rf"^InvalidRequest: {field}: the letters weigh more than 1000 bytes"):
        await session.submit(1, **options)
    body = {"task_id": "long", "input": 1} | options
    await harness.temporal.get_workflow_handle(session.id).signal("submit", body)
    assert "rejected" == (await session.result("long", WAIT)).status
    options = {field: "🍌" * 249, "timeout": 1.0}
    longest = await run_task(session, 1, **options)
    assert longest.status in {"failed", "timed_out"}
    assert "completed" == (await run_task(session, 1, kind="Show")).status


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_the_command_line_takes_the_worst_name_and_prints_it_harmlessly(harness: Harness, run: Command) -> None:
    session_id, owner = f"worst-{uuid.uuid4().hex[:8]}", unique(WORST)
    names = ("--owner", owner, "--title", WORST, "--label", f"k={WORST}", "--default-kind", "Show")
    opened = await run("open", session_id, *names, "--json")
    config = json.loads(opened.out)["config"]
    assert (0, owner, WORST, {"k": WORST}) == (opened.code, config["owner"], config["title"], config["labels"])
    asked = await run("ask", session_id, WORST, "--task-id", "t", "--json")
    assert (0, WORST) == (asked.code, json.loads(asked.out)["output"]["input"])
    await found_by(harness, owner)
    ran = await asyncio.gather(
        *(
            run(*words)
            for words in (
                ("list", "--owner", owner, "--json"),
                ("count", "--owner", owner, "--json"),
                ("result", session_id, "t", "--json"),
                ("list", "--owner", owner),
                ("show", session_id),
                ("show", WORST),
                ("result", session_id, WORST),
            )
        )
    )
    listed, counted, result, *plain = ran
    assert [(session_id, owner_of(owner_value(owner)))] == [
        (s["session_id"], s["owner"]) for s in json.loads(listed.out)["sessions"]
    ]
    assert 1 == json.loads(counted.out)["open"]
    assert WORST == json.loads(result.out)["output"]["input"]
    assert [0, 0, 5] == [ended.code for ended in plain[:3]]
    assert plain[3].code in {5, 6}
    assert 2 == len(plain[0].out.splitlines())
    for ended in plain:
        assert not {"\x1b", "\x7f", "\u202e", "\r"} & set(ended.out + ended.err)
        assert len(ended.err.splitlines()) <= 1
