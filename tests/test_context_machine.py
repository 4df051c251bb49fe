"""The session's memory against a plain model of it: full copies of every version, and the contract's words as code."""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.context_model import PATCHES, VALUES, changed, patched, weight
from tests.samples import NOW, UnderLimits, carried, handed_over, known, refused, request, session
from workflows.contract import (
    CancelRequest,
    ConfigureRequest,
    ContextPatch,
    ContextPolicy,
    PatchRequest,
    RollbackRequest,
    TaskOutput,
)
from workflows.state.context import SessionContext
from workflows.wire import limits
from workflows.wire.encoding import canonical
from workflows.wire.errors import SessionError

READS = st.sampled_from(["all", "none", [], ["a", "missing"]])
TURNS = st.integers(0, 3)
POLICIES = st.none() | st.builds(
    ContextPolicy, read=st.none() | READS, transcript=st.none() | TURNS, write=st.sampled_from([None, True, False])
)
REQUEST_IDS = st.sampled_from([None, None, "r1", "r2"])
Turns = list[tuple[str, int]]


class ContextMachine(UnderLimits):
    """Tasks under every policy, however they end; changes from outside, rollbacks and hand-overs; in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.state = session()
        self.state.context = SessionContext.initial({"a": [None], "b": None})
        self.versions: list[tuple[dict[str, Any], Turns]] = [({"a": [None], "b": None}, [])]
        self.log: list[tuple[int, str, list[str]]] = []
        self.lost: set[int] = set()  # versions of the turns that left the window
        self.defaults = ContextPolicy(read="all", transcript=20, write=True)
        self.waiting: list[tuple[str, ContextPolicy]] = []
        self.running: tuple[str, ContextPolicy, int] | None = None
        self.cancelling = False
        self.touched: set[str] = set()
        self.ends: dict[str, tuple[str, str | None, int, int | None, Any]] = {}
        self.answered: dict[str, int] = {}
        self.asked = 0

    @property
    def now(self) -> int:
        return len(self.versions) - 1

    @property
    def values(self) -> dict[str, Any]:
        return self.versions[-1][0]

    def becomes(self, by: str, values: dict[str, Any], turns: Turns, keys: set[str]) -> None:
        window = turns[-limits.TRANSCRIPT_TURNS :]
        self.lost |= {version for _, version in turns} - {version for _, version in window}
        self.log.append((len(self.versions), by, sorted(keys)))
        self.versions.append((deepcopy(values), window))

    def after(self, patch: ContextPatch) -> dict[str, Any]:
        new = patched(self.values, patch)
        assert new is not None
        return new

    def refusal(self, patch: ContextPatch, inapplicable: str) -> str | None:
        new = patched(self.values, patch)
        if new is None:
            return inapplicable
        return "ContextTooLarge" if weight(new) > limits.CONTEXT_BYTES else None

    @rule(read=READS, turns=TURNS)
    def configure(self, read: Any, turns: int) -> None:
        """Tasks accepted before keep what they were accepted with."""
        self.state.configure(ConfigureRequest(read=read, transcript=turns), NOW)
        self.defaults = ContextPolicy(read=read, transcript=turns, write=True)

    @precondition(lambda self: len(self.waiting) < 2)
    @rule(policy=POLICIES, on_busy=st.sampled_from(["enqueue", "enqueue", "interrupt"]))
    def submit(self, policy: ContextPolicy | None, on_busy: str) -> None:
        self.asked += 1
        self.state.submit(request(f"t{self.asked}", context=policy, on_busy=on_busy), NOW)
        named = policy.model_dump(exclude_none=True) if policy else {}
        task = (f"t{self.asked}", self.defaults.model_copy(update=named))
        self.waiting.insert(0 if on_busy == "interrupt" else len(self.waiting), task)
        self.cancelling |= on_busy == "interrupt" and self.running is not None

    @precondition(lambda self: self.waiting and not self.running)
    @rule()
    def start(self) -> None:
        task = self.state.next_task(NOW)
        assert task is not None
        given = self.state.start(task, NOW)
        task_id, policy = self.waiting.pop(0)
        self.running, self.touched, self.cancelling = (task_id, policy, self.now), set(), False
        wanted = [*self.values] if policy.read == "all" else [] if policy.read == "none" else policy.read
        turns = self.versions[-1][1][-policy.transcript :] if policy.transcript else []
        seen = given.context
        assert (task_id, self.now, policy.write) == (given.task_id, seen.version, seen.write)
        assert canonical({k: v for k, v in self.values.items() if k in (wanted or ())}) == canonical(seen.values)
        assert turns == [(turn.task_id, turn.version) for turn in seen.transcript]

    @precondition(lambda self: self.running)
    @rule(patch=st.none() | PATCHES, output=VALUES)
    def complete(self, patch: ContextPatch | None, output: Any) -> None:
        self.state.complete(TaskOutput(output=output, patch=patch), NOW)
        task_id, policy, before = self.ended()
        change = patch or ContextPatch()
        keys = {*change.set, *change.unset, *change.append}
        if self.cancelling:
            self.ends[task_id] = ("cancelled", "TaskCancelled", before, None, output)
        elif not policy.write and patch is not None:
            self.ends[task_id] = ("failed", "PatchNotAllowed", before, None, output)
        elif not policy.write:
            self.ends[task_id] = ("completed", None, before, before, output)
        elif error := "ContextConflict" if keys & self.touched else self.refusal(change, "InvalidOutput"):
            self.ends[task_id] = ("failed", error, before, None, output)
        else:
            version = len(self.versions)
            self.ends[task_id] = ("completed", None, before, version, output)
            turn = self.state.context.transcript[-1]
            assert canonical([task_id, output]) == canonical([turn.input, turn.output])
            turns = [*self.versions[-1][1], (task_id, version)]
            self.becomes(task_id, self.after(change), turns, changed(self.values, change))

    @precondition(lambda self: not self.running and not self.waiting)
    @rule(policy=POLICIES, meanwhile=st.none() | PATCHES, patch=st.none() | PATCHES, output=VALUES)
    def run_a_task(self, policy: Any, meanwhile: ContextPatch | None, patch: ContextPatch | None, output: Any) -> None:
        """Of random steps alone, few walks would get as far as a conflict."""
        self.submit(policy, "enqueue")
        self.start()
        if meanwhile:
            self.patch_from_outside(meanwhile, None, None)
        self.complete(patch, output)

    @precondition(lambda self: self.running)
    @rule(status=st.sampled_from(["failed", "timed_out", "cancelled"]))
    def fail(self, status: Any) -> None:
        self.state.end(status, SessionError("KeyError", "'tea'"), NOW)
        task_id, _, before = self.ended()
        status, error = ("cancelled", "TaskCancelled") if self.cancelling else (status, "KeyError")
        self.ends[task_id] = (status, error, before, None, None)

    def ended(self) -> tuple[str, ContextPolicy, int]:
        assert self.running
        task, self.running = self.running, None
        return task

    @precondition(lambda self: self.running)
    @rule()
    def cancel(self) -> None:
        assert self.running
        self.state.cancel(CancelRequest(task_id=self.running[0]), NOW)
        self.cancelling = True

    @rule(patch=PATCHES, expected=st.sampled_from([None, 0, 1]), request_id=REQUEST_IDS)
    def patch_from_outside(self, patch: ContextPatch, expected: int | None, request_id: str | None) -> None:
        """`expected` counts back from the present version."""
        version = None if expected is None else self.now - expected
        asked = PatchRequest(patch=patch, expected_version=version, request_id=request_id)
        if request_id in self.answered:
            self.state.check_patch(asked)
            assert self.answered[request_id] == self.state.patch_context(asked, NOW)
            return
        if error := "ContextConflict" if expected else self.refusal(patch, "InvalidRequest"):
            for refusing in (lambda: self.state.check_patch(asked), lambda: self.state.patch_context(asked, NOW)):
                with refused(error):
                    refusing()
            return
        self.state.check_patch(asked)
        assert len(self.versions) == self.state.patch_context(asked, NOW)
        keys = changed(self.values, patch)
        self.changed_from_outside("external", self.after(patch), self.versions[-1][1], keys, request_id)

    @rule(back=st.integers(-1, 8), request_id=REQUEST_IDS)
    def roll_back(self, back: int, request_id: str | None) -> None:
        version = self.now - back
        asked = RollbackRequest(version=version, request_id=request_id)
        if request_id in self.answered:
            self.state.check_rollback(asked)
            assert self.answered[request_id] == self.state.rollback_context(asked, NOW)
            return
        if not self.oldest_readable() <= version <= self.now:
            for refusing in (lambda: self.state.check_rollback(asked), lambda: self.state.rollback_context(asked, NOW)):
                with refused("UnknownVersion"):
                    refusing()
            return
        values = self.versions[version][0]
        turns = self.readable_turns(version)
        assert len(self.versions) == self.state.rollback_context(asked, NOW)
        both = {*values, *self.values}
        keys = {k for k in both if canonical([values.get(k, "-")]) != canonical([self.values.get(k, "-")])}
        self.changed_from_outside("rollback", values, turns, keys, request_id)

    def changed_from_outside(
        self, by: str, values: dict[str, Any], turns: Turns, keys: set[str], request_id: str | None
    ) -> None:
        self.touched |= keys
        self.becomes(by, values, turns, keys)
        self.answered |= {request_id: self.now} if request_id else {}

    @rule()
    def hand_over(self) -> None:
        fresh = handed_over(self.state)
        assert carried(self.state) == carried(fresh)
        assert self.state.context == fresh.context
        self.state = fresh

    def oldest_readable(self) -> int:
        """How far back the contract lets anyone read, or the state had room to."""
        version = self.now
        for change in reversed(self.state.context.log):
            if change.undo is None:
                break
            version = change.version - 1
        return version

    def readable_turns(self, version: int) -> Turns:
        """The transcript of a version without the turns that have left the window since, oldest first."""
        turns = [(turn.task_id, turn.version) for turn in self.state.context.view(version).transcript]
        then = self.versions[version][1]
        assert turns == then[len(then) - len(turns) :]
        assert len(turns) >= len([turn for turn in then if turn[1] not in self.lost])
        return turns

    @invariant()
    def every_version_reads_as_it_was(self) -> None:
        context = self.state.context
        assert self.now == context.version
        if limits.LOG_BYTES >= limits.KIB:
            assert max(0, self.now - limits.LOG_ENTRIES) == self.oldest_readable()
        for version, (values, _) in enumerate(self.versions):
            if version < self.oldest_readable():
                with refused("UnknownVersion"):
                    context.view(version)
            else:
                assert canonical(values) == canonical(context.view(version).values)
                self.readable_turns(version)
        assert self.versions[-1][1] == self.readable_turns(self.now)
        assert bool(self.lost) == context.truncated

    @invariant()
    def the_log_lists_the_newest_versions_within_its_bounds(self) -> None:
        log = [(entry.version, entry.by, entry.changed) for entry in self.state.context.view().log]
        assert len(log) <= limits.LOG_ENTRIES
        assert self.log[len(self.log) - len(log) :] == log
        assert sum(change.weight for change in self.state.context.log) <= limits.LOG_BYTES
        if limits.LOG_BYTES >= limits.KIB:
            assert min(self.now, limits.LOG_ENTRIES) == len(log)

    @invariant()
    def every_task_ended_as_the_contract_says(self) -> None:
        for task_id, (status, error, before, after, output) in self.ends.items():
            record = known(self.state, task_id)
            versions = record.context_version
            assert (status, error) == (record.status, record.error.type if record.error else None)
            assert (before, after) == (versions.before, versions.after)
            assert canonical(output) == canonical(record.output)


class TightContextMachine(ContextMachine):
    """The same with windows so small that everything falls out of them."""

    limits = {"CONTEXT_BYTES": 60, "TRANSCRIPT_TURNS": 3, "LOG_ENTRIES": 5}  # noqa: RUF012


class TightLogMachine(ContextMachine):
    """The same with a log that has room for the undo data of a few versions, sometimes of none."""

    limits = {"LOG_BYTES": 600}  # noqa: RUF012


TestContext = ContextMachine.TestCase
TestTightContext = TightContextMachine.TestCase
TestTightLog = TightLogMachine.TestCase
