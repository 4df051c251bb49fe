"""Every limit at once, with texts that expand in JSON: the state still fits the one payload that hands it over."""

from typing import Any

from tests.samples import EXPANDING, NOW, at, carried, handed_over, request, session, start
from workflows.contract import (
    CancelRequest,
    CloseRequest,
    ContextPatch,
    ErrorInfo,
    PatchRequest,
    Question,
    RefusalNotice,
    TaskOutput,
    WaitingNotice,
)
from workflows.state.session_state import SessionState
from workflows.wire import limits
from workflows.wire.encoding import json_bytes, model_bytes
from workflows.wire.errors import SessionError

WORST_NAME = EXPANDING[0] * limits.NAME_CHARS
WORST_KIND = EXPANDING[0] * ((limits.SERVER_NAME_BYTES - 2) // 6)
WORST_REASON = EXPANDING[0] * (limits.FINISH_REASON_BYTES // 6)
WORST_LABELS = {"l": EXPANDING[0] * (limits.LABELS_BYTES // 6 - 2)}
NOTIFY = {"url": "https://a/".ljust(limits.NOTIFY_URL_BYTES, "x"), "on": ["question"] * 4}
KEYS = ["k" * (limits.READ_BYTES - 4)]


def expanding(size: int) -> str:
    """A text that weighs about `size` bytes as JSON, of characters that weigh six or two."""
    return (EXPANDING * (size // 16))[: size // 4]


def ended(state: SessionState, number: int, asked: Any, output: Any, *, write: bool) -> None:
    """One task from its submission to its end, with an id as long as may be."""
    task_id = str(number).ljust(limits.ID_CHARS, "x")
    state.submit(request(task_id, input=asked, kind="k" * 20, context={"write": write}), at(0.123456))
    start(state)
    assert state.running
    state.running.run_id = "r" * 36
    reason = WORST_REASON if asked else None
    usage = {"tokens": 1.5, f"name{number:04}": 1.5} if asked else None
    state.complete(TaskOutput(output=output, usage=usage, finish_reason=reason), at(0.123456))


def full_session() -> SessionState:
    names = {"owner": WORST_NAME, "title": WORST_NAME, "labels": WORST_LABELS, "default_kind": WORST_KIND}
    queues = {"elsewhere": "q", WORST_KIND: WORST_KIND[: limits.QUEUES_BYTES // 12]}
    budget = {"b" * 255: 1.5, "c" * 230: 1}
    state = session(**names, read=KEYS, queues=queues, compact={"kind": WORST_KIND}, budget=budget, notify=NOTIFY)
    for number in range(limits.SEEN_IDS):
        asked = expanding(150) if number >= limits.SEEN_IDS - limits.RECORDS else ""
        ended(state, number, asked, expanding(200) if asked else "", write=False)
    for number in range(20_000, 20_000 + limits.RECORDS - 2, 2):
        ended(state, number, expanding(640), "", write=True)
        ended(state, number + 1, expanding(150), expanding(400), write=False)
    ended(state, 30_000, expanding(limits.INPUT_BYTES - 100), expanding(100_000), write=True)
    for number in range(300):
        body = {"task_id": "t" * limits.ID_CHARS, "kind": WORST_NAME, "input": expanding(900)}
        state.refuse(expanding(900), body, SessionError("E" * 900, expanding(900)), NOW)
        patch = PatchRequest(patch=ContextPatch(set={"a": f"{number}{expanding(4_000)}"}), request_id=str(number))
        state.patch_context(patch, NOW)
    options = {"kind": WORST_KIND, "labels": WORST_LABELS, "task_queue": WORST_KIND, "context": {"read": KEYS}}
    options["notify"] = NOTIFY
    state.submit(request("r" * limits.ID_CHARS, input=expanding(limits.INPUT_BYTES - 100), priority=5, **options), NOW)
    start(state)
    data = {"tool": "t", "arguments": {"text": expanding(limits.QUESTION_DATA_BYTES - 100)}}
    words = expanding(limits.QUESTION_BYTES - 100)
    question = Question(id=WORST_NAME, text=words, choices=[words], expires_at=NOW, data=data)
    state.wait(WaitingNotice(task_id="r" * limits.ID_CHARS, question=question))
    error = ErrorInfo(type="E" * 900, message=expanding(2_000))
    for number in range(limits.REFUSED_STARTS):
        state.refuse_task(RefusalNotice(task_id=str(number).ljust(limits.ID_CHARS, "x"), error=error), NOW)
    touched = {str(number): 0 for number in range(limits.TOUCHED_KEYS - 2)}
    state.context.patch(ContextPatch(set=touched), None, NOW)
    state.context.patch(ContextPatch(unset=list(touched)), None, NOW)
    room = limits.CONTEXT_BYTES - json_bytes(state.context.values)
    state.context.patch(ContextPatch(set={"b": expanding(room - 50)}), None, NOW)
    for number in range(limits.PENDING_TASKS):
        state.submit(request(f"w{number}", input=expanding(224), context={"read": "all"}, kind="k"), NOW)
    state.cancel(CancelRequest(task_id="r" * limits.ID_CHARS, reason=EXPANDING[0] * limits.REASON_CHARS), NOW)
    state.close(CloseRequest(reason=EXPANDING[0] * limits.REASON_CHARS), NOW)
    return state


def test_a_session_with_every_limit_full_fits_into_the_payload_that_hands_it_over() -> None:
    state = full_session()
    context, ledger = state.context, state.ledger
    asked = state.running_task().waiting_for
    assert asked
    filled = {
        "pending": (state.pending.bytes, limits.PENDING_BYTES),
        "values": (json_bytes(context.values), limits.CONTEXT_BYTES),
        "transcript": (sum(map(model_bytes, context.transcript)), limits.TRANSCRIPT_BYTES),
        "log": (sum(map(model_bytes, context.log)), limits.LOG_BYTES),
        "outputs and question": (sum(ledger._output_bytes.values()) + model_bytes(asked), limits.RECORD_OUTPUT_BYTES),
        "data": (json_bytes(asked.data), limits.QUESTION_DATA_BYTES),
        "records": (sum(ledger._record_bytes.values()), limits.RECORDS_BYTES),
        "rejected": (sum(map(model_bytes, ledger.rejected)), limits.REJECTED_BYTES),
        "seen": (len(ledger.seen.model_dump()["packed"]), 13 * limits.SEEN_IDS),
        "touched": (len(context.touched or ()), limits.TOUCHED_KEYS),
        "refused": (len(state.refused), limits.REFUSED_STARTS),
        "usage": (json_bytes(state.usage), limits.USAGE_SUM_BYTES),
        "budget": (json_bytes(state.config.budget), limits.BUDGET_BYTES),
        "answered": (len(state.answered.versions), limits.REQUEST_IDS),
    }
    assert [] == [name for name, (weight, limit) in filled.items() if not 0.95 < weight / limit <= 1.01]
    assert len(carried(state)) < limits.STATE_BYTES
    assert carried(state) == carried(handed_over(state))
