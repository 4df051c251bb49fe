"""Messages that no session may accept, of every kind there is: the strategies of the hostile tests."""

import json
from typing import Any

from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

SIGNALS = ("submit", "cancel_task", "respond", "task_waiting", "pause", "resume", "close")
UPDATES = ("submit_task", "patch_context", "rollback_context", "configure")

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)
_NO_OBJECT = st.booleans() | st.integers() | st.text() | st.lists(JSON, max_size=3) | st.floats()


def _payload(encoding: bytes, data: bytes, message_type: bytes | None = None) -> RawValue:
    metadata = {"encoding": encoding} | ({"messageType": message_type} if message_type is not None else {})
    return RawValue(Payload(metadata=metadata, data=data))


def _nested(levels: int) -> RawValue:
    return _payload(b"json/plain", b'{"task_id":"t","input":' + b"[" * levels + b"]" * levels + b"}")


_ENCODINGS = [b"", b"json/plain", b"binary/plain", b"json/protobuf", b"binary/protobuf", b"binary/encrypted", b"\xff"]
_MESSAGE_TYPES = [b"temporal.api.common.v1.Payload", b"temporal.api.common.v1.WorkflowExecution", b"no.Such", b"\xff"]
_BROKEN_JSON = [b"", b"{", b'{"task_id":"t",}', b"[1,2", b'"\\ud800"', b"NaN", b"-Infinity", b"1e999", b"9" * 5_000]

UNREADABLE = st.one_of(
    st.builds(_payload, st.sampled_from(_ENCODINGS) | st.binary(max_size=12), st.binary(max_size=60)),
    st.builds(
        _payload,
        st.sampled_from([b"json/protobuf", b"binary/protobuf"]),
        st.binary(max_size=20) | st.just(b"{}"),
        st.sampled_from(_MESSAGE_TYPES),
    ),
    st.builds(_payload, st.just(b"json/plain"), st.sampled_from(_BROKEN_JSON)),
    st.builds(_nested, st.integers(101, 2_000)),
)
"""Payloads that cannot be read, or not as an object."""

_BAD_ID: st.SearchStrategy[Any] = st.sampled_from(["", "-a", "a/b", "a\n", "ä", "x" * 129, " "]) | st.integers()
_BAD_NAME: st.SearchStrategy[Any] = st.sampled_from(["", "k" * 256]) | st.integers() | st.lists(st.text(), max_size=2)
_BAD_TIME: st.SearchStrategy[Any] = (
    st.sampled_from(["", "now", "2026-11-23", "2026-11-23T09:00:00", "2026-02-30T09:00:00Z", "2026-11-23T09:00:00Z\n"])
    | st.integers()
)
_BAD_SECONDS: st.SearchStrategy[Any] = st.sampled_from([0, -1, 1e12, "60", True, []]) | st.floats(max_value=0)
_BAD_LABELS: st.SearchStrategy[Any] = st.text(min_size=1) | st.dictionaries(st.text(), st.integers(), min_size=1)
_BAD_POLICY: st.SearchStrategy[Any] = st.sampled_from(
    ["all", [], {"read": "some"}, {"read": 1}, {"transcript": -1}, {"transcript": 1.5}, {"write": 1}, {"reads": "all"}]
)
_BAD_WORD: st.SearchStrategy[Any] = (
    st.text().filter(
        lambda word: word not in {"enqueue", "reject", "interrupt", "replace_pending", "drain", "discard", "now"}
    )
    | st.integers()
)
_BAD_PATCH: st.SearchStrategy[Any] = st.sampled_from(
    [None, "text", [], {"set": []}, {"unset": {}}, {"append": {"k": 1}}, {"put": {}}]
)
_BAD_VERSION: st.SearchStrategy[Any] = st.sampled_from([None, "0", 0.5, True, [], {}])

