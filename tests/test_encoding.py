"""Sizes, canonical JSON and cutting to length: exact for whatever JSON a user may send."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import to_json

from tests.samples import EXPANDING, JSON, accepted
from workflows.wire import limits
from workflows.wire.encoding import canonical, clip, json_bytes, model_bytes, preview, short_hash


def nested(levels: int, leaf: Any) -> Any:
    for _ in range(levels):
        leaf = [leaf]
    return leaf


@given(JSON)
def test_canonical_json_reads_back_as_the_same_value(value: Any) -> None:
    assert value == json.loads(canonical(value))


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ("null", None),
        ('{"a":1,"b":[true,null]}', {"b": [True, None], "a": 1}),
        ('{"a":{"x":1,"y":2}}', {"a": {"y": 2, "x": 1}}),
        ('"ü"', "ü"),
        ("1.0", 1.0),
        ("1", 1),
    ],
)
def test_canonical_json_is_compact_sorted_and_not_ascii_only(expected: str, value: Any) -> None:
    assert expected == canonical(value)


@pytest.mark.parametrize(
    ("reason", "value"),
    [
        ("NaN and infinite", float("nan")),
        ("NaN and infinite", {"a": [float("inf")]}),
        ("NaN and infinite", -float("inf")),
        ("not JSON", "\ud800"),
        ("not JSON", {"\ud800": 1}),
        ("not JSON", {1, 2}),
        ("not JSON", b"bytes"),
        ("not JSON", {"a": 1, 2: 3}),
        ("too many digits", 10**5_000),
        ("not JSON", nested(100_000, 0)),
        ("deeper than 100", nested(101, 0)),
        ("deeper than 100", json.loads('[{"k":' * 51 + "0" + "}]" * 51)),
        ("deeper than 100", {"a": [0] * 200, "b": nested(150, 0)}),
    ],
    ids=[
        "nan",
        "nested",
        "negative",
        "value",
        "key",
        "set",
        "bytes",
        "mixed",
        "digits",
        "bottomless",
        "too deep",
        "mixed depth",
        "deep and wide",
    ],
)
def test_what_is_not_json_or_could_not_be_carried_is_a_value_error(reason: str, value: Any) -> None:
    with pytest.raises(ValueError, match=reason):
        canonical(value)


@pytest.mark.parametrize(
    "value",
    [
        nested(100, 0),
        nested(99, []),
        [nested(99, 0), []],
        {"a": nested(99, 0), "b": {}},
        [[]] * 1_000,
        "[{" * 1_000,
        {"[" * 500: "{" * 500},
    ],
    ids=["lists", "empty core", "with a sibling", "in an object", "wide", "brackets in a text", "brackets in a key"],
)
def test_a_hundred_levels_and_any_width_are_accepted(value: Any) -> None:
    assert value == json.loads(canonical(value))


@given(JSON)
@example([1e-05] * 9)
@example(EXPANDING)
@example("\x7f\x85\u2028\U0001f34c")
def test_no_value_weighs_more_when_carried_than_it_was_measured(value: Any) -> None:
    assert len(to_json(value)) <= json_bytes(value)


@pytest.mark.parametrize(("expected", "value"), [(4, "ab"), (4, "ü"), (8, "\x01"), (4, '"'), (7, {"a": 1}), (4, None)])
def test_a_size_counts_bytes_of_utf8_with_escapes(expected: int, value: Any) -> None:
    assert expected == json_bytes(value)


def test_a_model_weighs_what_it_is_carried_as() -> None:
    task = accepted(input={"text": EXPANDING, "nothing": None}, labels={"a": "b"})
    assert len(to_json(task.model_dump(mode="json", exclude_none=True))) == model_bytes(task)


@given(st.text(), st.integers(min_value=3, max_value=50))
@example(EXPANDING * 9, 20)
@example("🍌" * 9, 7)
def test_a_clipped_text_fits_and_is_a_beginning_of_the_whole(text: str, limit: int) -> None:
    cut = clip(text, limit)
    assert json_bytes(cut) - 2 <= limit
    assert cut == text or (cut[-1] == "…" and text.startswith(cut[:-1]))


@given(st.text(), st.integers(min_value=3, max_value=50))
def test_a_text_that_fits_is_not_clipped(text: str, spare: int) -> None:
    assert text == clip(text, json_bytes(text) - 2 + spare)
    assert text == clip(text, max(json_bytes(text) - 2, 3))


def test_a_clipped_text_uses_most_of_its_room() -> None:
    assert len(clip("x" * 1_000, 200)) > 150


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ("How big is the sun?", "How big is the sun?"),
        ("two lines", " two\r\n\tlines\u2028 "),
        ('{"a":[1,null]}', {"a": [1, None]}),
        ("null", None),
        ("", ""),
        ("x", " " * 399 + "x"),
        ("half \ufffd", "half \ud83d"),
        ('["half \ufffd"]', ["half \ud83d"]),
    ],
)
def test_a_preview_is_one_line_of_text_as_it_is_or_of_json(expected: str, value: Any) -> None:
    assert expected == preview(value, 200)


@given(JSON, st.integers(min_value=3, max_value=50))
def test_a_preview_fits_and_has_no_line_breaks(value: Any, limit: int) -> None:
    shown = preview(value, limit)
    assert json_bytes(shown) - 2 <= limit
    assert len(shown.splitlines()) <= 1


@pytest.mark.parametrize("value", ["x" * 500, " " * 500 + "x", ["x" * 500]], ids=["text", "spaces", "json"])
def test_a_shortened_preview_ends_in_an_ellipsis(value: Any) -> None:
    assert preview(value, limits.PREVIEW_BYTES).endswith("…")


def test_a_short_hash_is_the_beginning_of_sha256_in_url_safe_base64() -> None:
    digest = "ypeBEsobvcr6wjGzmiPcTaeG7_gUfE5yuYB3ha_uSLs"
    assert digest[:8] == short_hash("a", 8)
    assert digest[:4] == short_hash("a", 4)
