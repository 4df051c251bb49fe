"""What people and models wrote, as HTML that does nothing: no markup of theirs, no script, no pictures. Pure."""

import json
from html import escape
from typing import Any

from markdown_it import MarkdownIt

from workflows.wire.approval import NO, YES
from workflows.wire.markdown import words_of

GROWS_PLAIN_BEYOND = 8_192
"""Characters of a text that grows, up to which it is drawn as Markdown: four times a second, up to 0.1 s each time."""

PLAIN_BEYOND = 32_768
"""Characters of any text, up to which it is drawn as Markdown: the worst that was tried, brackets alone, takes 0.7 s,
and four times as much four times as long; nobody else is served meanwhile."""

# HTML stands as it was written. Images are links: a picture would be loaded from wherever a model says.
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
_MARKDOWN.disable("image")


class NoArgumentsError(ValueError):
    """What was typed is no arguments; the message says why."""


def markdown(words: str) -> str:
    """A text as Markdown draws it; as it is, where it is very long."""
    return str(_MARKDOWN.render(words)) if len(words) <= PLAIN_BEYOND else plain(words)


def growing(words: str) -> str:
    """The same for a text that is drawn again and again; as it is, once it is long."""
    return markdown(words) if len(words) <= GROWS_PLAIN_BEYOND else plain(words)


def plain(words: str) -> str:
    """A text as it is, line by line."""
    return f'<div class="plain">{escape(words)}</div>'


def value(found: Any) -> str:
    """An output: its words as Markdown, all other JSON as it is."""
    words = words_of(found)
    return as_block(found) if words is None else markdown(words)


def asked(found: Any) -> str:
    """An input: its words as they are, all other JSON too."""
    words = words_of(found)
    return plain(as_json(found) if words is None else words)


def as_block(found: Any) -> str:
    """Any JSON, whole and as it is."""
    return f"<pre>{escape(as_json(found))}</pre>"


def as_json(found: Any) -> str:
    """JSON for a person to read and to change."""
    return json.dumps(found, ensure_ascii=False, indent=2)


def call(name: str, arguments: Any) -> str:
    """A call of a tool in one line."""
    return f"{name} {json.dumps(arguments, ensure_ascii=False)}"


def refusal(reason: str) -> Any:
    """The answer to a request for leave that is not given, with the reason where there is one."""
    return {"answer": NO, "reason": reason.strip()} if reason.strip() else NO


def leave(before: dict[str, Any], typed: str) -> Any:
    """The answer that gives leave, with the arguments as they were typed. Raises NoArgumentsError."""
    try:
        arguments = json.loads(typed)
    except ValueError as error:
        raise NoArgumentsError(f"that is no JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise NoArgumentsError('arguments are an object, like {"name": 1}')
    return YES if arguments == before else {"answer": YES, "arguments": arguments}
