"""The wire contract: what requests refuse, what is filled in, and that every model survives JSON."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from tests.samples import NOW, refused
from workflows import contract
from workflows.contract import (
    CancelRequest,
    CloseRequest,
    Compact,
    Compaction,
    Config,
    ConfigureRequest,
    ContextPatch,
    ContextPolicy,
    ForkSource,
    Notify,
    PatchRequest,
    RespondRequest,
    RollbackRequest,
    StartRequest,
    TaskRequest,
)
from workflows.state.opening import opened
from workflows.wire import limits
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import Carried, Request
from workflows.wire.validation import checked_id, parsed

MOMENT = "2026-11-23T09:00:00Z"
TASK = {"task_id": "a", "input": 1}
SEEN = {"version": 0, "values": {"none": None}, "transcript": []}
RECORD = {"task_id": "a", "kind": "Answer", "status": "pending", "submitted_at": None, "input_preview": "1"}
ERROR = {"type": "KeyError", "message": "'tea'"}
EMPTY: dict[str, Any] = {"config": {}, "running": None, "pending": [], "recent": [], "counters": {}, "rejected": []}
MINIMAL: dict[type[BaseModel], dict[str, Any]] = {
    Compact: {"kind": "Summarise"},
    Notify: {"url": "https://hooks.example.com/", "on": ["task"]},
    Compaction: {"through": 0},
    Config: {},
    ConfigureRequest: {},
    ContextPolicy: {},
    TaskRequest: TASK,
    CancelRequest: {"task_id": "a"},
    RespondRequest: {"task_id": "a", "value": None},
    CloseRequest: {},
    ContextPatch: {},
    PatchRequest: {"patch": {}},
    RollbackRequest: {"version": 0},
    ForkSource: {"session_id": "s"},
    StartRequest: {},
    contract.ScheduledTaskStart: {"session_id": "s", "schedule": "news", "request": {"input": 1}},
    contract.Question: {"id": "q", "text": "Really?"},
    contract.WaitingNotice: {"task_id": "a", "question": None},
    contract.RefusalNotice: {"task_id": "a", "error": ERROR},
    contract.Answer: {"question_id": "q", "value": None},
    contract.Turn: {"task_id": "a", "version": 1, "finished_at": MOMENT},
    contract.InjectedContext: {"write": True, **SEEN},
    contract.TaskInput: {"session_id": "s", **TASK, "context": {"write": False, **SEEN}},
    contract.TaskOutput: {"output": None},
    contract.ErrorInfo: ERROR,
    contract.ContextVersions: {},
    contract.TaskRecord: RECORD,
    contract.TaskEvent: {"type": "text", "cursor": "1.2", "text": "Hi"},
    contract.RejectedEntry: {"at": MOMENT, "message": "submit", "error": ERROR, "preview": ""},
    contract.PendingEntry: {"task_id": "a", "kind": "Answer", "input_preview": "1"},
    contract.Counters: {},
    contract.Snapshot: {"session_id": "s", "status": "idle", "started_at": MOMENT, "context_version": 0, **EMPTY},
    contract.LogEntry: {"version": 1, "by": "a", "at": MOMENT, "changed": ["k"]},
    contract.ContextView: SEEN | {"log": []},
    contract.SubmitResult: {"task_id": "a", "status": "pending", "position": None},
}

# Section 3 of the design, field by field: names are added, never changed.
NAMES: dict[type[BaseModel], str] = {
    Compact: "kind turns bytes",
    Notify: "url on",
    Compaction: "through",
    Config: "owner title labels default_kind task_timeout cancel_grace max_pending idle_timeout on_failure read "
    "transcript stream compact notify",
    ConfigureRequest: "owner title labels default_kind task_timeout cancel_grace max_pending idle_timeout "
    "on_failure read transcript stream compact notify request_id",
    ContextPolicy: "read transcript write",
    TaskRequest: "task_id input kind context on_busy not_before expires_at timeout task_queue labels stream "
    "notify priority",
    CancelRequest: "task_id reason",
    RespondRequest: "task_id question_id value",
    CloseRequest: "mode reason",
    ContextPatch: "set unset append compact",
    PatchRequest: "patch expected_version request_id",
    RollbackRequest: "version request_id",
    ForkSource: "session_id version",
    StartRequest: "config context fork_of",
    contract.ScheduledTaskStart: "session_id schedule request open",
    contract.Question: "id text choices expires_at data",
    contract.WaitingNotice: "task_id question run_id",
    contract.RefusalNotice: "task_id run_id error",
    contract.Answer: "question_id value",
    contract.Turn: "task_id version input output finished_at finish_reason",
    contract.InjectedContext: "version write values transcript",
    contract.TaskInput: "contract session_id task_id input context stream",
    contract.TaskOutput: "output patch usage finish_reason",
    contract.ErrorInfo: "type message",
    contract.ContextVersions: "before after",
    contract.TaskRecord: "task_id kind status position labels submitted_at started_at finished_at input_preview output "
    "error context_version usage finish_reason waiting_for run_id",
    contract.TaskEvent: "type cursor text data record",
    contract.RejectedEntry: "at message task_id error preview",
    contract.PendingEntry: "task_id kind not_before input_preview",
    contract.Counters: "submitted completed failed cancelled timed_out expired rejected",
    contract.Snapshot: "contract session_id status config started_at running pending recent context_version counters "
    "rejected",
    contract.LogEntry: "version by at changed",
    contract.ContextView: "version values transcript log fork_of",
    contract.SubmitResult: "task_id status position",
}
ERRORS = (
    "SessionClosed, SessionNotFound, InvalidRequest, QueueFull, Busy, TaskIdConflict, UnknownTask, UnknownKind, "
    "NotWaiting, InputTooLarge, OutputTooLarge, ContextTooLarge, InvalidOutput, PatchNotAllowed, ContextConflict, "
    "UnknownVersion, TaskFailed, TaskTimedOut, TaskCancelled, TaskExpired, TaskTerminated, ChildRefused, "
    "BudgetSpent, KeyMissing, FileTooLarge, FileNotFound, FilesUnavailable"
)


def test_every_model_of_the_contract_is_tested_here() -> None:
    bases = {Request, Carried}
    models = {m for m in vars(contract).values() if isinstance(m, type) and issubclass(m, BaseModel)}
    assert models - bases - {BaseModel} == set(MINIMAL) == set(NAMES)


def test_the_error_names_are_those_of_the_contract() -> None:
    assert ERRORS.split(", ") == [str(name) for name in ErrorType]


@pytest.mark.parametrize("model", NAMES)
def test_a_models_fields_are_those_of_the_contract_and_others_are_optional(model: type[BaseModel]) -> None:
    named = NAMES[model].split()
    more = {name: field for name, field in model.model_fields.items() if name not in named}
    assert set(named) == set(model.model_fields) - set(more)
    assert not any(field.is_required() for field in more.values())


@pytest.mark.parametrize("model", MINIMAL)
@pytest.mark.parametrize("exclude_none", [False, True], ids=["with nulls", "without nulls"])
def test_a_model_survives_json(model: type[BaseModel], exclude_none: bool) -> None:
    value = model.model_validate(MINIMAL[model])
    keep = {name for name, field in model.model_fields.items() if field.is_required()} if exclude_none else set()
    sent = from_json(value.model_dump_json(exclude_none=exclude_none))
    assert value == model.model_validate(dict.fromkeys(keep) | sent)


@pytest.mark.parametrize("model", MINIMAL)
def test_unknown_fields_are_refused_in_requests_and_ignored_elsewhere(model: type[BaseModel]) -> None:
    body = MINIMAL[model] | {"from_the_future": 1}
    if issubclass(model, Request | ContextPatch):
        with pytest.raises(ValueError, match="from_the_future"):
            model.model_validate(body)
    else:
        assert model.model_validate(MINIMAL[model]) == model.model_validate(body)


def test_a_config_left_empty_has_the_defaults_of_the_contract() -> None:
    nulls = dict.fromkeys(["owner", "title", "idle_timeout", "compact", "budget", "notify"])
    numbers = {"task_timeout": 3600, "cancel_grace": 30, "max_pending": 1000, "transcript": 20}
    others = {
        "labels": {},
        "queues": {},
        "default_kind": "Answer",
        "on_failure": "continue",
        "read": "all",
        "stream": False,
    }
    assert {**nulls, **numbers, **others} == parsed(Config, {}).model_dump()


def test_a_compact_left_empty_has_the_bounds_of_its_limits_and_null_is_empty() -> None:
    empty, null = {"kind": "Summarise"}, {"kind": "Summarise", "turns": None, "bytes": None}
    for body in (empty, null, empty | {"turns": 12}, empty | {"bytes": 65_536}):
        assert empty | {"turns": 12, "bytes": 65_536} == parsed(Config, {"compact": body}).model_dump()["compact"]
    assert parsed(Config, {"compact": empty | {"turns": 133, "bytes": 174_762}}).compact


def test_a_patch_without_compaction_is_written_as_before_there_was_one() -> None:
    """Sessions of before refuse the fields of a patch that they do not know."""
    assert {"set", "unset", "append"} == set(ContextPatch().model_dump())
    assert {"through": 3} == ContextPatch(compact=Compaction(through=3)).model_dump()["compact"]


def test_a_close_left_empty_drains() -> None:
    assert CloseRequest(mode="drain", reason=None) == parsed(CloseRequest, {})


@pytest.mark.parametrize(
    ("model", "nulls"),
    [
        (TaskRequest, TASK | {"labels": None}),
        (Config, {"labels": None}),
        (ContextPatch, {"set": None, "unset": None, "append": None}),
        (StartRequest, {"context": None}),
    ],
)
def test_a_null_list_or_object_is_an_empty_one(model: type[BaseModel], nulls: dict[str, Any]) -> None:
    """The server's HTTP API turns `[]` into null."""
    assert model.model_validate(MINIMAL[model]) == model.model_validate(nulls)


