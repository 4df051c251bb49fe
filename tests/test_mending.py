"""Half a character, and messages that do not parse: what is made of them. Pure."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from tests.samples import JSON, refused
from workflows.contract import ContextPatch, Question, TaskOutput
from workflows.temporal.backlog import Backlog
from workflows.wire.encoding import plain
from workflows.wire.limits import MESSAGE_BYTES
from workflows.wire.mending import mended, mended_json, mended_value, texts_of
from workflows.wire.messages import DATA_CONVERTER, decoded, remains

TEXT = st.text(st.characters() | st.sampled_from("\ud83d\ude00\\u"))
BROKEN = st.recursive(
    st.none() | st.integers() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=10
)
CONVERTER = DATA_CONVERTER.payload_converter
HALF, WHOLE = "half \ud83d", "half \ufffd"


def walked(value: Any) -> Any:
    """Every text in `value` mended, one by one."""
    if isinstance(value, dict):
        return {mended(key): walked(item) for key, item in value.items()}
    return (
        [walked(item) for item in value]
        if isinstance(value, list)
        else mended(value)
        if value.__class__ is str
        else value
    )


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("a\ufffdb", "a\ud83db"),
        ("\ufffdA", "\ud83dA"),
        ("\ufffd\U0001f600", "\ud83d\ud83d\ude00"),
        ("\ufffd\ufffd", "\ude00\ud83d"),
        ("\U0001f600", "\ud83d\ude00"),
        ("\U0001f600\ufffd", "\U0001f600\ufffd"),
    ],
)
def test_what_is_half_a_character_is_replaced_and_two_halves_are_joined(expected: str, text: str) -> None:
    assert expected == mended(text)


@given(BROKEN)
@example("\\\ud83d")
@example("\\ud83d")
def test_json_with_halves_is_read_as_each_text_mended(value: Any) -> None:
    for data in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")):
        assert walked(value) == from_json(mended_json(data))


@given(JSON)
def test_json_without_halves_is_left_as_it_is(value: Any) -> None:
    data = to_json(value)
    assert data == mended_json(data)


@given(BROKEN)
def test_whatever_a_program_sends_is_written_and_read_mended(value: Any) -> None:
    assert walked(value) == CONVERTER.from_payload(CONVERTER.to_payload(value))
    assert walked(value) == mended_value(value)


def test_models_tuples_and_sets_are_written_mended() -> None:
    value = {"a": TaskOutput(output=[(HALF,), {HALF}])}
    expected = {"a": {"output": [[WHOLE], [WHOLE]], "patch": None, "usage": None, "finish_reason": None}}
    assert expected == CONVERTER.from_payload(CONVERTER.to_payload(value))


def test_what_no_converter_can_write_is_still_refused() -> None:
    with pytest.raises(ValueError, match="unknown type"):
        CONVERTER.to_payload({HALF: object()})


def test_patches_and_questions_of_a_kind_are_mended_as_they_are_made() -> None:
    patch = ContextPatch(set={HALF: 1}, unset=[HALF], append={HALF: []})
    assert ({WHOLE: 1}, [WHOLE], {WHOLE: []}) == (patch.set, patch.unset, patch.append)
    question = Question(id="q", text=HALF, choices=[HALF])
    assert (WHOLE, [WHOLE]) == (question.text, question.choices)


@pytest.mark.parametrize("final", [True, False])
def test_a_failure_with_half_a_character_is_reported_with_its_causes(final: bool) -> None:
    error = ApplicationError(HALF, type=f"{HALF}Error", non_retryable=final)
    with pytest.raises(ApplicationError):  # for its traceback
        raise error
    error.__cause__ = KeyError(HALF)
    failures = [Failure(), Failure()]
    DATA_CONVERTER.failure_converter.to_failure(error, CONVERTER, failures[0])
    outer = ApplicationError("outer")
    outer.__cause__ = error
    DATA_CONVERTER.failure_converter.to_failure(outer, CONVERTER, failures[1])
    for failure in (failures[0], failures[1].cause):
        info = failure.application_failure_info
        assert (WHOLE, f"{WHOLE}Error", final) == (failure.message, info.type, info.non_retryable)
        assert "raise error" in failure.stack_trace


@pytest.mark.parametrize(
    ("expected", "data"),
    [
        ({"task_id": "a", "kind": "K"}, '{"kind":"K","input":[[{"task_id":"no"}]],"task_id" : "a",}'),
        ({"task_id": "b"}, '{"task_id":"a","task_id":"b"'),
        ({}, '{"task_id":"a","task_id":5'),
        ({"task_id": 'a"{'}, r'{"x":"\"task_id\":","task_id":"a\"{"'),
        ({"task_id": "a"}, r'{"x":"}{[\\","task_id":"\u0061"'),
        ({}, '["task_id","a"]'),
        ({}, '["task_id":"a"'),
        ({}, '"task_id":"a"'),
        ({}, '{"task_id":"breaks o'),
        ({}, '{"task_id":"a\\ud83d"}'),
        ({}, '{"input":{"task_id":"a"'),
        ({}, ""),
    ],
)
def test_texts_are_found_in_an_object_that_does_not_parse(expected: dict[str, str], data: str) -> None:
    assert expected == texts_of(("task_id", "kind"), data.encode())


@given(st.dictionaries(st.sampled_from(["task_id", "kind", "input", "\\"]), JSON))
def test_texts_of_an_object_that_parses_are_those_it_has(body: dict[str, Any]) -> None:
    found = {name: body[name] for name in ("task_id", "kind") if isinstance(body.get(name), str)}
    for ensure_ascii in (True, False):
        assert found == texts_of(("task_id", "kind"), json.dumps(body, ensure_ascii=ensure_ascii).encode())


def test_a_model_of_any_program_is_sent_mended() -> None:
    given = plain(TaskOutput(output=[HALF]))
    assert [WHOLE] == given.pop("output")
    assert {None} == set(given.values())


def test_what_is_refused_unread_keeps_whose_it_is_and_of_what_kind() -> None:
    def sent(data: bytes) -> list[RawValue]:
        return [RawValue(Payload(metadata={"encoding": b"json/plain"}, data=data))]

    broken = sent(b'{"task_id":"a","kind":"Shout","input":"cut off')
    large = sent(b'{"task_id":"a","kind":"Shout","input":"' + b"x" * MESSAGE_BYTES)
    for message in (broken, large, [*broken, *broken]):
        assert {"task_id": "a", "kind": "Shout"} == remains(message)
    with refused("InputTooLarge"):
        decoded(large)
    with refused("InvalidRequest"):
        decoded([*broken, *broken])
    assert None is remains([]) is remains(sent(b"{"))


def test_a_message_that_does_not_parse_is_found_while_it_waits_its_turn() -> None:
    backlog, payload = Backlog(), Payload(metadata={"encoding": b"json/plain"}, data=b'{"task_id":"a","input":"cut off')
    while not backlog.keeps(("pause", [])):
        pass
    assert not backlog.has_task("a")
    assert backlog.keeps(("submit", [RawValue(payload)]))
    assert backlog.has_task("a")