# A body that would be accepted, or refused for what it names; and for each field of it what does not fit.
_BODIES: dict[str, tuple[dict[str, Any], dict[str, st.SearchStrategy[Any]]]] = {
    "submit": (
        {"task_id": "hostile", "input": 1},
        {
            "task_id": _BAD_ID,
            "kind": _BAD_NAME | st.just("Session"),
            "context": _BAD_POLICY,
            "on_busy": _BAD_WORD,
            "not_before": _BAD_TIME,
            "expires_at": _BAD_TIME,
            "timeout": _BAD_SECONDS,
            "task_queue": _BAD_NAME,
            "labels": _BAD_LABELS,
        },
    ),
    "cancel_task": ({"task_id": "hostile"}, {"task_id": _BAD_ID, "reason": st.integers() | st.just("r" * 501)}),
    "respond": ({"task_id": "hostile", "value": 1}, {"task_id": _BAD_ID, "question_id": _BAD_NAME}),
    "task_waiting": (
        {"task_id": "hostile", "question": {"id": "q", "text": "?"}},
        {
            "task_id": _BAD_ID,
            "question": st.sampled_from(
                ["?", 1, [], {}, {"id": "q"}, {"id": "", "text": "?"}, {"id": "q", "text": "?", "data": "x" * 16_384}]
            ),
        },
    ),
    "close": ({"mode": "drain"}, {"mode": _BAD_WORD, "reason": st.integers() | st.just("r" * 501)}),
    "patch_context": (
        {"patch": {}},
        {"patch": _BAD_PATCH, "expected_version": _BAD_VERSION.filter(bool), "request_id": _BAD_NAME},
    ),
    "rollback_context": ({"version": 0}, {"version": _BAD_VERSION, "request_id": _BAD_NAME}),
    "configure": (
        {},
        {
            "owner": _BAD_NAME,
            "default_kind": _BAD_NAME | st.none(),
            "task_timeout": _BAD_SECONDS,
            "max_pending": st.sampled_from([0, 1_001, -1, 1.5, "1", None]),
            "on_failure": _BAD_WORD,
            "read": st.sampled_from(["some", 1, None, [1]]),
            "transcript": st.sampled_from([-1, 0.5, "1", None]),
            "labels": _BAD_LABELS,
        },
    ),
}
_BODIES["submit_task"] = _BODIES["submit"]


@st.composite
def misfits(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A body that looks like what `name` takes, with at least one field wrong, missing or unknown."""
    valid, wrong = _BODIES[name]
    body = dict(valid)
    match draw(st.sampled_from(["wrong", "missing", "unknown"])):
        case "missing" if name not in {"close", "configure"}:
            del body[draw(st.sampled_from(sorted(valid)))]
        case "unknown":
            body[draw(st.text().filter(lambda key: key not in {*valid, *wrong, *_OPTIONAL}))] = draw(JSON)
        case _:
            for field in draw(st.lists(st.sampled_from(sorted(wrong)), min_size=1, max_size=3)):
                body[field] = draw(wrong[field])
    return body


_OPTIONAL = {"mode", "reason", "title", "cancel_grace", "idle_timeout", "request_id"}


def _refusable(message: tuple[str, list[Any]]) -> bool:
    """Not null or empty where that is a valid body, nor an object by chance."""
    name, args = message
    if len(args) > 1 or name not in {*SIGNALS, *UPDATES}:
        return True
    if not args or args[0] is None:
        return name not in {"pause", "resume", "close"}
    if isinstance(args[0], RawValue) and args[0].payload.metadata["encoding"] == b"json/plain":
        try:
            return not isinstance(json.loads(args[0].payload.data), dict | None) or name not in {"close", "configure"}
        except (ValueError, RecursionError):
            return True
    return True


_ANYTHING = JSON | UNREADABLE


def _message(names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, list[Any]]]:
    known = st.sampled_from(names)
    unknown = st.text(min_size=1, max_size=30).filter(lambda name: name not in {*SIGNALS, *UPDATES})
    reserved = st.sampled_from(["__temporal_internal", "__stack_trace", "Submit", "close ", "submit\x00"])
    fitting = [name for name in names if name in _BODIES]
    return st.one_of(
        st.tuples(known, st.lists(UNREADABLE | _NO_OBJECT, min_size=1, max_size=1)),
        st.tuples(known, st.lists(_ANYTHING, min_size=2, max_size=4)),
        st.tuples(known, st.just([])),
        st.tuples(unknown | reserved, st.lists(_ANYTHING, max_size=3)),
        *(st.tuples(st.just(name), misfits(name).map(lambda body: [body])) for name in fitting),
    ).filter(_refusable)


HOSTILE_SIGNAL = _message(SIGNALS)
"""A signal that is to be kept under `rejected`."""

HOSTILE_UPDATE = _message(UPDATES)
"""An update that is to be refused."""
