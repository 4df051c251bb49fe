"""Tasks that ask a person: the question is shown, the answer reaches the task, all else is refused by name."""

from typing import Any

import pytest

from tests.conformance.caller import Caller, Json, Session, outcome

DEPLOY: Json = {"id": "q1", "text": "Deploy?", "choices": ["yes", "no"]}
WHY: Json = {"id": "q2", "text": "Why?"}
REFUND: Json = DEPLOY | {"data": {"tool": "refund", "arguments": {"order": "A7", "cents": None}}}


async def asked(session: Session, question_id: str) -> Json:
    """The snapshot of a session that waits for an answer to this question."""

    def waits(snapshot: Json) -> bool:
        waiting: Any = snapshot["running"] and snapshot["running"]["waiting_for"]
        return bool(waiting) and waiting["id"] == question_id

    return await session.snapshot_when(waits)


async def test_a_question_is_shown_and_its_answer_reaches_the_task(caller: Caller) -> None:
    session = await caller.start()
    task_id = await session.begun("Ask", [DEPLOY, WHY])
    snapshot = await asked(session, "q1")
    nothing = {"expires_at": None, "data": None}
    assert ("waiting", DEPLOY | nothing) == (snapshot["status"], snapshot["running"]["waiting_for"])
    record = await session.task(task_id)
    assert ("running", snapshot["running"]["waiting_for"]) == (record["status"], record["waiting_for"])
    await session.signal("respond", {"task_id": task_id, "question_id": "q1", "value": "yes"})
    await asked(session, "q2")
    await session.signal("respond", {"task_id": task_id, "value": {"any": ["json", None]}})
    final = await session.ended(task_id)
    answers = [{"question_id": "q1", "value": "yes"}, {"question_id": "q2", "value": {"any": ["json", None]}}]
    assert (answers, None) == (final["output"], final["waiting_for"])
    assert ("idle", []) == ((await session.snapshot())["status"], await session.refusals())


async def test_an_answer_that_does_not_fit_is_refused_by_name_and_the_question_stays(caller: Caller) -> None:
    session = await caller.start()
    done = await session.run("Echo")
    task_id = await session.begun("Ask", [DEPLOY])
    await asked(session, "q1")
    for body in (
        {"task_id": "nobody", "value": 1},
        {"task_id": done["task_id"], "value": 1},
        {"task_id": task_id, "value": "yes", "question_id": "another"},
        {"task_id": task_id, "value": "perhaps"},
    ):
        await session.signal("respond", body)
    assert ["UnknownTask", "NotWaiting", "NotWaiting", "InvalidRequest"] == [
        name for _, name in await session.refusals()
    ]
    await asked(session, "q1")
    await session.signal("respond", {"task_id": task_id, "value": "no"})
    await session.ended(task_id)
    await session.signal("respond", {"task_id": task_id, "value": "no"})
    assert ("respond", "NotWaiting") == (await session.refusals())[-1]


async def test_a_question_shows_its_data_and_its_answer_may_be_a_choice_with_more_to_it(caller: Caller) -> None:
    session = await caller.start()
    task_id = await session.begun("Ask", [REFUND, REFUND | {"id": "q3"}, DEPLOY | {"id": "q4"}])
    assert REFUND | {"expires_at": None} == (await asked(session, "q1"))["running"]["waiting_for"]
    for value in ({"answer": "perhaps"}, {"reason": "none"}, {"answer": ["yes"]}, [{"answer": "yes"}], None):
        await session.signal("respond", {"task_id": task_id, "value": value})
    no = {"answer": "no", "reason": "too much", "any": ["json", None]}
    await session.signal("respond", {"task_id": task_id, "value": no})
    await asked(session, "q3")
    await session.signal("respond", {"task_id": task_id, "value": "yes"})
    await asked(session, "q4")
    await session.signal("respond", {"task_id": task_id, "value": no})
    await session.signal("respond", {"task_id": task_id, "value": "no"})
    assert [no, "yes", "no"] == [answer["value"] for answer in (await session.ended(task_id))["output"]]
    assert [("respond", "InvalidRequest")] * 6 == await session.refusals()