@pytest.mark.parametrize(
    "options",
    [
        {"input": None},
        {"input": {"any": [1.5, None, "json"]}},
        {"timeout": 5},
        {"timeout": limits.DURATION_SECONDS},
        {"context": {"read": ["k"], "transcript": 0, "write": False}},
        {"labels": {"k": "v" * 1_000}},
        {"kind": "k" * 255, "task_queue": "elsewhere"},
        {"task_id": "A" + "._-" * 42 + "9"},
        {"kind": None, "context": None, "on_busy": None, "timeout": None, "not_before": None},
    ],
    ids=str,
)
def test_a_task_request_takes(options: dict[str, Any]) -> None:
    assert (TASK | options).items() <= parsed(TaskRequest, TASK | options).model_dump().items()


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-23T09:00:00Z",
        "2026-11-23t09:00:00z",
        "2026-11-23 09:00:00+00:00",
        "2026-11-23T10:30:00+01:30",
        "2026-11-22T22:00:00.000-11:00",
    ],
)
def test_a_time_with_any_offset_is_the_same_moment_in_utc(time: str) -> None:
    assert f'"{MOMENT}"'.encode() in to_json(parsed(TaskRequest, TASK | {"not_before": time}))


def test_a_task_queue_is_the_servers_own_only_by_how_it_begins() -> None:
    for queue in ("my-temporal-sys-queue", "temporal-sys", "a/_sys/b", "_sys/b"):
        assert queue == parsed(TaskRequest, TASK | {"task_queue": queue}).task_queue


