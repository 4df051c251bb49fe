"""The context from outside: read at any version, patched, rolled back, and carried into another session."""

import asyncio
from typing import Any

import pytest

from tests.conformance.caller import Caller, Json, Session, failed, query_refused, refused

VALUES = {"tea": 1, "milk": [2]}


async def test_a_new_session_begins_with_the_values_it_was_given_at_version_0(caller: Caller) -> None:
    session = await caller.start({"context": VALUES})
    assert {"version": 0, "values": VALUES, "transcript": [], "log": []}.items() <= (await session.context()).items()


async def test_a_patch_from_outside_makes_a_version_and_no_turn(caller: Caller) -> None:
    session = await caller.start({"context": VALUES})
    assert {"version": 1} == await session.update("patch_context", {"patch": {"set": {"tea": 2}}})
    assert {"version": 2} == await session.update("patch_context", {"patch": {"append": {"milk": [3]}}})
    context = await session.context()
    assert ({"tea": 2, "milk": [2, 3]}, []) == (context["values"], context["transcript"])
    entries = [(entry["version"], entry["by"], entry["changed"]) for entry in context["log"]]
    assert [(1, "external", ["tea"]), (2, "external", ["milk"])] == entries


async def test_the_log_names_the_task_of_each_version(caller: Caller) -> None:
    session = await caller.start()
    await session.run("Return", {"output": 1, "patch": {"set": {"tea": 1}}}, task_id="brewer")
    await session.run("Echo", task_id="idler")
    await session.update("rollback_context", {"version": 0})
    log = (await session.context())["log"]
    assert [("brewer", ["tea"]), ("idler", [])] == [(entry["by"], entry["changed"]) for entry in log[:2]]
    assert (3, "rollback", ["tea"]) == (log[2]["version"], log[2]["by"], log[2]["changed"])
    assert log[2]["at"].endswith("Z")


async def test_every_version_stays_readable(caller: Caller) -> None:
    session = await caller.start({"context": VALUES})
    for number in range(1, 4):
        await session.run("Return", {"output": number, "patch": {"set": {f"key {number}": number}}})
    for version in range(4):
        context = await session.context(version)
        expected = VALUES | {f"key {number}": number for number in range(1, version + 1)}
        assert (version, expected, version) == (context["version"], context["values"], len(context["transcript"]))


async def test_a_version_that_never_was_is_unknown(caller: Caller) -> None:
    session = await caller.start()
    for version in (1, -1, 10**30):
        assert "UnknownVersion" == await query_refused(session.query("context", version))
        assert "UnknownVersion" == await refused(session.update("rollback_context", {"version": version}))


async def test_rollback_makes_a_new_version_with_the_values_and_the_transcript_of_the_old(caller: Caller) -> None:
    session = await caller.start({"context": VALUES})
    for number in range(1, 4):
        await session.run("Return", {"output": number, "patch": {"set": {"tea": f"cup {number}"}}})
    old, newest = await session.context(1), await session.context()
    assert {"version": 4} == await session.update("rollback_context", {"version": 1})
    now = await session.context()
    assert (4, old["values"], old["transcript"]) == (now["version"], now["values"], now["transcript"])
    shown = (await session.run("Show"))["output"]["context"]
    assert (old["values"], 1) == (shown["values"], len(shown["transcript"]))
    assert {"version": 6} == await session.update("rollback_context", {"version": 3})
    back = await session.context()
    assert (newest["values"], newest["transcript"]) == (back["values"], back["transcript"])


async def test_a_patch_for_another_version_than_the_present_one_is_refused_as_a_conflict(caller: Caller) -> None:
    session = await caller.start({"context": VALUES})
    patch = {"patch": {"set": {"tea": 2}}, "expected_version": 0}
    assert {"version": 1} == await session.update("patch_context", patch)
    assert "ContextConflict" == await refused(session.update("patch_context", patch))
    assert 1 == (await session.context())["version"]


async def test_of_many_patches_that_expect_one_version_exactly_one_is_applied(caller: Caller) -> None:
    session = await caller.start()

    async def attempt(number: int) -> Any:
        patch = {"patch": {"set": {"winner": number}}, "expected_version": 0}
        try:
            return await session.update("patch_context", patch)
        except Exception:  # noqa: BLE001 (whichever way it is refused)
            return None

    answers = await asyncio.gather(*map(attempt, range(8)))
    assert [{"version": 1}] == [answer for answer in answers if answer]


@pytest.mark.parametrize("name", ["patch_context", "rollback_context", "configure"])
async def test_a_repeated_request_id_takes_effect_once(caller: Caller, name: str) -> None:
    session = await caller.start({"context": VALUES})
    bodies: dict[str, Json] = {
        "patch_context": {"patch": {"append": {"milk": [3]}}},
        "rollback_context": {"version": 0},
        "configure": {"title": "once"},
    }
    body = bodies[name] | {"request_id": "r1"}
    first = await session.update(name, body)
    await session.update("configure", {"title": "meanwhile"})
    await session.update("patch_context", {"patch": {"set": {"tea": 2}}})
    again = await session.update(name, body)
    if name == "configure":
        assert "meanwhile" == (await session.snapshot())["config"]["title"] == again["title"]
    else:
        assert first == again == {"version": 1}
        assert 2 == (await session.context())["version"]


async def test_updates_without_a_request_id_each_take_effect(caller: Caller) -> None:
    session = await caller.start()
    for number in range(1, 3):
        patch = {"patch": {"append": {"list": [1]}}}
        assert {"version": number} == await session.update("patch_context", patch)
    assert {"list": [1, 1]} == await session.values()


async def test_a_patch_that_cannot_be_applied_is_refused_and_changes_nothing(caller: Caller) -> None:
    session = await caller.start({"context": VALUES})
    patch = {"set": {"new": 1}, "append": {"tea": [1]}}
    assert "InvalidRequest" == await refused(session.update("patch_context", {"patch": patch}))
    assert (0, VALUES) == ((await session.context())["version"], await session.values())


async def source(caller: Caller) -> Session:
    """A session with two versions, made by tasks."""
    session = await caller.start({"context": VALUES})
    for number in range(1, 3):
        await session.run("Return", {"output": number, "patch": {"set": {"tea": f"cup {number}"}}})
    return session


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("version", [1, None], ids=["at a version", "now"])
async def test_a_fork_begins_with_the_context_of_another_session(
    caller: Caller, closed: bool, version: int | None
) -> None:
    origin = await source(caller)
    if closed:
        await origin.signal("close")
        await origin.result()
    fork = await caller.start({"fork_of": {"session_id": origin.id, "version": version}, "context": {"own": True}})
    reached = version or 2
    shown = (await fork.run("Show"))["output"]["context"]
    expected = {"own": True, "tea": f"cup {reached}", "milk": [2]}
    assert (expected, reached) == (shown["values"], len(shown["transcript"]))
    assert (VALUES | {"tea": "cup 2"}, 2) == (await origin.values(), (await origin.context())["version"])


async def test_a_fork_of_what_is_not_there_fails_the_run_by_name(caller: Caller) -> None:
    origin = await source(caller)
    lost = await caller.start({"fork_of": {"session_id": "conformance-never-was"}})
    beyond = await caller.start({"fork_of": {"session_id": origin.id, "version": 9}})
    assert ["SessionNotFound", "UnknownVersion"] == [await failed(session) for session in (lost, beyond)]
