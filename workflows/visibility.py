"""The search attributes by which sessions are found: names, values, and when a session writes them."""

import asyncio
import re
from datetime import timedelta
from hashlib import sha256

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.visibility import VisibilityActivities
    from workflows import limits
    from workflows.fields import SessionStatus

STATUS = SearchAttributeKey.for_keyword("SessionStatus")
OWNER = SearchAttributeKey.for_keyword("SessionOwner")

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


class Visibility:
    """Writes a session's search attributes, each only when it has changed, and none that the namespace lacks."""

    def __init__(self) -> None:
        self.asked = False
        self._usable = False

    async def ask(self) -> None:
        """Ask the worker once a run: to write an attribute that is not registered would wedge the session."""
        try:
            # No local activity: a replay tells its end before the signals that came meanwhile, and a run that hands
            # over then leaves them behind.
            self._usable = await workflow.execute_activity_method(
                VisibilityActivities.search_attributes_usable,
                start_to_close_timeout=timedelta(seconds=limits.CONTROL_TIMEOUT_SECONDS),
                summary="may search attributes be written",
            )
        except ActivityError as error:  # it is retried without limit: only a cancel of the session ends it
            raise asyncio.CancelledError from error
        self.asked = True

    def show(self, status: SessionStatus, owner: str | None) -> None:
        """Write what is not in the attributes yet; continue-as-new carries them over."""
        wanted = (
            (STATUS, "open" if status in {"idle", "running"} else status),
            (OWNER, None if owner is None else owner_value(owner)),
        )
        written = workflow.info().typed_search_attributes
        changes = [
            key.value_unset() if value is None else key.value_set(value)
            for key, value in wanted
            if written.get(key) != value
        ]
        if changes and self._usable:
            workflow.upsert_search_attributes(changes)