WRONG: dict[str, list[Any]] = {
    "task_id": ["", "-a", "a/b", "a\n", "ä", "x" * 129, "a\ud800", 5, None],
    "kind": ["", "k" * 256, 5, "Session"],
    "task_queue": ["", "/_sys/mine", "temporal-sys-per-ns-tq"],
    "timeout": ["5", True, 0, 1e-7, -1, float("nan"), float("inf"), limits.DURATION_SECONDS * 1.01],
    "on_busy": ["wait", 1],
    "not_before": [
        "2026-11-23T09:00:00",
        NOW.replace(tzinfo=None),
        "2026-11-23T09:00Z",
        "2026-11-23T09:00:00Z\n",
        "2026-02-30T09:00:00Z",
        "2026-11-23",
        1_800_000_000,
        "1800000000",
    ],
    "expires_at": ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"],
    "labels": [{"k": 1}, {"k": None}, [], {"k": "v" * limits.LABELS_BYTES}],
    "context.read": ["some", [1]],
    "context.transcript": [-1, True, 5.0],
    "context.write": [1],
    "context.writes": [True],
    "taskid": ["a"],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in WRONG.items() for value in values],
    ids=lambda value: repr(value)[:40],
)
def test_a_task_request_refuses_and_names_the_field(field: str, value: Any) -> None:
    outer, _, inner = field.partition(".")
    with refused("InvalidRequest") as caught:
        parsed(TaskRequest, TASK | {outer: {inner: value} if inner else value})
    assert caught.value.message.startswith(field)


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (TaskRequest, {"task_id": "a"}),
        (TaskRequest, None),
        (Config, {"max_pending": 0}),
        (Config, {"max_pending": limits.PENDING_TASKS + 1}),
        (Config, {"cancel_grace": -1}),
        (Config, {"default_kind": None}),
        (Config, {"queues": {"Shout": "/_sys/mine"}}),
        (Config, {"queues": {"Shout": ""}}),
        (Config, {"budget": {}}),
        (Config, {"budget": {"": 1}}),
        (Config, {"budget": {"tokens": -1}}),
        (Config, {"budget": {"tokens": "many"}}),
        (Config, {"budget": {"tokens": True}}),
        (Config, {"budget": {"tokens": float("inf")}}),
        (Config, {"budget": {f"tokens{number}": 1 for number in range(60)}}),
        (Config, {"queues": {"": "shouting"}}),
        (Config, {"queues": {"Session": "shouting"}}),
        (Config, {"queues": {"Shout": None}}),
        (Config, {"queues": {f"Shout{number}": "shouting" * 10 for number in range(50)}}),
        (Config, {"default_kind": "Session"}),
        (Config, {"default_kind": "k" * 1_001}),
        (Config, {"read": ["k" * limits.CONTEXT_BYTES]}),
        (Config, {"compact": {}}),
        (Config, {"compact": "Summarise"}),
        (Config, {"compact": {"kind": "Session"}}),
        (Config, {"compact": {"kind": None}}),
        (Config, {"compact": {"kind": "Summarise", "every": 1}}),
        *((Config, {"compact": {"kind": "Summarise", "turns": turns}}) for turns in (0, 134, "20", True, 1.5)),
        *((Config, {"compact": {"kind": "Summarise", "bytes": size}}) for size in (0, 1_023, 174_763, 1e5)),
        (CancelRequest, {"task_id": "a", "reason": "x" * 501}),
        (PatchRequest, {"patch": {"unset": "k"}}),
        (PatchRequest, {"patch": {"append": {"k": "v"}}}),
        (PatchRequest, {"patch": {"delete": ["k"]}}),
        *((PatchRequest, {"patch": {"compact": through}}) for through in (3, {}, {"through": -1}, {"through": "3"})),
        (PatchRequest, {"patch": {}, "expected_version": "1"}),
        (RollbackRequest, {"version": True}),
        (RollbackRequest, {"version": 1.0}),
        (StartRequest, {"fork_of": {"session_id": "a b"}}),
        (StartRequest, {"context": []}),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_request_refuses(model: type[Request], body: Any) -> None:
    with refused("InvalidRequest"):
        parsed(model, body)


