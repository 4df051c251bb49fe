"""Messages: nothing is swallowed, what is refused says why, and what is answered has the contract's shape."""

from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowUpdateFailedError
from temporalio.common import RawValue

from tests.conformance.caller import Caller, in_seconds, moment, outcome, query_refused, refused

UNREADABLE = RawValue(Payload(metadata={"encoding": b"no/such"}, data=b"\x00"))
BROKEN = RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b"{not json"))
NAMELESS = RawValue(Payload(data=b"{}"))
TASK = {"task_id": "t", "input": 1}


def spelled(text: str | bytes) -> RawValue:
    """A message of these very bytes."""
    data = text if isinstance(text, bytes) else text.encode()
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=data))


UNDECODABLE: list[tuple[str, list[RawValue]]] = [
    ("InvalidRequest", [spelled('{"task_id": "s1", "input": ' + "[" * 500 + "]" * 500 + "}")]),
    ("InvalidRequest", [spelled('{"input": {"task_id": "s2"}, "n": ' + "9" * 5_000 + ', "task_id": "s\\u0031"}')]),
    ("InvalidRequest", [spelled('{"task_id": "s1", "input": "breaks off')]),
    ("InvalidRequest", [spelled(b'{"input": "\xff", "task_id" : "s1"}')]),
    ("InvalidRequest", [spelled('{"task_id": "s1", "input": 1}'), spelled("2")]),
    ("InputTooLarge", [spelled('{"task_id": "s1", "input": "' + "x" * 1_200_000 + '"}')]),
]
HALF = "half \\ud83d, whole \\ud83d\\ude00, spelled \\\\ud83d"
MENDED = "half \ufffd, whole \U0001f600, spelled \\ud83d"
"""Half an emoji, as cutting a text leaves it and most encoders of JSON send it; and what may become of it."""

RECORD = {
    "task_id", "kind", "status", "position", "labels", "submitted_at", "started_at", "finished_at", "input_preview",
    "output", "error", "context_version", "usage", "finish_reason", "waiting_for",
    "run_id",
}  # fmt: skip
SNAPSHOT = {
    "contract", "session_id", "status", "config", "started_at", "running", "pending", "recent", "context_version",
    "counters", "rejected",
}  # fmt: skip
COUNTERS = {"submitted", "completed", "failed", "cancelled", "timed_out", "expired", "rejected"}

UNFIT_SIGNALS: list[tuple[str, list[Any]]] = [
    ("submit", []),
    ("submit", [None]),
    ("submit", ["text"]),
    ("submit", [[TASK]]),
    ("submit", [TASK, TASK]),
    ("submit", [UNREADABLE]),
    ("submit", [BROKEN, UNREADABLE, NAMELESS]),
    ("submit", [{"input": 1}]),
    ("submit", [{"task_id": "t"}]),
    ("submit", [TASK | {"colour": "red"}]),
    ("submit", [TASK | {"task_id": "no id"}]),
    ("submit", [TASK | {"task_id": "x" * 129}]),
    ("submit", [TASK | {"task_id": "of/another"}]),
    ("submit", [TASK | {"task_id": 7}]),
    ("submit", [TASK | {"kind": "Session"}]),
    ("submit", [TASK | {"on_busy": "wait"}]),
    ("submit", [TASK | {"timeout": 0}]),
    ("submit", [TASK | {"timeout": "60"}]),
    ("submit", [TASK | {"labels": {"a": 1}}]),
    ("submit", [TASK | {"not_before": "2026-11-23T09:00:00"}]),
    ("submit", [TASK | {"expires_at": "2026-11-23"}]),
    ("submit", [TASK | {"expires_at": 1_800_000_000}]),
    ("submit", [TASK | {"task_queue": "/_sys/reserved-by-the-server"}]),
    ("submit", [TASK | {"context": {"read": "some"}}]),
    ("submit", [TASK | {"context": {"transcript": -1}}]),
    ("submit", [TASK | {"context": {"write": "yes"}}]),
    ("submit", [TASK | {"context": {"wrote": True}}]),
    ("cancel_task", []),
    ("cancel_task", ["t"]),
    ("cancel_task", [{"task_id": "t", "force": True}]),
    ("pause", [{}]),
    ("resume", [None, None]),
    ("close", [{"mode": "sometime"}]),
    ("close", ["now"]),
    ("close", [BROKEN]),
    ("respond", [{"task_id": "t"}]),
    ("task_waiting", [{"task_id": "t"}]),
    ("Submit", [TASK]),
    ("no such signal", []),
    ("__temporal_internal", [UNREADABLE]),
]


