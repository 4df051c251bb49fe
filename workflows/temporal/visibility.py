"""When a session writes the search attributes by which it is found."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.visibility import VisibilityActivities
    from workflows.wire import limits
    from workflows.wire.attributes import OWNER, STATUS, owner_value
    from workflows.wire.fields import SessionStatus


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
