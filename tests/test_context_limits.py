"""How much a session's memory keeps: values, transcript, the log of versions, what a task conflicts with."""

import pytest

from tests.samples import EXPANDING, NOW, accepted, carried, handed_over, refused
from workflows.contract import ContextPatch, ContextView, Turn
from workflows.state.context import SessionContext
from workflows.wire import limits
from workflows.wire.encoding import json_bytes, model_bytes


def appended(context: SessionContext, times: int, size: int) -> None:
    for number in range(times):
        task = accepted(f"t{number}")
        context.complete(ContextPatch(append={"list": ["x" * size]}), task, number, NOW)


def test_values_fill_the_context_to_the_byte() -> None:
    fits = {"k": "x" * (limits.CONTEXT_BYTES - len('"k":"",'))}
    assert SessionContext.initial(fits).values == fits
    with refused("ContextTooLarge"):
        SessionContext.initial({"k": fits["k"] + "x"})


def test_fifty_versions_that_append_to_a_large_list_remain_readable() -> None:
    context = SessionContext.initial({"list": ["x" * 200_000]})
    appended(context, 51, 500)
    context = handed_over(context)
    assert [len(context.view(version).values["list"]) for version in range(1, 52)] == list(range(2, 53))
    with refused("UnknownVersion"):
        context.view(0)


def test_fifty_versions_of_a_context_of_200_kb_are_kept_as_changes_and_not_as_copies() -> None:
    """Fields set, lists grown by patches that name them whole, rollbacks, turns: what sessions do."""
    notes = [{"note": "n" * 180, "number": number} for number in range(1_000)]
    context = SessionContext.initial({"notes": notes, "mood": "calm", "page": 0})
    copies = [context.view()]
    for number in range(1, 51):
        if number % 10 == 0:
            context.rollback(number - 3, NOW)
        elif number % 10 == 1:
            context.patch(ContextPatch(set={"notes": [*notes, number], "page": number}), None, NOW)
        else:
            change = ContextPatch(set={"page": number}, append={"notes": [f"{number}" * 100]}, unset=["mood"])
            context.complete(change, accepted(f"t{number}", input="i" * 200), "o" * 500, NOW)
        copies.append(context.view())
    context = handed_over(context)
    for copy in copies:
        view = context.view(copy.version)
        assert (copy.values, copy.transcript) == (view.values, view.transcript)
    assert list(range(1, 51)) == [entry.version for entry in context.view().log]
    assert 200_000 < json_bytes(context.values) < limits.CONTEXT_BYTES
    assert sum(map(model_bytes, context.log)) < limits.LOG_BYTES


def test_a_version_that_is_listed_and_cannot_be_read_is_told_from_one_that_never_was() -> None:
    context = SessionContext.initial({"text": "0" * 100_000})
    for number in range(1, 4):
        context.patch(ContextPatch(set={"text": f"{number}" * 100_000}), None, NOW)
    assert [1, 2, 3] == [entry.version for entry in context.view().log]
    assert "2" == context.view(2).values["text"][0]
    for version, says in ((1, "version 1 cannot be read; the newest is 3, the oldest that can be 2"), (4, "is 3")):
        with refused("UnknownVersion") as caught:
            context.view(version)
        assert caught.value.message.endswith(says)


def test_the_log_sheds_its_oldest_undo_data_and_then_its_oldest_entries() -> None:
    context = SessionContext.initial({"k": ""})
    for number in range(20):
        context.patch(ContextPatch(set={"k": f"{number}" * 5_000}), None, NOW)
    assert limits.LOG_BYTES - 11_000 < len(carried(context)) - limits.KIB * 10 < limits.LOG_BYTES + 1_000
    assert list(range(1, 21)) == [entry.version for entry in context.view().log]
    readable = [change.version for change in context.log if change.undo]
    assert context.view(readable[0] - 1).values["k"].startswith(str(readable[0] - 2))
    with refused("UnknownVersion"):
        context.rollback(readable[0] - 2, NOW)
    for number in range(50):
        context.patch(ContextPatch(set={f"{number}-{key}": 0 for key in range(400)}), None, NOW)
        context.patch(ContextPatch(unset=[f"{number}-{key}" for key in range(400)]), None, NOW)
    assert sum(len(change.model_dump_json(exclude_none=True)) for change in context.log) < limits.LOG_BYTES + 1_000


def test_the_log_fills_its_128_kib_to_the_byte() -> None:
    """The number of the contract: undo data, keys and all."""

    def logged(last: int) -> SessionContext:
        context = SessionContext.initial({"text": "first"})
        for size in [1_000] * 9 + [last, 0]:
            context.patch(ContextPatch(set={"text": "x" * size}), None, NOW)
        return context

    spare = 128 * 1_024 - sum(change.weight for change in logged(0).log)
    assert "first" == logged(spare).view(0).values["text"]
    with refused("UnknownVersion"):
        logged(spare + 1).view(0)


def test_a_version_names_the_keys_it_changed_as_far_as_there_is_room() -> None:
    context = SessionContext.initial({})
    context.patch(ContextPatch(set={f"{number:04}": 0 for number in range(5_000)}), None, NOW)
    (entry,) = context.view().log
    assert entry.truncated
    assert 1_000 < len(entry.changed) <= limits.LOG_KEYS_BYTES // 7
    assert [f"{number:04}" for number in range(len(entry.changed))] == entry.changed