def test_an_explanation_names_three_problems_in_one_line_and_counts_the_rest() -> None:
    with refused("InvalidRequest") as caught:
        parsed(TaskRequest, {"kind": "", "timeout": 0, "on_busy": "x", "labels": 1})
    named = [part.split(":")[0] for part in caught.value.message.split("; ")]
    assert named == ["task_id", "input", "kind"]
    assert caught.value.message.endswith(" and 3 more")


def test_an_explanation_keeps_the_offending_values_out() -> None:
    for name in TaskRequest.model_fields:
        for value in ("/SECRET", ["/SECRET"], {"k": ["/SECRET"]}):
            try:
                parsed(TaskRequest, TASK | {name: value})
            except SessionError as error:
                assert "SECRET" not in error.message  # noqa: PT017 (an `input` or a `kind` may well be that)


@pytest.mark.parametrize("usage", [{"u" * limits.USAGE_BYTES: 1}, {"u": float("inf")}, {"u": "1 cent"}, {"u": None}])
def test_usage_is_a_handful_of_numbers(usage: Any) -> None:
    with pytest.raises(ValidationError):
        contract.TaskOutput(output=1, usage=usage)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        ("stop", None),
        ("", None),
        (" ", None),
        ("length", "length"),
        ("Stop", "Stop"),
        ("half \ud83d", "half \ufffd"),
        ("l" * limits.FINISH_REASON_BYTES, "l" * limits.FINISH_REASON_BYTES),
    ],
)
def test_a_finish_reason_is_there_where_an_answer_did_not_end_by_itself(given: Any, kept: str | None) -> None:
    assert kept == contract.TaskOutput(output=1, finish_reason=given).finish_reason


