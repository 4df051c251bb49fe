"""Tasks that wait for a person: asked, answered, refused, timed out, and none of it lost over a hand-over."""

import asyncio

import pytest
from temporalio.client import Client

from starter.client import Session
from tests.harness import WAIT, Harness, ask, run_task, snapshot_when
from workflows.contract import Config, Question, task_workflow_id

BANANA = "What colour is a banana?"


async def asked(session: Session, text: str) -> Question:
    """The question with that text, once the session shows it."""
    snapshot = await snapshot_when(
        session,
        lambda s: s.running is not None and s.running.waiting_for is not None and s.running.waiting_for.text == text,
    )
    assert "waiting" == snapshot.status
    assert snapshot.running
    assert snapshot.running.waiting_for
    return snapshot.running.waiting_for


async def refusals(session: Session) -> list[tuple[str, str]]:
    """What was refused and as what."""
    return [(entry.message, entry.error.type) for entry in (await session.snapshot()).rejected]


async def test_a_task_asks_a_person_and_goes_on_with_the_answer(harness: Harness) -> None:
    session = await harness.open()
    task_id = await session.submit("deploy", kind="Approve")
    question = await asked(session, "deploy?")
    assert ["yes", "no"] == question.choices
    record = await session.task(task_id)
    assert record
    assert ("running", question) == (record.status, record.waiting_for)
    await session.respond(task_id, "yes", question.id)
    await asked(session, "Why?")
    await session.respond(task_id, {"because": "it is Tuesday"})
    final = await session.result(task_id, WAIT)
    assert {"did": "deploy", "why": {"because": "it is Tuesday"}} == final.output
    assert None is final.waiting_for
    assert {"done": ["deploy"]} == (await session.context()).values
    assert "idle" == (await session.snapshot()).status
    assert [] == await refusals(session)


async def test_an_answer_that_does_not_fit_is_refused_and_the_question_stays(harness: Harness) -> None:
    session = await harness.open()
    await session.respond("nobody", "yes")
    done = await run_task(session, BANANA)
    await session.respond(done.task_id, "yes")
    task_id = await session.submit("deploy", kind="Approve")
    first = await asked(session, "deploy?")
    await session.respond(task_id, "perhaps")
    await session.respond(task_id, "x" * 65_536)
    await session.respond(task_id, "no", "another-question")
    assert first == await asked(session, "deploy?")
    await session.respond(task_id, "yes")
    second = await asked(session, "Why?")
    await session.respond(task_id, "late", first.id)
    assert second == await asked(session, "Why?")
    await session.respond(task_id, "x" * 65_536)
    await session.respond(task_id, "because")
    assert "because" == (await session.result(task_id, WAIT)).output["why"]
    errors = ["UnknownTask", "NotWaiting", "InvalidRequest", "InvalidRequest", "NotWaiting", "NotWaiting"]
    assert [("respond", name) for name in [*errors, "InputTooLarge"]] == await refusals(session)


async def test_an_unanswered_task_times_out_and_the_session_goes_on(harness: Harness) -> None:
    session = await harness.open()
    record = await run_task(session, {"what": "deploy", "wait": 1}, kind="Approve")
    assert record.error
    assert ("timed_out", "TaskTimedOut") == (record.status, record.error.type)
    assert "deploy?" in record.error.message
    whole = await run_task(session, "deploy", kind="Approve", timeout=1.0)
    assert whole.error
    assert ("timed_out", "TaskTimedOut") == (whole.status, whole.error.type)
    assert "yellow" in await ask(session, BANANA)


async def test_a_waiting_task_is_cancelled_and_its_session_closed_like_any_other(harness: Harness) -> None:
    session = await harness.open()
    task_id = await session.submit("deploy", kind="Approve")
    await asked(session, "deploy?")
    await session.cancel(task_id)
    assert "cancelled" == (await session.result(task_id, WAIT)).status
    task_id = await session.submit("deploy", kind="Approve")
    await asked(session, "deploy?")
    await session.close("now")
    assert ("closed", 2) == ((final := await session.finished(WAIT)).status, final.counters.cancelled)


async def test_what_a_task_asks_is_bounded_and_only_the_running_one_asks(harness: Harness, temporal: Client) -> None:
    session = await harness.open()
    handle = temporal.get_workflow_handle(session.id)
    await handle.signal("task_waiting", {"task_id": "nobody", "question": {"id": "q", "text": "really?"}})
    task_id = await session.submit("deploy", kind="Approve")
    await asked(session, "deploy?")
    for question in ({"id": "q"}, {"id": "q", "text": "x" * 3_000}, {"id": "q", "text": "?", "choices": ["x" * 3_000]}):
        await handle.signal("task_waiting", {"task_id": task_id, "question": question})
    await asked(session, "deploy?")
    child = temporal.get_workflow_handle(task_workflow_id(session.id, task_id))
    for body in (None, "text", {"question_id": "another", "value": "yes"}):
        await child.signal("respond", body)
    await asyncio.sleep(0.2)
    await asked(session, "deploy?")
    await session.respond(task_id, "no")
    assert "left alone" == (await session.result(task_id, WAIT)).output
    expected = [("task_waiting", "UnknownTask"), *[("task_waiting", "InvalidRequest")] * 3]
    assert expected == await refusals(session)


@pytest.mark.parametrize("paused", [False, True])
async def test_waiting_is_told_apart_from_paused(harness: Harness, paused: bool) -> None:
    session = await harness.open(Config())
    task_id = await session.submit("deploy", kind="Approve")
    await asked(session, "deploy?")
    if paused:
        await session.pause()
    assert ("paused" if paused else "waiting") == (await session.snapshot()).status
    await session.respond(task_id, "no")
    assert "completed" == (await session.result(task_id, WAIT)).status
