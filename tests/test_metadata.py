"""What Temporal itself serves of sessions and tasks, to its Web UI and to everyone: summaries, details, messages."""

from temporalio.api.sdk.v1 import WorkflowMetadata

from tests.harness import Harness, ask, details_of, run_task
from workflows.contract import task_workflow_id

QUESTION = "What colour\n\n    is a **banana**?"


async def test_a_task_has_its_question_its_model_and_its_answer(harness: Harness) -> None:
    session = await harness.open()
    record = await run_task(session, {"text": QUESTION}, task_id="banana")
    child = task_workflow_id(session.id, record.task_id)
    described = await harness.temporal.get_workflow_handle(child).describe()
    assert "What colour is a \u2217\u2217banana\u2217\u2217?" == await described.static_summary()
    details = await described.static_details()
    assert details
    assert f"Task `banana` of session [`{session.id}`](namespaces/{{namespace}}/workflows/{session.id})" in details
    assert (
        "**Question**\n\u00a0What colour\n\u00a0\n\u00a0\u00a0\u00a0\u00a0\u00a0is a \\*\\*banana\\*\\*?\n\n"
        "**Answer**, by offline\n\u00a0A ripe banana is yellow."
    ) == await details_of(harness.temporal, child)


async def test_a_countdown_says_what_it_does(harness: Harness) -> None:
    session = await harness.open()
    record = await run_task(session, 1, kind="Countdown")
    child = task_workflow_id(session.id, record.task_id)
    assert "Countdown 1" == await (await harness.temporal.get_workflow_handle(child).describe()).static_summary()
    assert "**Counted down** 1 seconds" == await details_of(harness.temporal, child)


async def test_a_session_names_its_messages_and_what_they_take(harness: Harness) -> None:
    session = await harness.open()
    assert "A ripe banana is yellow." == await ask(session, "What colour is a banana?")
    metadata: WorkflowMetadata = await harness.temporal.get_workflow_handle(session.id).query(
        "__temporal_workflow_metadata", result_type=WorkflowMetadata
    )
    (signals,) = [handler.description for handler in metadata.definition.signal_definitions]
    for name in ("submit", "cancel_task", "respond", "pause", "resume", "close"):
        assert name in signals
    described = [*metadata.definition.update_definitions, *metadata.definition.query_definitions]
    ours = {handler.name: handler.description for handler in described if not handler.name.startswith("__")}
    assert {"submit_task", "patch_context", "rollback_context", "configure", "snapshot", "task", "context"} == set(ours)
    assert all(ours.values())
