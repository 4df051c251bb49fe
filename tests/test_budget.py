"""A session's budget: what its tasks have used is summed up, and it pauses before the next one once that is reached."""

from datetime import UTC, datetime

import pytest

from starter.client import Session
from tests.harness import WAIT, Harness, run_task, snapshot_when
from workflows.contract import Config, ConfigureRequest, TaskOutput, TaskRequest
from workflows.kinds.usage import UsageSum
from workflows.state import budget, details
from workflows.state.session_state import SessionState
from workflows.state.signals import act
from workflows.wire import limits
from workflows.wire.encoding import json_bytes
from workflows.wire.errors import SessionError

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)


def opened(**config: object) -> SessionState:
    return SessionState(session_id="s", config=Config.model_validate(config), started_at=NOW)


def runs(state: SessionState, *task_ids: str, **usage: float) -> None:
    """Tasks that run one after the other, each with that usage."""
    for task_id in task_ids:
        state.submit(TaskRequest(task_id=task_id, input=1), NOW)
        task = state.next_task(NOW)
        assert task
        state.start(task, NOW)
        state.complete(TaskOutput(output="done", usage=usage), NOW)


def configure(state: SessionState, **settings: object) -> None:
    state.configure(ConfigureRequest.model_validate(settings), NOW)


def test_usage_of_all_tasks_is_summed_up_by_name() -> None:
    state = opened()
    runs(state, "a", "b", tokens=3, dollars=0.25)
    runs(state, "c")
    assert {"tokens": 6, "dollars": 0.5} == state.snapshot().usage


def test_the_usage_of_a_task_that_fails_with_an_output_counts() -> None:
    state = opened(budget={"tokens": 3})
    state.submit(TaskRequest(task_id="a", input=1, context={"write": False}), NOW)  # type: ignore[arg-type]
    task = state.next_task(NOW)
    assert task
    state.start(task, NOW)
    state.complete(TaskOutput.model_validate({"output": 1, "patch": {"set": {"a": 1}}, "usage": {"tokens": 3}}), NOW)
    assert ("PatchNotAllowed", "budget") == (state.ledger.records["a"].error.type, state.paused_by)  # type: ignore[union-attr]


def test_names_that_tasks_make_up_fill_no_more_than_their_room_and_those_of_the_budget_always_count() -> None:
    sums: dict[str, int | float] = {}
    for number in range(1_000):
        sums = budget.added(sums, {f"name {number}": 1}, None)
    assert limits.USAGE_SUM_BYTES - 20 < json_bytes(sums) <= limits.USAGE_SUM_BYTES
    assert 2 == budget.added(sums, {"name 0": 1}, None)["name 0"]
    assert "a late name" not in budget.added(sums, {"a late name": 1}, None)
    assert 1 == budget.added(sums, {"a late name": 1}, {"a late name": 5})["a late name"]


def test_a_sum_beyond_all_numbers_stays_what_it_was() -> None:
    assert {"x": 1e308} == budget.added({"x": 1e308}, {"x": 1e308}, None)


def test_a_session_pauses_before_its_next_task_once_a_figure_is_reached_and_not_before() -> None:
    state = opened(budget={"tokens": 10, "dollars": 5})
    runs(state, "a", tokens=9, dollars=1)
    assert (False, {"tokens": 1, "dollars": 4}) == (state.paused, budget.left(state.usage, state.config.budget))
    runs(state, "b", tokens=3)
    state.submit(TaskRequest(task_id="c", input=1), NOW)
    assert (None, "paused", "budget") == (state.next_task(NOW), state.status, state.snapshot().paused_by)
    assert "budget spent: tokens 12 of 10" in details.render(state)