@pytest.mark.parametrize("reason", ["l" * 10_000, "\x01" * 64, '"' * 64, "\U0001f600" * 64])
def test_a_finish_reason_is_cut_rather_than_an_answer_lost(reason: str) -> None:
    kept = contract.TaskOutput(output=1, finish_reason=reason).finish_reason
    assert kept is not None
    assert kept.endswith("…")
    assert len(to_json(kept)) - 2 <= limits.FINISH_REASON_BYTES


@pytest.mark.parametrize("reason", [1, ["length"], {"type": "length"}])
def test_a_finish_reason_is_a_word(reason: Any) -> None:
    with pytest.raises(ValidationError):
        contract.TaskOutput(output=1, finish_reason=reason)


@pytest.mark.parametrize("name", ["two\nlines", "x" * 10_000], ids=["line break", "long"])
def test_a_strange_field_name_leaves_the_explanation_one_short_line(name: str) -> None:
    for body in (TASK | {name: 1}, TASK | {"labels": {name: 1}}):
        with refused("InvalidRequest") as caught:
            parsed(TaskRequest, body)
        assert len(caught.value.message.splitlines()) == 1
        assert len(caught.value.message) < limits.REASON_CHARS


@pytest.mark.parametrize("value", ["", "a/b", "a\n", "x" * 129, "/" * 10_000])
def test_an_id_checked_alone_is_refused_in_one_short_line(value: str) -> None:
    with refused("InvalidRequest") as caught:
        checked_id(value)
    assert len(caught.value.message) < limits.REASON_CHARS


def test_the_id_of_a_tasks_workflow_is_its_sessions_and_its_own() -> None:
    assert contract.task_workflow_id("s", checked_id("a.b-c_1")) == "s/a.b-c_1"


def test_a_session_that_is_to_begin_with_its_own_context_never_begins() -> None:
    with refused("InvalidRequest") as caught:
        opened([{"fork_of": {"session_id": "s"}}], "s", NOW, continued=False)
    assert caught.value.message.startswith("fork_of")
    assert opened([{"fork_of": {"session_id": "other"}}], "s", NOW, continued=False).fork_of
