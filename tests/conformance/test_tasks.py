"""Tasks: own runs, own answers, order, once each, and failures that stay inside."""

from itertools import pairwise
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.conformance.caller import Caller, Json, moment, outcome, refused


async def test_two_different_tasks_in_one_session_give_two_different_answers(caller: Caller) -> None:
    session = await caller.start()
    banana = await session.run("Echo", "What colour is a banana?")
    sun = await session.run("Echo", "How big is the sun?")
    assert ("What colour is a banana?", "How big is the sun?") == (banana["output"], sun["output"])
    assert banana["run_id"] != sun["run_id"]


async def test_a_task_is_a_workflow_of_its_kind_and_queue_named_after_session_and_task(caller: Caller) -> None:
    session = await caller.start()
    record = await session.run("Echo", task_id="named")
    child = await caller.client.get_workflow_handle(f"{session.id}/named").describe()
    assert ("Echo", caller.kinds_queue, record["run_id"]) == (child.workflow_type, child.task_queue, child.run_id)
    assert session.id == child.parent_id


async def test_a_task_is_given_the_contracts_input_and_nothing_else(caller: Caller) -> None:
    session = await caller.start()
    record = await session.run("Show", {"any": ["json", 1, None]}, task_id="shown")
    context = {"version": 0, "write": True, "values": {}, "transcript": []}
    given = {"contract": 1, "session_id": session.id, "task_id": "shown", "input": {"any": ["json", 1, None]}}
    assert given | {"context": context, "stream": False, "budget": None} == record["output"]


async def test_a_task_without_a_kind_or_queue_is_of_the_sessions_kind_on_the_sessions_queue(caller: Caller) -> None:
    session = await caller.open(default_kind="NobodyHostsThis")
    await session.signal("submit", {"task_id": "plain", "input": 1})
    record = await session.ended("plain")
    assert ("NobodyHostsThis", "failed", "UnknownKind") == (record["kind"], *outcome(record))


async def test_tasks_run_one_at_a_time_in_the_order_of_their_submission(caller: Caller) -> None:
    session = await caller.start()
    tasks = [await session.submit("Show", number, context={"transcript": 1}) for number in range(12)]
    records = [await session.ended(task_id) for task_id in tasks]
    assert list(range(12)) == [record["output"]["context"]["version"] for record in records]
    spans = [(moment(record["started_at"]), moment(record["finished_at"])) for record in records]
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


async def test_a_hanging_task_holds_up_its_own_session_and_no_other(caller: Caller) -> None:
    one, other = await caller.start(), await caller.start()
    hanging = await one.begun("Gate", {"output": "late"})
    behind = await one.submit("Echo", "behind")
    assert "other" == (await other.run("Echo", "other"))["output"]
    assert ["running", "pending"] == [(await one.task(task_id))["status"] for task_id in (hanging, behind)]
    await one.go(hanging)
    assert ["late", "behind"] == [(await one.ended(task_id))["output"] for task_id in (hanging, behind)]


async def test_the_same_task_id_with_the_same_body_is_one_task_however_it_arrives(caller: Caller) -> None:
    session = await caller.start()
    request = session.request("Echo", {"a": 1, "b": [2.5]}, task_id="once")
    await session.signal("submit", request)
    spelled_out = request | {"on_busy": "enqueue", "labels": {}, "timeout": 3600, "context": {"write": True}}
    await session.signal("submit", spelled_out | {"input": {"b": [2.5], "a": 1}})
    first = await session.ended("once")
    again = await session.update("submit_task", request)
    assert {"task_id": "once", "status": "completed", "position": None} == again
    await session.signal("submit", request)
    assert first == await session.task("once")
    counters = (await session.snapshot())["counters"]
    assert (1, 1, 0) == (counters["submitted"], counters["completed"], counters["rejected"])


async def test_the_same_task_id_with_another_body_is_a_conflict_and_the_first_stays(caller: Caller) -> None:
    session = await caller.start()
    first = await session.run("Echo", "first", task_id="once")
    await session.submit("Echo", "second", task_id="once")
    await session.submit("Echo", "first", task_id="once", labels={"another": "body"})
    assert "TaskIdConflict" == await refused(session.update("submit_task", session.request("Show", task_id="once")))
    assert first == await session.task("once")
    assert [("submit", "TaskIdConflict")] * 2 == await session.refusals()


async def test_a_strangers_workflow_under_the_id_of_a_task_is_not_taken_for_it(caller: Caller) -> None:
    session = await caller.start()
    context = {"version": 0, "write": True, "values": {}, "transcript": []}
    given = {"contract": 1, "session_id": session.id, "task_id": "taken", "input": "same", "context": context}
    await caller.client.start_workflow("Echo", given, id=f"{session.id}/taken", task_queue=caller.kinds_queue)
    refused, after = await session.run("Echo", "same", task_id="taken"), await session.run("Echo", "next")
    assert (("failed", "ChildRefused"), None, "next") == (outcome(refused), refused["output"], after["output"])


FAILURES: list[tuple[str, Any, Json, str, str]] = [
    ("Fail", "named", {}, "failed", "OutOfTea"),
    ("Fail", "python", {}, "failed", "KeyError"),
    ("Fail", "nameless", {}, "failed", "TaskFailed"),
    ("Fail", "caused", {}, "failed", "OutOfTea"),
    ("Fail", "unreadable", {}, "failed", "Foreign"),
    ("Gate", None, {"timeout": 1}, "timed_out", "TaskTimedOut"),
    ("Echo", None, {"timeout": 1, "task_queue": "nobody-polls-this"}, "timed_out", "TaskTimedOut"),
    ("NobodyHostsThis", None, {"task_queue": None}, "failed", "UnknownKind"),
    ("Return", "text", {}, "failed", "InvalidOutput"),
    ("Return", None, {}, "failed", "InvalidOutput"),
    ("Return", {}, {}, "failed", "InvalidOutput"),
    ("Return", {"output": 1, "patch": {"put": {}}}, {}, "failed", "InvalidOutput"),
    ("Return", {"output": 1, "patch": {"set": []}}, {}, "failed", "InvalidOutput"),
    ("Return", {"output": 1, "usage": {"tokens": "many"}}, {}, "failed", "InvalidOutput"),
    ("Oversize", {"levels": 300}, {}, "failed", "InvalidOutput"),
]


