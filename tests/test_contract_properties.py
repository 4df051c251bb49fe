"""Any JSON as any message of the contract: it is refused in one short line, or it means the same in every form."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import from_json

from tests.samples import JSON, NOW
from tests.test_contract import MINIMAL
from workflows.wire import limits
from workflows.wire.errors import ErrorType, SessionError
from workflows.wire.fields import Carried, Request
from workflows.wire.validation import checked_id, parsed

REQUESTS = [model for model in MINIMAL if issubclass(model, Request)]
CARRIED = [model for model in MINIMAL if issubclass(model, Carried)]
LIKELY = st.one_of(
    st.sampled_from([None, True, 0, -1, 1.5, 1e308, 2**63, [], ["k"], [0], {}, {"k": "v"}]),
    st.sampled_from(["", "a", "a/b", "../a", "a\n", "\x00", "%00", "' OR ''='", "\u202ea", "🍌", "x" * 255, "x" * 256]),
    st.sampled_from(["all", "none", "drain", "reject", "running", NOW.isoformat()]),
)
"""What is close to what some field takes."""


def bodies(model: type[Request | Carried]) -> st.SearchStrategy[dict[str, Any]]:
    """A body that `model` takes, but for some fields, which may be anything."""
    changes = st.dictionaries(st.sampled_from([*model.model_fields, "made_up"]), LIKELY | JSON, max_size=4)
    return changes.map(lambda changed: MINIMAL[model] | changed)


def means_the_same(value: Request | Carried) -> None:
    """As it is sent, and as it is sent once more."""
    sent = value.model_dump_json()
    again = type(value).model_validate(from_json(sent))
    assert value == again
    assert sent == again.model_dump_json()


@given(st.data())
def test_a_request_with_anything_in_its_fields_is_refused_in_one_short_line_or_means_the_same(
    data: st.DataObject,
) -> None:
    model = data.draw(st.sampled_from(REQUESTS))
    body = data.draw(bodies(model) | JSON)
    try:
        request = parsed(model, body)
    except SessionError as error:
        assert ErrorType.INVALID_REQUEST == error.type  # noqa: PT017 (either way will do)
        assert 1 == len(error.message.splitlines())  # noqa: PT017
        assert len(error.message) < limits.REASON_CHARS  # noqa: PT017
    else:
        means_the_same(request)


@given(st.data())
def test_what_is_carried_with_anything_in_its_fields_does_not_fit_or_means_the_same(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(CARRIED))
    try:
        value = model.model_validate(data.draw(bodies(model)))
    except ValidationError:
        return
    means_the_same(value)


@given(LIKELY | JSON | st.from_regex(r"[A-Za-z0-9._/\n-]{1,140}", fullmatch=True))
def test_an_id_is_a_safe_part_of_a_path_a_query_and_a_workflow_id_or_is_refused(value: Any) -> None:
    try:
        checked = checked_id(value)
    except SessionError as error:
        assert ErrorType.INVALID_REQUEST == error.type  # noqa: PT017 (either way will do)
        return
    assert value == checked
    assert checked[0].isascii()
    assert checked[0].isalnum()
    assert set() == set(checked) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert len(checked) <= 128