@pytest.mark.parametrize(("kept", "size"), [(limits.TRANSCRIPT_TURNS, 10), (3, 50_000), (1, limits.OUTPUT_BYTES)])
def test_the_newest_turns_stay_within_the_windows_of_the_transcript(kept: int, size: int) -> None:
    context = SessionContext.initial({})
    for number in range(kept + 1):
        context.complete(ContextPatch(), accepted(f"t{number}", input=size // 3 * "i"), "x" * (size - 2), NOW)
        context = handed_over(context) if number % 50 == 0 else context
    assert [f"t{number}" for number in range(1, kept + 1)] == [turn.task_id for turn in context.transcript]
    assert sum(map(model_bytes, context.transcript)) <= limits.TRANSCRIPT_BYTES
    assert context.view().truncated


def test_a_transcript_is_not_truncated_before_a_turn_has_left_it() -> None:
    context = SessionContext.initial({})
    appended(context, limits.TRANSCRIPT_TURNS, 1)
    assert not context.view().truncated


@pytest.mark.parametrize(("letter", "weight"), [("x", 1), ("\x01", 6), ('"', 2), ("…", 3)])
def test_the_largest_task_stays_whole_in_the_transcript(letter: str, weight: int) -> None:
    """Inputs and outputs are measured as they are carried, with what their characters expand to."""
    context = SessionContext.initial({})
    task = accepted("t" * limits.ID_CHARS, input=letter * ((limits.INPUT_BYTES - 2) // weight))
    output = letter * ((limits.OUTPUT_BYTES - 2) // weight)
    context.complete(ContextPatch(), accepted("a"), 1, NOW)
    context.complete(ContextPatch(), task, output, NOW)
    assert [turn.task_id for turn in context.transcript] == ["a", task.task_id]
    assert (task.input, output, False) == (context.transcript[1].input, context.transcript[1].output, context.truncated)


def test_a_newest_turn_that_alone_is_over_the_window_is_shortened_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TRANSCRIPT_BYTES", 2_000)
    context = SessionContext.initial({})
    context.complete(ContextPatch(), accepted("whole"), "fits", NOW)
    context.complete(ContextPatch(), accepted("long", input=EXPANDING * 200), {"list": ["o" * 3_000]}, NOW)
    context = handed_over(context)
    whole, long = context.transcript
    assert (False, "fits", True) == (whole.truncated, whole.output, long.truncated)
    assert long.input.startswith(EXPANDING)
    assert ("…", "…", '{"list":["ooo') == (long.input[-1], long.output[-1], long.output[:13])
    assert sum(map(model_bytes, context.transcript)) <= limits.TRANSCRIPT_BYTES
    assert context.view().truncated
    context.complete(ContextPatch(), accepted("short", input="i"), "o" * 2_000, NOW)
    assert ("i", True) == (context.transcript[-1].input, context.transcript[-1].truncated)


def test_a_forked_session_keeps_the_windows_of_its_own() -> None:
    """The other session may be of a version with other limits: what it answers is measured again."""
    turns = [
        Turn(task_id=f"t{number}", version=number, input="in", output=EXPANDING * 100_000, finished_at=NOW)
        for number in range(3)
    ]
    context = SessionContext.initial({"own": 1})
    context.take(ContextView(version=7, values={"own": 0, "theirs": 2}, transcript=turns, log=[]))
    assert ({"own": 1, "theirs": 2}, 7) == (context.values, context.version)
    assert [("t2", True)] == [(turn.task_id, turn.truncated) for turn in context.transcript]
    assert sum(map(model_bytes, context.transcript)) <= limits.TRANSCRIPT_BYTES
    with refused("ContextTooLarge"):
        context.take(ContextView(version=7, values={"k": "x" * limits.CONTEXT_BYTES}, transcript=[], log=[]))


def test_changes_from_outside_leave_nothing_behind_that_grows() -> None:
    context = SessionContext.initial({})
    for running in (False, True):
        if running:
            context.inject(accepted("a"))
        for number in range(200):
            key = f"{number}{'k' * 5_000}"
            context.patch(ContextPatch(set={key: 1}), None, NOW)
            context.patch(ContextPatch(unset=[key, "never there" * 100_000]), None, NOW)
        assert len(carried(context)) < limits.LOG_BYTES + 200 * 100


def test_a_task_with_more_changes_from_outside_than_can_be_told_apart_conflicts_with_any_patch() -> None:
    context = SessionContext.initial({})
    context.inject(accepted("a"))
    context.patch(ContextPatch(set={str(number): 0 for number in range(limits.TOUCHED_KEYS + 1)}), None, NOW)
    context = handed_over(context)
    with refused("ContextConflict"):
        context.complete(ContextPatch(set={"untouched": 1}), accepted("a"), 1, NOW)
    assert context.complete(ContextPatch(), accepted("a"), 1, NOW) == 2
    context.patch(ContextPatch(set={"nobody": "watches"}), None, NOW)
    assert context.touched is None
    context.inject(accepted("b"))
    assert context.complete(ContextPatch(set={"0": 1}), accepted("b"), 1, NOW) == 4


def test_up_to_that_many_each_key_is_told_apart() -> None:
    context = SessionContext.initial({})
    context.inject(accepted("a"))
    context.patch(ContextPatch(set={str(number): 0 for number in range(limits.TOUCHED_KEYS)}), None, NOW)
    context = handed_over(context)
    assert context.complete(ContextPatch(set={"untouched": 1}), accepted("a"), 1, NOW) == 2
