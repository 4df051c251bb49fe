"""Every limit of the contract: the named error beyond it, before anything is scheduled, and nothing lost up to it."""

import asyncio
from typing import Any

from tests.conformance.caller import Caller, failed, outcome, refused

KIB = 1024
QUOTES = 2  # of a JSON string


def text(size: int) -> str:
    """A string of that many bytes as JSON."""
    return "x" * (size - QUOTES)


async def test_an_input_of_64_kib_is_taken_and_a_larger_one_refused(caller: Caller) -> None:
    session = await caller.start()
    largest, larger = text(64 * KIB), text(64 * KIB + 1)
    record = await session.run("Echo", largest)
    assert (largest, True) == (record["output"], len(record["input_preview"]) < 1_000)
    assert ("rejected", "InputTooLarge") == outcome(await session.run("Echo", larger))
    assert "InputTooLarge" == await refused(session.update("submit_task", session.request("Echo", larger)))
    assert ("rejected", "InputTooLarge") == outcome(await session.run("Echo", "ü" * 33 * KIB))


async def test_an_output_of_128_kib_is_kept_and_a_larger_one_fails_and_leaves_the_context_alone(caller: Caller) -> None:
    session = await caller.start()
    largest = await session.run("Oversize", {"letters": 128 * KIB - QUOTES})
    assert ("completed", 128 * KIB - QUOTES) == (largest["status"], len(largest["output"]))
    record = await session.run("Oversize", {"letters": 128 * KIB - QUOTES + 1, "value": 1})
    assert (("failed", "OutputTooLarge"), None) == (outcome(record), record["output"])
    assert (1, "") == ((await session.context())["version"], (await session.values())["large"])


async def test_values_over_256_kib_are_refused_whoever_brings_them(caller: Caller) -> None:
    session = await caller.start({"context": {"half": text(128 * KIB)}})
    patch: Any = {"set": {"other": text(128 * KIB)}}
    assert "ContextTooLarge" == await refused(session.update("patch_context", {"patch": patch}))
    assert ("failed", "ContextTooLarge") == outcome(await session.run("Oversize", {"value": 128 * KIB}))
    assert ["half"] == [*(await session.values())]
    patch["unset"] = ["half"]
    assert {"version": 1} == await session.update("patch_context", {"patch": patch})
    assert "ContextTooLarge" == await failed(await caller.start({"context": {"large": text(257 * KIB)}}))


async def test_values_that_fill_the_context_reach_a_task_whole(caller: Caller) -> None:
    session = await caller.start({"context": {"large": text(250 * KIB)}})
    record = await session.run("Measure")
    assert {"values": 250 * KIB + len('{"large":}'), "turns": 0} == record["output"]


async def test_the_oldest_turns_leave_a_full_transcript_first(caller: Caller) -> None:
    session = await caller.start()
    for number in range(3):
        await session.run("Oversize", {"letters": 100 * KIB}, task_id=f"t{number}")
    context = await session.context()
    assert ["t1", "t2"] == [turn["task_id"] for turn in context["transcript"]]
    assert (3, True) == (context["version"], context["truncated"])
    shown = await session.run("Show")
    assert ["t1", "t2"] == [turn["task_id"] for turn in shown["output"]["context"]["transcript"]]


async def test_the_newest_50_versions_stay_listed_and_readable(caller: Caller) -> None:
    session = await caller.start()
    for number in range(1, 53):
        await session.update("patch_context", {"patch": {"set": {"n": number}}})
    log = (await session.context())["log"]
    assert [*range(3, 53)] == [entry["version"] for entry in log]
    assert {"n": 3} == (await session.context(3))["values"]
    assert "UnknownVersion" == await refused(session.update("rollback_context", {"version": 1}))


async def test_max_pending_is_1000_at_most(caller: Caller) -> None:
    session = await caller.start()
    for number, expected in ((1_000, None), (1_001, "InvalidRequest"), (0, "InvalidRequest")):
        update = session.update("configure", {"max_pending": number})
        assert expected == (await refused(update) if expected else (await update) and None)


async def test_the_newest_200_records_are_kept_and_older_tasks_keep_id_and_status(caller: Caller) -> None:
    session = await caller.start()
    await session.signal("pause")
    for number in range(203):
        await session.submit("Echo", number, task_id=f"t{number}", on_busy="replace_pending")
    snapshot = await session.snapshot()
    assert (202, 203) == (snapshot["counters"]["cancelled"], snapshot["counters"]["submitted"])
    assert [f"t{number}" for number in range(2, 202)] == [record["task_id"] for record in snapshot["recent"]]
    oldest = await session.task("t0")
    assert ("cancelled", True) == (oldest["status"], oldest["truncated"])
    again = await session.update("submit_task", session.request("Echo", 0, task_id="t0", on_busy="replace_pending"))
    assert ("cancelled", 203) == (again["status"], (await session.snapshot())["counters"]["submitted"])


async def test_the_newest_refusals_are_kept_and_all_are_counted(caller: Caller) -> None:
    session = await caller.start()
    await asyncio.gather(*(session.signal(f"nonsense {number}") for number in range(130)))
    await session.signal("the last one")
    snapshot = await session.snapshot()
    assert (131, 100) == (snapshot["counters"]["rejected"], len(snapshot["rejected"]))
    assert "the last one" == snapshot["rejected"][-1]["message"]


async def test_an_output_that_no_longer_fits_the_session_is_still_the_childs(caller: Caller) -> None:
    session = await caller.start()
    first = await session.run("Oversize", {"letters": 100 * KIB})
    await session.run("Oversize", {"letters": 100 * KIB})
    record = await session.task(first["task_id"])
    assert ("completed", None, True) == (record["status"], record["output"], record["truncated"])
    result = await session.child(first["task_id"]).result()
    assert first["output"] == result["output"]
