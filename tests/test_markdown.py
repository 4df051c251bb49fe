"""What users write, on the pages of the Web UI: read as it was written, by both of its renderers, changing nothing."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.hypothesis_profiles  # noqa: F401 (these run under our profiles)
from tests.pages import HOSTILE, Renderer, WebUi, commonmark
from workflows.wire.markdown import block, code, label, text

ALPHABET = "a \n|*_#<>[]()`~\\&;!-=+.1:/@\"'$^{}ctrm"
LIKES = str.maketrans({"\u2217": "*", "\u02cb": "`", "\u223c": "~", "\ufe69": "$", "\u200b": None, "\u00a0": " "})

Check = Callable[[Renderer, str], None]


def _one_line(words: str) -> str:
    return " ".join(words.split())


def check_text(render: Renderer, words: str) -> None:
    shown = _one_line(words) or '""'
    assert (["p"], f"x {shown} y") == render(f"x {text(words, 1_000)} y")


def check_block(render: Renderer, words: str) -> None:
    elements, seen = render(block(words, 1_000))
    assert {"p"} >= set(elements)
    assert _one_line(words) == _one_line(seen.translate(LIKES))


def check_label(render: Renderer, words: str) -> None:
    line = _one_line(words) or "a"
    elements, seen = render(label(line))
    assert (["p"], line) == (elements, seen.translate(LIKES).strip())
    assert line == label(line).translate(LIKES)


def check_code(render: Renderer, value: object) -> None:
    elements, seen = render(f"| x |\n| --- |\n| {code(value, 1_000)} |")
    assert ["table", "thead", "tr", "th", "tbody", "tr", "td", "code"] == [element.split()[0] for element in elements]
    assert value == json.loads(seen.split(maxsplit=1)[1])


CHECKS = [check_text, check_block, check_label, check_code]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("words", HOSTILE)
def test_commonmark_shows_what_was_written(check: Check, words: str) -> None:
    check(commonmark, words)


@pytest.mark.parametrize("check", CHECKS)
@given(words=st.text(alphabet=ALPHABET, min_size=1, max_size=40))
def test_commonmark_shows_whatever_was_written(check: Check, words: str) -> None:
    check(commonmark, words)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("words", HOSTILE)
def test_the_web_ui_shows_what_was_written(web_ui: WebUi, check: Check, words: str) -> None:
    check(web_ui, words)


@pytest.mark.parametrize("check", CHECKS)
@given(words=st.text(alphabet=ALPHABET, min_size=1, max_size=20))
def test_the_web_ui_shows_whatever_was_written(web_ui: WebUi, check: Check, words: str) -> None:
    check(web_ui, words)