async def test_the_data_of_a_question_is_16_kib_at_most(caller: Caller) -> None:
    session = await caller.start()
    task_id = await session.begun("Ask", [WHY])
    await asked(session, "q2")
    largest = "x" * (16 * 1024 - 2)
    for number, data in enumerate([largest, largest + "x", {"deep": _nested(101)}]):
        question = WHY | {"id": f"d{number}", "data": data}
        await session.signal("task_waiting", {"task_id": task_id, "question": question})
    snapshot = await asked(session, "d0")
    assert largest == snapshot["running"]["waiting_for"]["data"]
    assert [("task_waiting", "InputTooLarge"), ("task_waiting", "InvalidRequest")] == await session.refusals()
    assert [task_id] * 2 == [entry["task_id"] for entry in snapshot["rejected"]]
    await session.signal("respond", {"task_id": task_id, "value": "because"})
    await session.ended(task_id)


def _nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


async def test_an_answer_comes_before_the_question_expires_and_weighs_no_more_than_an_input(caller: Caller) -> None:
    session = await caller.start()
    task_id = await session.begun("Ask", [WHY, WHY | {"id": "q3", "expires_at": "2001-01-01T00:00:00Z"}])
    await asked(session, "q2")
    await session.signal("respond", {"task_id": task_id, "value": "x" * 65_536})
    await session.signal("respond", {"task_id": task_id, "value": "because"})
    await asked(session, "q3")
    await session.signal("respond", {"task_id": task_id, "value": "too late"})
    assert [("respond", "InputTooLarge"), ("respond", "NotWaiting")] == await session.refusals()


async def test_a_task_that_nobody_answers_times_out_and_the_next_one_runs(caller: Caller) -> None:
    session = await caller.start()
    record = await session.run("Ask", [WHY], timeout=1)
    assert (("timed_out", "TaskTimedOut"), None) == (outcome(record), record["waiting_for"])
    assert "next" == (await session.run("Echo", "next"))["output"]
    assert "idle" == (await session.snapshot())["status"]


async def test_a_question_may_be_withdrawn(caller: Caller) -> None:
    session = await caller.start()
    task_id = await session.begun("Ask", [WHY])
    await asked(session, "q2")
    await session.signal("task_waiting", {"task_id": task_id, "question": None})
    snapshot = await session.snapshot()
    assert ("running", None) == (snapshot["status"], snapshot["running"]["waiting_for"])
    await session.signal("respond", {"task_id": task_id, "value": 1})
    assert [("respond", "NotWaiting")] == await session.refusals()


@pytest.mark.parametrize(
    "question",
    [{"id": "q"}, {"text": "Why?"}, {"id": "q", "text": ""}, {"id": "q", "text": "?", "choices": "yes"}, "Why?"],
    ids=["no text", "no id", "empty", "choices", "no object"],
)
async def test_a_question_that_does_not_fit_is_refused(caller: Caller, question: Any) -> None:
    session = await caller.start()
    task_id = await session.begun("Gate")
    await session.signal("task_waiting", {"task_id": task_id, "question": question})
    await session.signal("task_waiting", {"task_id": "nobody", "question": WHY})
    assert [("task_waiting", "InvalidRequest"), ("task_waiting", "UnknownTask")] == await session.refusals()
    assert "running" == (await session.snapshot())["status"]


async def test_a_waiting_task_is_cancelled_and_its_session_paused_and_closed_like_any_other(caller: Caller) -> None:
    session = await caller.start()
    first = await session.begun("Ask", [WHY])
    await asked(session, "q2")
    await session.signal("pause")
    assert "paused" == (await session.snapshot())["status"]
    await session.signal("resume")
    await session.signal("cancel_task", {"task_id": first})
    assert ("cancelled", "TaskCancelled") == outcome(await session.ended(first))
    await session.begun("Ask", [WHY])
    await asked(session, "q2")
    await session.signal("close", {"mode": "now"})
    assert 2 == (await session.result())["counters"]["cancelled"]
