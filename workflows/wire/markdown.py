"""Texts from users as Markdown that changes nothing on a page of the Web UI. Pure.

Two renderers count: the server's, gomarkdown, which also makes typography of dashes and fractions and mathematics of
dollar signs, and shows a backslash that is not needed; and CommonMark with tables. What has a meaning only where a line
begins is left as it is: on a page, a text from users never begins one.
"""

import json
import re
from functools import lru_cache
from itertools import islice
from typing import Any

_TYPOGRAPHY = r"-(?=-)|\.(?=\.| \.)|\((?=(?:c|r|tm)\))|:(?=//)|(?<=mailto):"
_IDS = r"(?:namespace|workflowId|runId)\}"  # in braces: the UI puts ids in their place, before it renders
_SPECIAL = re.compile(rf"(?i)[\\`*~\[\]<|$&]|(?<![^\W_])_|_(?![^\W_])|{_TYPOGRAPHY}")
_NO_ESCAPE = re.compile(rf"(?<=\d)/(?=\d)|'(?=')|\{{(?={_IDS})")
_LABEL = re.compile(
    r"(?i)(?<![^\W_])(?=_)|(?<=_)(?![^\W_])|(?<=\d)(?=/\d)|'(?=')|\\(?=[^\w\s]|$)|\](?=[(:\[])|<(?=\S)|&(?=#?\w+;)"
    rf"|\{{(?={_IDS})|^(?=\.?[#>+=|:-]|\d+[.)])|{_TYPOGRAPHY}"
)
_LIKES = str.maketrans({"*": "\u2217", "`": "\u02cb", "~": "\u223c"})
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and what turns the reading direction of its surroundings."""
_UNSAFE = re.compile(rf"[`|]|\{{(?={_IDS})|{_UNSEEN.pattern}")

_CUT = "…"
_SPACE = "\u00a0"  # a space for the eye, a letter for Markdown
_JSON = json.JSONEncoder(ensure_ascii=False)


def words_of(value: Any) -> str | None:
    """The words of a string or of `{"text": ...}`; null for all other JSON."""
    if isinstance(value, dict) and len(value) == 1:
        value = value.get("text")
    return value if isinstance(value, str) else None


def text(value: Any, limit: int) -> str:
    """One line that reads as `value` was written: a string or `{"text": ...}` as its words, everything else as JSON.

    At most `limit` bytes of Markdown; what had to be cut ends in an ellipsis.
    """
    words = words_of(value)
    # Twice the limit is enough to cut from, and keeps this cheap for large texts.
    return code(value, limit) if words is None else _line(" ".join(words[: 2 * limit].split()), limit) or '""'


def block(words: str, limit: int) -> str:
    """The first `limit` characters of `words`, line by line; a space before each keeps it from meaning anything."""
    shown = words[:limit] + (_CUT if len(words) > limit else "")
    return "\n".join(_SPACE + _escaped(line.replace("  ", 2 * _SPACE)) for line in shown.expandtabs(4).splitlines())


def code(value: Any, limit: int) -> str:
    """`value` as JSON in a code span of at most `limit` bytes; what was not cut can be copied and parsed."""
    return verbatim("".join(islice(_JSON.iterencode(value), limit)), limit)  # a chunk has a character at least


def verbatim(shown: str, limit: int) -> str:
    """The beginning of a message, most often of its JSON, in a code span of at most `limit` bytes."""
    # What is escaped stands within JSON strings only, where the escape means the same.
    raw = _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", shown[: 2 * limit] or '""').encode()
    return f"`{raw.decode()}`" if len(raw) <= limit - 2 else f"`{raw[: limit - 5].decode(errors='ignore')}{_CUT}`"


def link(shown_id: str, workflow_id: str) -> str:
    """An id that leads to the page of its workflow."""
    return f"[`{shown_id}`](namespaces/{{namespace}}/workflows/{workflow_id.replace('/', '%2F')})"


def label(line: str) -> str:
    """`line` for where one page shows it as it is and another as Markdown: it looks the same on both, and as written.

    Spaces without width keep Markdown from meaning more than it says; asterisks, backticks, tildes and pairs of dollar
    signs give way to their likes. An ordinary text stays as it is.
    """
    shown = _LABEL.sub(lambda match: f"{match[0]}\u200b", line).translate(_LIKES)
    return shown.replace("$", "\ufe69") if shown.count("$") > 1 else shown


@lru_cache(maxsize=4096)  # a session shows the same texts again whenever something changes
def _line(words: str, limit: int) -> str:
    shown, cut = _escaped(words), ""
    while (size := len(shown.encode())) > limit - len(cut.encode()):
        words, cut = words[: min(len(words) - 1, len(words) * limit // size)], _CUT
        shown = _escaped(words)
    return shown + cut


def _escaped(words: str) -> str:
    words = words if words.isprintable() else _UNSEEN.sub("\ufffd", words)
    return _NO_ESCAPE.sub(lambda match: f"&#{ord(match[0])};", _SPECIAL.sub(r"\\\g<0>", words))
