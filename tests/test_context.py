"""The session's memory against a plain model of it: full copies of every version, and the contract's words as code."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.samples import EXPANDING, NOW, accepted, carried, handed_over, refused
from workflows import limits
from workflows.context import SessionContext
from workflows.contract import ContextPatch
from workflows.encoding import canonical
from workflows.pending import PendingTask

KEYS = st.sampled_from("abn")  # "n" must not be read under `read: none`
VALUES = st.sampled_from([None, False, True, 0, 1, 1.0, "", "x" * 20, [], [1], [None, [2]], {"k": None}, {"k": [1]}])
LISTS = st.lists(VALUES, max_size=2)
PATCHES = st.builds(
    ContextPatch,
    set=st.dictionaries(KEYS, VALUES, max_size=2),
    unset=st.lists(KEYS, max_size=1),
    append=st.dictionaries(KEYS, LISTS, max_size=1),
)
Version = tuple[dict[str, Any], list[tuple[str, int]]]


def patched(values: dict[str, Any], patch: ContextPatch) -> dict[str, Any] | None:
    """The contract: unset, set, append; a missing key makes a list, something else than a list fails (null)."""
    new = {key: value for key, value in values.items() if key not in patch.unset} | patch.set
    if any(not isinstance(new.get(key, []), list) for key in patch.append):
        return None
    return deepcopy(new | {key: new.get(key, []) + items for key, items in patch.append.items()})


def changed(before: dict[str, Any], patch: ContextPatch) -> set[str]:
    """Keys that a patch changes: setting a key changes it, unsetting one that is not there does not."""
    return {*patch.set, *patch.append, *(key for key in patch.unset if key in before)}


def alike(one: Any, other: Any) -> bool:
    """Equal as JSON: unlike in Python, 1, 1.0 and true are three values."""
    return one is other or (type(one) is type(other) and canonical([one]) == canonical([other]))


def weight(values: dict[str, Any]) -> int:
    return sum(len(canonical(key).encode()) + len(canonical(value).encode()) + 2 for key, value in values.items())


class ContextMachine(RuleBasedStateMachine):
    """Tasks, changes from outside, rollbacks and hand-overs in any order."""

    limits: dict[str, int] = {}  # noqa: RUF012 (set once by a subclass)

    def __init__(self) -> None:
        super().__init__()
        self.monkeypatch = pytest.MonkeyPatch()
        for name, value in self.limits.items():
            self.monkeypatch.setattr(limits, name, value)
        self.context = SessionContext.initial({"a": [None], "b": None})
        self.versions: list[Version] = [({"a": [None], "b": None}, [])]
        self.log: list[tuple[int, str, list[str]]] = []
        self.lost: set[int] = set()  # versions of the turns that left the window
        self.task: PendingTask | None = None
        self.touched: set[str] = set()

    def teardown(self) -> None:
        self.monkeypatch.undo()

    @property
    def values(self) -> dict[str, Any]:
        return self.versions[-1][0]

    def becomes(self, by: str, values: dict[str, Any], turns: list[tuple[str, int]], keys: set[str]) -> None:
        window = turns[-limits.TRANSCRIPT_TURNS :]
        self.lost |= {version for _, version in turns} - {version for _, version in window}
        self.log.append((len(self.versions), by, sorted(keys)))
        self.versions.append((deepcopy(values), window))

    def refusal(self, patch: ContextPatch, inapplicable: str) -> str | None:
        new = patched(self.values, patch)
        if new is None:
            return inapplicable
        return "ContextTooLarge" if weight(new) > limits.CONTEXT_BYTES else None

    @precondition(lambda self: self.task is None)
    @rule(read=st.sampled_from(["all", "none", ["a", "missing"]]), turns=st.integers(0, 3))
    def start(self, read: Any, turns: int) -> None:
        self.task = accepted(f"t{len(self.versions)}", context={"read": read, "transcript": turns})
        self.touched = set()
        seen = self.context.inject(self.task)
        wanted = (
            self.values if read == "all" else {k: v for k, v in self.values.items() if k in read and read != "none"}
        )
        assert len(self.versions) - 1 == seen.version
        assert canonical(wanted) == canonical(seen.values)
        assert (self.versions[-1][1][-turns:] if turns else []) == [(t.task_id, t.version) for t in seen.transcript]

    @precondition(lambda self: self.task is not None)
    @rule(patch=PATCHES, output=VALUES)
    def complete(self, patch: ContextPatch, output: Any) -> None:
        assert self.task is not None
        task, self.task = self.task, None
        keys = {*patch.set, *patch.unset, *patch.append}
        error = "ContextConflict" if keys & self.touched else self.refusal(patch, "InvalidOutput")
        if error:
            with refused(error):
                self.context.complete(patch, task, output, NOW)
            return
        version = len(self.versions)
        assert version == self.context.complete(patch, task, output, NOW)
        turn = self.context.transcript[-1]
        assert canonical([task.input, output]) == canonical([turn.input, turn.output])
        new = patched(self.values, patch)
        assert new is not None
        self.becomes(task.task_id, new, [*self.versions[-1][1], (task.task_id, version)], changed(self.values, patch))

    @precondition(lambda self: self.task is not None)
    @rule()
    def fail(self) -> None:
        self.task = None

    @rule(patch=PATCHES, expected=st.sampled_from([None, 0, 1]))
    def patch_from_outside(self, patch: ContextPatch, expected: int | None) -> None:
        """`expected` counts back from the present version."""
        patch = patch.model_copy(update={"unset": [key for key in patch.unset if key in self.values]})
        version = None if expected is None else len(self.versions) - 1 - expected
        error = "ContextConflict" if expected else self.refusal(patch, "InvalidRequest")
        if error:
            with refused(error):
                self.context.patch(patch, version, NOW)
            return
        self.context.check(patch, version)
        assert len(self.versions) == self.context.patch(patch, version, NOW)
        self.touched |= changed(self.values, patch)
        new = patched(self.values, patch)
        assert new is not None
        self.becomes("external", new, self.versions[-1][1], changed(self.values, patch))

    @rule(back=st.integers(-1, 8))
    def roll_back(self, back: int) -> None:
        version = len(self.versions) - 1 - back
        if back == -1 or version < 0 or back > limits.LOG_ENTRIES:
            with refused("UnknownVersion"):
                self.context.rollback(version, NOW)
            return
        values = self.versions[version][0]
        turns = self.readable_turns(version)
        assert len(self.versions) == self.context.rollback(version, NOW)
        keys = {
            k for k in {*values, *self.values} if canonical([values.get(k, 0)]) != canonical([self.values.get(k, 0)])
        }
        keys |= values.keys() ^ self.values.keys()
        self.touched |= keys
        self.becomes("rollback", values, turns, keys)

    @rule()
    def hand_over(self) -> None:
        fresh = handed_over(self.context)
        assert fresh == self.context
        self.context = fresh

    def readable_turns(self, version: int) -> list[tuple[str, int]]:
        """The transcript of a version without the turns that have left the window since, oldest first."""
        turns = [(turn.task_id, turn.version) for turn in self.context.view(version).transcript]
        then = self.versions[version][1]
        assert turns == then[len(then) - len(turns) :]
        assert len(turns) >= len([turn for turn in then if turn[1] not in self.lost])
        return turns

    @invariant()
    def every_version_reads_as_it_was(self) -> None:
        newest = len(self.versions) - 1
        assert newest == self.context.version
        for version, (values, _) in enumerate(self.versions):
            if version < newest - limits.LOG_ENTRIES:
                with refused("UnknownVersion"):
                    self.context.view(version)
            else:
                assert canonical(values) == canonical(self.context.view(version).values)
                self.readable_turns(version)
        assert self.versions[-1][1] == self.readable_turns(newest)
        assert bool(self.lost) == self.context.truncated

    @invariant()
    def the_log_lists_the_newest_versions(self) -> None:
        log = [(entry.version, entry.by, entry.changed) for entry in self.context.view().log]
        assert self.log[-limits.LOG_ENTRIES :] == log


class TightContextMachine(ContextMachine):
    """The same with windows so small that everything falls out of them."""

    limits = {"CONTEXT_BYTES": 60, "TRANSCRIPT_TURNS": 3, "LOG_ENTRIES": 5}  # noqa: RUF012


TestContext = ContextMachine.TestCase
TestTightContext = TightContextMachine.TestCase


# --- single facts -----------------------------------------------------------------------------------------------------


def test_a_task_with_an_empty_patch_makes_one_version_and_one_turn() -> None:
    context = SessionContext.initial({"k": 1})
    assert context.complete(ContextPatch(), accepted("a"), "out", NOW) == 1
    (turn,) = context.transcript
    assert (turn.task_id, turn.version, turn.input, turn.output, turn.finished_at) == ("a", 1, "a", "out", NOW)
    assert [(entry.by, entry.changed) for entry in context.view().log] == [("a", [])]


def test_a_conflict_names_the_keys_changed_from_outside() -> None:
    context = SessionContext.initial({"b": 1, "c": 1})
    context.inject(accepted("a"))
    context.patch(ContextPatch(set={"a": 1, "other": 1}, unset=["c"]), None, NOW)
    with refused("ContextConflict") as caught:
        context.complete(ContextPatch(append={"a": [1]}, unset=["b", "c"]), accepted("a"), 1, NOW)
    assert caught.value.message.endswith(": a, c")


def test_unsetting_a_key_that_is_not_there_is_no_change_to_conflict_with() -> None:
    context = SessionContext.initial({})
    context.inject(accepted("a"))
    context.patch(ContextPatch(unset=["k"]), None, NOW)
    assert context.complete(ContextPatch(set={"k": 1}), accepted("a"), 1, NOW) == 2


@pytest.mark.parametrize(
    ("first", "second"), [(1, True), (1, 1.0), (False, 0), ([1], [True]), ({"k": 0}, {"k": False})]
)
def test_a_rollback_tells_apart_what_only_python_calls_equal(first: Any, second: Any) -> None:
    context = SessionContext.initial({"k": first})
    context.patch(ContextPatch(set={"k": second}), None, NOW)
    context.rollback(0, NOW)
    assert [["k"], ["k"]] == [entry.changed for entry in context.log]
    assert canonical({"k": second}) == canonical(context.view(1).values)


@pytest.mark.parametrize(
    ("error", "patch"),
    [
        ("ContextTooLarge", ContextPatch(set={"k": EXPANDING * (limits.CONTEXT_BYTES // 14)}, unset=["kept"])),
        ("InvalidRequest", ContextPatch(set={"k": 1}, append={"kept": [1]})),
        ("InvalidRequest", ContextPatch(set={"k": float("nan")})),
    ],
    ids=["too large", "no list", "no JSON"],
)
def test_a_refused_change_changes_nothing(error: str, patch: ContextPatch) -> None:
    context = SessionContext.initial({"kept": "as it was"})
    before = carried(context)
    for change in (lambda: context.patch(patch, 0, NOW), lambda: context.check(patch, 0)):
        with refused(error):
            change()
    with refused(error.replace("Request", "Output")):
        context.complete(patch, accepted("a"), 1, NOW)
    assert before == carried(context)
