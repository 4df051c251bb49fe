"""When a session that has nothing to do is handed over to a new run, so that it wakes fast."""

from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.wire import limits

_SOONER, _GUARD = "hand-over-at-rest-sooner", "hand-over-at-rest"
# TODO(2026-11): deprecate `_SOONER`, and let `_GUARD` and GUARDED_REST_EVENTS go, once no run from before it is open:
# `WorkflowType = 'Session' AND ExecutionStatus = 'Running' AND (TemporalChangeVersion IS NULL OR
# TemporalChangeVersion != 'hand-over-at-rest-sooner')`, of which those with fewer than REST_EVENTS have no mark yet and
# may stay.


class Rest:
    """Decides it for one run, and when to look.

    While messages keep coming a look finds no rest. Each next one is twice as far off, so that looks cost a run a
    handful of timers, however long it is busy, and no turn any.
    """

    def __init__(self) -> None:
        self._pause = timedelta(seconds=limits.REST_SECONDS)
        self._at: datetime | None = None

    def next_look(self, idle_since: datetime | None, now: datetime) -> datetime | None:
        """When to see whether the session rests; none while it is busy, or its run is short."""
        if idle_since is None or self.enough(idle_since, now) or not self._long():
            return None
        if self._at is None or self._at <= now:
            self._at = max(now, idle_since) + self._pause
            self._pause *= 2
        return self._at

    def _long(self) -> bool:
        """Whether the run is long enough for it; one from before it was `_SOONER` takes as long as it took then."""
        events = workflow.info().get_current_history_length()
        if events < limits.REST_EVENTS:
            return False
        if workflow.patched(_SOONER):  # which the SDK remembers for the run
            return True
        return events >= limits.GUARDED_REST_EVENTS and workflow.patched(_GUARD)

    def enough(self, idle_since: datetime | None, now: datetime) -> bool:
        """Whether the session has rested for long enough to be handed over, of which `next_look` has told."""
        if idle_since is None or self._at is None or now < self._at:
            return False
        return now - idle_since >= timedelta(seconds=limits.REST_SECONDS)