@pytest.mark.parametrize(
    ("kind", "task_input", "options", "status", "error"), FAILURES, ids=[f"{row[0]} {row[1]}"[:24] for row in FAILURES]
)
async def test_a_failure_is_the_record_of_its_own_task_and_the_next_one_runs(
    caller: Caller, kind: str, task_input: Any, options: Json, status: str, error: str
) -> None:
    session = await caller.start()
    failed, after = await session.run(kind, task_input, **options), await session.run("Echo", "next")
    assert ((status, error), "next") == (outcome(failed), after["output"])
    assert failed["error"]["message"]
    assert {"before": 0, "after": None} == failed["context_version"]


@pytest.mark.not_on_test_server("it never tells a parent that its child was terminated")
async def test_a_task_terminated_from_outside_is_noticed_and_the_next_one_runs(caller: Caller) -> None:
    session = await caller.start()
    task_id = await session.begun("Gate")
    await session.child(task_id).terminate("operator")
    assert ("failed", "TaskTerminated") == outcome(await session.ended(task_id))
    assert "next" == (await session.run("Echo", "next"))["output"]


async def test_a_running_task_that_is_cancelled_may_clean_up_and_the_next_one_runs(caller: Caller) -> None:
    session = await caller.start()
    task_id = await session.begun("Tidy", {"output": "tidied", "patch": {"set": {"left": "a trace"}}})
    await session.signal("cancel_task", {"task_id": task_id, "reason": "changed my mind"})
    record = await session.ended(task_id)
    assert (("cancelled", "TaskCancelled"), "tidied") == (outcome(record), record["output"])
    assert "changed my mind" in record["error"]["message"]
    assert WorkflowExecutionStatus.COMPLETED == (await session.child(task_id).describe()).status
    assert ("next", {}) == ((await session.run("Echo", "next"))["output"], await session.values())


@pytest.mark.not_on_test_server("it never tells a parent that its child was terminated")
async def test_a_task_that_ignores_its_cancel_is_terminated_after_the_grace(caller: Caller) -> None:
    session = await caller.open(cancel_grace=0.5)
    task_id = await session.begun("Stubborn")
    await session.signal("cancel_task", {"task_id": task_id})
    assert ("cancelled", "TaskCancelled") == outcome(await session.ended(task_id))
    assert WorkflowExecutionStatus.TERMINATED == (await session.child(task_id).describe()).status
    assert "next" == (await session.run("Echo", "next"))["output"]


async def test_a_task_cancelled_from_outside_is_cancelled_and_the_next_one_runs(caller: Caller) -> None:
    session = await caller.start()
    task_id = await session.begun("Gate")
    await session.child(task_id).cancel()
    assert ("cancelled", "TaskCancelled") == outcome(await session.ended(task_id))
    assert "next" == (await session.run("Echo", "next"))["output"]


async def test_usage_and_labels_are_in_the_record(caller: Caller) -> None:
    session = await caller.start()
    result = {"output": None, "usage": {"tokens": 12, "dollars": 0.5}}
    record = await session.run("Return", result, labels={"team": "fruit"})
    assert ({"tokens": 12, "dollars": 0.5}, {"team": "fruit"}) == (record["usage"], record["labels"])


async def test_an_output_that_is_not_the_whole_answer_says_so_in_the_record_and_the_turn(caller: Caller) -> None:
    session = await caller.start()
    for reason, told in (("length", "length"), ("of its own", "of its own"), ("stop", None), (None, None)):
        record = await session.run("Return", {"output": 1, "finish_reason": reason})
        turn = (await session.context())["transcript"][-1]
        assert ("completed", told, told) == (record["status"], record["finish_reason"], turn["finish_reason"])
    shown = (await session.run("Show"))["output"]["context"]["transcript"]
    assert ["length", "of its own", None, None] == [turn["finish_reason"] for turn in shown]
    assert ["length", "of its own", None, None, None] == [
        record["finish_reason"] for record in (await session.snapshot())["recent"]
    ]


async def test_a_finish_reason_that_is_too_long_is_cut_and_costs_no_output(caller: Caller) -> None:
    session = await caller.start()
    record = await session.run("Return", {"output": 1, "finish_reason": "long" * 1_000})
    assert ("completed", 1, True) == (record["status"], record["output"], record["finish_reason"].startswith("long"))
    assert len(record["finish_reason"].encode()) <= 64
    unfit = await session.run("Return", {"output": 1, "finish_reason": ["length"]})
    assert ("failed", "InvalidOutput") == outcome(unfit)


async def test_a_reference_to_a_file_is_carried_as_any_json_and_the_names_of_its_errors_end_a_task(
    caller: Caller,
) -> None:
    session = await caller.start()
    sha256 = "0" * 64
    about = {"bytes": 3, "sha256": sha256, "media_type": "image/png", "name": "a.png"}
    reference = {"$file": {"key": f"{session.id}/{sha256}", **about}}
    record = await session.run("Echo", {"files": [reference]})
    assert {"files": [reference]} == record["output"]
    for name in ("FileTooLarge", "FileNotFound", "FilesUnavailable"):
        assert ("failed", name) == outcome(await session.run("Fail", name))