def test_a_task_is_told_what_is_left_and_never_less_than_nothing() -> None:
    state = opened(budget={"tokens": 10})
    runs(state, "a", tokens=4)
    for task_id in ("b", "c"):
        state.submit(TaskRequest(task_id=task_id, input=1), NOW)
    task = state.next_task(NOW)
    assert task
    assert {"tokens": 6} == state.start(task, NOW).budget
    assert {"tokens": 0} == budget.left({"tokens": 12}, {"tokens": 10})
    assert budget.left({"tokens": 12}, None) is None


def test_a_resume_does_not_pass_a_spent_budget_and_a_higher_one_or_none_does() -> None:
    for higher in ({"tokens": 100}, None):
        state = opened(budget={"tokens": 1})
        runs(state, "a", tokens=1)
        with pytest.raises(SessionError, match=r"^BudgetSpent: tokens 1 of 1 used"):
            act(state, "resume", None, NOW)
        assert state.paused
        configure(state, budget=higher)
        assert (True, "budget") == (state.paused, state.paused_by)
        act(state, "resume", None, NOW)
        assert (False, None) == (state.paused, state.paused_by)
        runs(state, "b")


def test_a_budget_that_is_set_below_what_has_been_used_pauses_at_once() -> None:
    state = opened()
    runs(state, "a", tokens=5)
    configure(state, budget={"tokens": 5})
    assert (True, "budget") == (state.paused, state.paused_by)


def test_a_session_keeps_the_first_reason_of_its_pause_but_for_the_budget() -> None:
    state = opened(on_failure="pause", budget={"tokens": 5})
    state.pause("failure")
    reasons = []
    for signal in ("pause", "resume", "pause"):
        act(state, signal, None, NOW)
        reasons.append(state.paused_by)
    configure(state, budget={"tokens": 0})
    assert ["failure", None, "caller", "budget"] == [*reasons, state.paused_by]


def test_a_drain_overrides_the_pause_of_a_budget_like_any_other() -> None:
    state = opened(budget={"tokens": 1})
    runs(state, "a", tokens=1)
    state.submit(TaskRequest(task_id="b", input=1), NOW)
    act(state, "close", None, NOW)
    task = state.next_task(NOW)
    assert task
    assert {"tokens": 0} == state.start(task, NOW).budget


def test_state_of_before_there_were_budgets_is_read() -> None:
    old = opened().model_dump(mode="json", exclude={"usage", "paused_by"}) | {"paused": True}
    del old["config"]["budget"]
    state = SessionState.model_validate(old)
    assert (True, None, {}) == (state.paused, state.paused_by, state.snapshot().usage)


def test_a_kind_sees_when_it_has_used_up_what_is_left() -> None:
    used = UsageSum()
    used.add({"tokens": 3})
    assert not used.reached(None)
    assert not used.reached({"tokens": 4, "dollars": 1})
    used.add({"tokens": 1})
    assert used.reached({"tokens": 4, "dollars": 1})


async def refusals(session: Session) -> list[str]:
    return [entry.error.type for entry in (await session.snapshot()).rejected]


async def test_a_session_finishes_its_task_pauses_by_its_budget_and_goes_on_with_a_higher_one(harness: Harness) -> None:
    session = await harness.open(Config(default_kind="Return", budget={"tokens": 5}))
    await run_task(session, {"output": 1, "usage": {"tokens": 4}})
    shown = await run_task(session, 0, kind="Show")
    assert {"tokens": 1} == shown.output["budget"]
    over = await run_task(session, {"output": 2, "usage": {"tokens": 4}})
    assert "completed" == over.status
    waits = await session.submit({"output": 3})
    await session.resume()
    held = await session.snapshot()
    assert ("paused", "budget", {"tokens": 8}) == (held.status, held.paused_by, held.usage)
    assert ["BudgetSpent"] == await refusals(session)
    await session.configure(budget={"tokens": 9})
    await session.resume()
    assert 3 == (await session.result(waits, WAIT)).output
    went_on = await snapshot_when(session, lambda s: s.status == "idle")
    assert (None, {"tokens": 8}) == (went_on.paused_by, went_on.usage)