async def test_a_signal_that_does_not_fit_is_kept_under_rejected_and_the_next_task_runs(caller: Caller) -> None:
    session = await caller.start()
    for name, args in UNFIT_SIGNALS:
        await session.signal(name, *args)
    assert "next" == (await session.run("Echo", "next"))["output"]
    snapshot = await session.snapshot()
    assert [name for name, _ in UNFIT_SIGNALS] == [entry["message"] for entry in snapshot["rejected"]]
    assert {"InvalidRequest"} == {entry["error"]["type"] for entry in snapshot["rejected"]}
    assert (1, len(UNFIT_SIGNALS)) == tuple(snapshot["counters"][name] for name in ("submitted", "rejected"))
    for entry in snapshot["rejected"]:
        assert {"at", "message", "task_id", "error", "preview"} <= entry.keys()
        assert entry["at"].endswith("Z")
        assert entry["error"]["message"]
    assert ("t", "1") == (snapshot["rejected"][9]["task_id"], snapshot["rejected"][9]["preview"])


async def test_a_refused_task_id_has_a_record_and_a_valid_resubmission_replaces_it(caller: Caller) -> None:
    session = await caller.start()
    await session.submit("Echo", "asked", task_id="again", timeout=-1)
    record = await session.task("again")
    assert ("rejected", "InvalidRequest") == outcome(record)
    assert record.keys() >= RECORD
    assert "asked" == (await session.run("Echo", "asked", task_id="again"))["output"]
    assert [("submit", "InvalidRequest")] == await session.refusals()


UNFIT_UPDATES: list[tuple[str, Any]] = [
    ("submit_task", None),
    ("submit_task", "text"),
    ("submit_task", UNREADABLE),
    ("submit_task", TASK | {"colour": "red"}),
    ("submit_task", TASK | {"kind": "Session"}),
    ("submit_task", TASK | {"not_before": "2026-11-23T09:00:00"}),
    ("patch_context", {}),
    ("patch_context", BROKEN),
    ("patch_context", {"patch": {"put": {}}}),
    ("patch_context", {"patch": {}, "expected_version": "0"}),
    ("rollback_context", {"version": "0"}),
    ("rollback_context", [0]),
    ("configure", {"colour": "red"}),
    ("configure", {"max_pending": 0}),
    ("configure", NAMELESS),
]


async def test_an_update_that_does_not_fit_is_refused_as_invalid_and_leaves_nothing(caller: Caller) -> None:
    session = await caller.start()
    before = await session.snapshot()
    names = [await refused(session.update(name, body)) for name, body in UNFIT_UPDATES]
    assert ["InvalidRequest"] * len(UNFIT_UPDATES) == names
    assert before == await session.snapshot()


async def test_an_update_of_the_wrong_arity_is_refused_and_leaves_nothing(caller: Caller) -> None:
    session = await caller.start()
    before = await session.snapshot()
    for args in ([], [TASK, TASK], [TASK, UNREADABLE, None]):
        with pytest.raises(WorkflowUpdateFailedError):
            await session.update("submit_task", *args)
    assert before == await session.snapshot()


async def test_a_query_that_cannot_be_answered_says_so_by_name(caller: Caller) -> None:
    session = await caller.start()
    for query in (("context", "latest"), ("context", 1.5), ("context", UNREADABLE), ("task", UNREADABLE)):
        assert "InvalidRequest" == await query_refused(session.query(*query))
    assert None is await session.task("never-heard-of")
    assert (await session.context()) == await session.query("context", None)


async def test_a_snapshot_has_every_field_and_lists_are_never_null(caller: Caller) -> None:
    session = await caller.start()
    snapshot = await session.snapshot()
    assert snapshot.keys() >= SNAPSHOT
    assert (1, session.id, None, [], [], []) == tuple(
        snapshot[name] for name in ("contract", "session_id", "running", "pending", "recent", "rejected")
    )
    assert dict.fromkeys(COUNTERS, 0).items() <= snapshot["counters"].items()
    moment(snapshot["started_at"])


async def test_a_record_has_every_field_at_every_status_and_null_where_there_is_nothing(caller: Caller) -> None:
    session = await caller.start()
    running = await session.begun("Gate", {"output": {"any": "json"}}, labels={"a": "b"})
    pending = await session.submit("Echo", "to wait")
    first, second = await session.task(running), await session.task(pending)
    await session.go(running)
    final = await session.ended(running)
    for record in (first, second, final):
        assert record.keys() >= RECORD
    assert ("running", None, {"before": 0, "after": None}) == (
        first["status"],
        first["finished_at"],
        first["context_version"],
    )
    assert ("pending", 0, "to wait", None, None) == tuple(
        second[name] for name in ("status", "position", "input_preview", "started_at", "run_id")
    )
    assert ("completed", {"any": "json"}, None, {"a": "b"}, {"before": 0, "after": 1}) == tuple(
        final[name] for name in ("status", "output", "error", "labels", "context_version")
    )
    assert moment(final["submitted_at"]) <= moment(final["started_at"]) <= moment(final["finished_at"])


async def test_a_snapshot_shows_what_runs_and_waits_and_what_ended_without_its_output(caller: Caller) -> None:
    session = await caller.start()
    done = await session.run("Echo", "answer")
    running = await session.begun("Gate", {"output": None})
    later = in_seconds(3_600)
    waiting = await session.submit("Echo", {"text": "to wait"}, not_before=later)
    snapshot = await session.snapshot()
    assert [done | {"output": None}] == snapshot["recent"]
    assert await session.task(running) == snapshot["running"]
    (entry,) = snapshot["pending"]
    assert (waiting, "Echo", '{"text":"to wait"}') == (entry["task_id"], entry["kind"], entry["input_preview"])
    assert moment(later) == moment(entry["not_before"])


