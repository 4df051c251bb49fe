"""The search attributes by which sessions are found: their names, and values as a query can express them."""

import re
from hashlib import sha256

from temporalio.common import SearchAttributeKey

from workflows.wire import limits

STATUS = SearchAttributeKey.for_keyword("SessionStatus")
OWNER = SearchAttributeKey.for_keyword("SessionOwner")

NAMES = (STATUS.name, OWNER.name)
COMMAND = "temporal operator search-attribute create " + " ".join(f"--name {name} --type Keyword" for name in NAMES)
"""What an operator runs where the worker may not."""

# Tried on server 1.32: a query compares quotes, backslashes and control characters in an escaped form, which fits no
# value, and strips quotes from both ends of a text.
_BEYOND_QUERIES = re.compile(r"""[\x00-\x1f"\\]|^'|'\Z|%(?=[0-9A-F]{2})""")
_ESCAPED = re.compile("%([0-9A-F]{2})")


def owner_value(owner: str) -> str:
    """`owner` as its attribute holds it: itself, but for `%XX` where a query could not express a character.

    What is too long for an attribute then ends in a digest instead: one owner must not find the sessions of another.
    """
    value = _BEYOND_QUERIES.sub(lambda match: f"%{ord(match[0]):02X}", owner)
    fits = len(value.encode("utf-16-le")) <= 2 * limits.NAME_CHARS  # as JSON each unit takes up to six of the 2 KiB
    return value if fits else f"{value[: limits.NAME_CHARS // 3]}~{sha256(owner.encode()).hexdigest()}"


def owner_of(value: str) -> str:
    """The owner that `value` stands for."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), value)
