"""`context --diff`: what two versions of a session's context differ in, for people and for programs."""

import json
from typing import Any

import pytest

from starter.cli.difference import Changed, Difference
from starter.cli.views import apart
from starter.dev_server import DevServer
from tests.command_lines import Ran
from tests.harness import Harness, run_task
from tests.samples import NOW, accepted
from tests.test_cli import _run, on_terminal
from workflows.contract import ContextPatch
from workflows.state.context import SessionContext

VALUES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"k": 1}, {"k": 1}, {}),
    ({}, {"k": None}, {"added": {"k": None}}),
    ({"k": None}, {}, {"removed": {"k": None}}),
    ({"k": 1}, {"k": True}, {"changed": {"k": Changed(old=1, new=True)}}),
    ({"k": [1]}, {"k": [1, 2, 3]}, {"appended": {"k": [2, 3]}}),
    ({"k": [1, 2]}, {"k": [1]}, {"changed": {"k": Changed(old=[1, 2], new=[1])}}),
    ({"k": [1]}, {"k": [True, 2]}, {"changed": {"k": Changed(old=[1], new=[True, 2])}}),
]
"""Values before, values after, what differs."""


@pytest.mark.parametrize(("before", "after", "found"), VALUES)
def test_values_are_told_apart_by_what_became_of_them(
    before: dict[str, Any], after: dict[str, Any], found: dict[str, Any]
) -> None:
    context = SessionContext.initial(before)
    context.patch(ContextPatch(unset=list(before), set=after), None, NOW)
    log = context.view().log
    assert Difference(old=0, new=1, log=log, **found) == Difference.between(context.view(0), context.view(1))


def test_turns_and_log_are_those_between_the_two_versions_in_either_direction() -> None:
    context = SessionContext.initial({})
    for number in range(4):
        context.complete(ContextPatch(), accepted(f"t{number}"), "out", NOW)
    context.rollback(2, NOW)
    for old, new, added, removed, log in (
        (1, 3, ["t1", "t2"], [], [2, 3]),
        (3, 1, [], ["t1", "t2"], [2, 3]),
        (4, 5, [], ["t2", "t3"], [5]),
        (2, 5, [], [], [3, 4, 5]),
    ):
        found = Difference.between(context.view(old), context.view(new))
        assert (added, removed) == (
            [turn.task_id for turn in found.turns_added],
            [turn.task_id for turn in found.turns_removed],
        )
        assert log == [entry.version for entry in found.log]


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("soup", "tea", ("soup", "tea")),
        ("same" * 5 + "soup", "same" * 5 + "tea", ("same" * 5 + "soup", "same" * 5 + "tea")),
        ("x" * 99 + "soup", "x" * 99 + "tea", ("…" + "x" * 30 + "soup", "…" + "x" * 30 + "tea")),
        ("x" * 99, "x" * 100, ("…" + "x" * 30, "…" + "x" * 31)),
    ],
)
def test_of_long_texts_the_place_where_they_differ_is_shown(one: str, other: str, shown: tuple[str, str]) -> None:
    assert shown == apart(one, other)


async def test_two_versions_are_compared_for_people_and_programs(harness: Harness, server: DevServer) -> None:
    session = await harness.open(context={"name": "Ada", "topic": "space", "dishes": ["soup"], "text": "x" * 900})
    patch = {"set": {"topic": "sea", "text": "x" * 899 + "y"}, "unset": ["name"], "append": {"dishes": ["tea"]}}
    await run_task(session, patch, kind="Remember", task_id="remembers")
    await session.patch_context({"set": {"count": 5}})

    async def run(*words: str) -> Ran:
        environment = {"TEMPORAL_ADDRESS": server.address, "SESSIONS_TASK_QUEUE": harness.queue}
        return await _run("context", session.id, *words, **environment)

    lines = (await run("--diff", "0", "2")).out.splitlines()
    assert "from version 0 to version 2" == lines[0]
    assert 'added\tcount\t\t5\nremoved\tname\t"Ada"\t\n' in "\n".join(lines)
    assert f'changed\ttext\t…{"x" * 30}x"\t…{"x" * 30}y"' in lines
    assert 'changed\ttopic\t"space"\t"sea"' in lines
    assert 'appended\tdishes\t\t"tea"' in lines
    assert ["added", "1"] == next(line for line in lines if line.endswith("\tremembers\t")).split("\t")[:2]
    assert ["1\tremembers", "2\texternal"] == ["\t".join(line.split("\t")[:2]) for line in lines[-2:]]
    found = json.loads((await run("--diff", "0", "2", "--json")).out)
    assert ({"count": 5}, {"name": "Ada"}, {"dishes": ["tea"]}) == (found["added"], found["removed"], found["appended"])
    assert {"old": "space", "new": "sea"} == found["changed"]["topic"]
    assert (["remembers"], []) == ([turn["task_id"] for turn in found["turns_added"]], found["turns_removed"])
    assert "they are the same" in (await run("--diff", "1", "1")).out
    unknown = await run("--diff", "1", "9")
    assert (5, "error: UnknownVersion: version 9 cannot be read; the newest is 2\n") == (unknown.code, unknown.err)
    assert 2 == (await run("--diff", "0", "1", "--version", "1")).code
    async with on_terminal(server, harness, "context", session.id, "--diff", "1", "2") as terminal:
        await terminal.shows("\x1b[32madded")
        assert 0 == await terminal.ended()