async def test_counters_count_each_end_once(caller: Caller) -> None:
    session = await caller.start()
    await session.run("Echo")
    await session.run("Fail", "named")
    await session.run("Gate", timeout=0.5)
    await session.run("Echo", expires_at="2001-01-01T00:00:00Z")
    cancelled = await session.begun("Gate")
    await session.signal("cancel_task", {"task_id": cancelled})
    await session.ended(cancelled)
    await session.signal("no such signal")
    ends = dict.fromkeys(["completed", "failed", "cancelled", "timed_out", "expired", "rejected"], 1)
    assert (ends | {"submitted": 5}).items() <= (await session.snapshot())["counters"].items()


async def test_what_was_asked_is_the_childs_summary(caller: Caller) -> None:
    session = await caller.start()
    record = await session.run("Echo", "What colour is a banana?")
    child = await session.child(record["task_id"]).describe()
    assert "What colour is a banana?" == await child.static_summary() == record["input_preview"]


@pytest.mark.parametrize(
    ("error", "args"), UNDECODABLE, ids=["deep", "digits", "broken off", "bytes", "arity", "large"]
)
async def test_a_message_that_cannot_be_decoded_is_rejected_under_its_id(
    caller: Caller, error: str, args: list[Any]
) -> None:
    session = await caller.start()
    await session.signal("submit", *args)
    record = await session.ended("s1")
    assert ("rejected", error) == outcome(record)
    (entry,) = (await session.snapshot())["rejected"]
    assert ("submit", "s1", error) == (entry["message"], entry["task_id"], entry["error"]["type"])
    assert None is await session.task("s2")
    await session.signal("submit", session.request("Echo", "whole", task_id="s1"))
    assert ("completed", "whole") == ((record := await session.ended("s1"))["status"], record["output"])


async def test_half_a_character_becomes_a_replacement_character_wherever_it_stands(caller: Caller) -> None:
    session = await caller.start()
    queue = f'"kind": "Echo", "task_queue": "{caller.kinds_queue}"'
    await session.signal("submit", spelled(f'{{"task_id": "by-signal", "input": {{"{HALF}": "{HALF}"}}, {queue}}}'))
    assert {MENDED: MENDED} == (await session.ended("by-signal"))["output"]
    await session.update("submit_task", spelled(f'{{"task_id": "by-update", "input": "{HALF}", {queue}}}'))
    assert MENDED == (await session.ended("by-update"))["output"]
    raw = b'{"task_id": "by-bytes", "input": "\xed\xa0\xbd, \xed\xa0\xbd\xed\xb8\x80", ' + queue.encode() + b"}"
    await session.signal("submit", spelled(raw))
    assert "\ufffd, \U0001f600" == (await session.ended("by-bytes"))["output"]
    output = await session.run("Spell", f'{{"output": "{HALF}", "patch": {{"set": {{"{HALF}": ["{HALF}"]}}}}}}')
    assert ("completed", MENDED) == (output["status"], output["output"])
    await session.update("patch_context", spelled(f'{{"patch": {{"set": {{"outside": "{HALF}"}}}}}}'))
    assert {MENDED: [MENDED], "outside": MENDED} == await session.values()
    assert MENDED == (await session.context())["transcript"][-1]["output"]


async def test_half_a_character_in_a_question_and_its_answer_is_mended_too(caller: Caller) -> None:
    session = await caller.start()
    task_id = await session.submit("Ask", [{"id": "q", "text": "?", "choices": [MENDED, "no"]}])
    await session.snapshot_when(lambda snapshot: snapshot["status"] == "waiting")
    about = f'"data": {{"{HALF}": ["{HALF}"]}}'
    question = f'{{"id": "q", "text": "{HALF}", "choices": ["{HALF}"], {about}}}'
    await session.signal("task_waiting", spelled(f'{{"task_id": "{task_id}", "question": {question}}}'))
    snapshot = await session.snapshot_when(lambda snapshot: snapshot["running"]["waiting_for"]["text"] != "?")
    shown = tuple(snapshot["running"]["waiting_for"][name] for name in ("text", "choices", "data"))
    assert (MENDED, [MENDED], {MENDED: [MENDED]}) == shown
    await session.signal("respond", spelled(f'{{"task_id": "{task_id}", "value": "{HALF}"}}'))
    assert [MENDED] == [answer["value"] for answer in (await session.ended(task_id))["output"]]


async def test_an_id_with_half_a_character_is_refused_and_taken_for_no_other(caller: Caller) -> None:
    session = await caller.start()
    await session.signal("submit", spelled('{"task_id": "s1\\ud83d", "input": 1}'))
    snapshot = await session.snapshot_when(lambda snapshot: snapshot["counters"]["rejected"] == 1)
    assert None is snapshot["rejected"][0]["task_id"]
    assert None is await session.task("s1")
