"""What sessions cost on paper: arithmetic, held to Temporal's own examples and to recorded histories. No server."""

from collections import Counter

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory

from benchmarks import bill
from benchmarks.bill import Profile, Sizes
from benchmarks.idle import actions_in
from starter.serving.heartbeats import BEATS_IN_A_TIMEOUT
from tests.histories import store
from workflows.wire import limits

STARTED, MARKED = EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED, EventType.EVENT_TYPE_MARKER_RECORDED
WRITTEN = EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
SIZES = Sizes(opened=1_000, carried=20_000, session=[2_000, 3_000], child=[4_000, 5_000])
METRICS = """
# TYPE action counter
action{action_type="grpc_StartWorkflowExecution",namespace="default",service_name="frontend"} 2
action{action_type="command_StartChildWorkflowExecution",namespace="default",service_name="history"} 3
action{action_type="command_StartChildWorkflowExecution_Extra",namespace="default",service_name="history"} 3
action{action_type="grpc_StartWorkflowExecution",namespace="temporal_system",service_name="frontend"} 9
action{action_type="something_new",namespace="default",service_name="frontend"} 1
"""


def test_the_examples_of_the_price_list_come_out() -> None:
    assert pytest.approx(525) == bill.action_price(11.25e6)
    beyond_the_plan = (720 / 744 + 2.5, 3_600 / 744 + 100)
    month = bill.bill(2.5e6, *beyond_the_plan)
    assert [0, 30.24, 3.78] == [round(price, 2) for price in (month.actions, month.active, month.retained)]
    assert 600 == bill.Bill(6_000, 0, 0).plan
    assert 500 == bill.Bill(0, 0, 0).total


def test_what_the_plan_includes_costs_nothing_more_and_never_less() -> None:
    assert 500 == bill.bill(2.5e6, 2.5, 100).total == bill.bill(0, 0, 0).total


def test_actions_beyond_the_list_cost_what_the_last_on_it_do() -> None:
    all_of_the_list = bill.action_price(200e6)
    assert pytest.approx(250 + 225 + 400 + 1_050 + 1_500 + 2_500) == all_of_the_list
    assert pytest.approx(all_of_the_list + 2_500) == bill.action_price(300e6)


def test_an_idle_day_costs_no_action_and_keeps_what_was_opened() -> None:
    idle = Profile(tasks=0)
    assert {} == bill.day_actions(idle)
    assert (SIZES.opened, 0) == (bill.open_bytes(idle, SIZES), bill.closed_bytes_a_day(idle, SIZES))


def test_a_day_of_ten_tasks_has_one_new_run() -> None:
    found = bill.day_actions(Profile(tasks=10))
    assert found == {
        "signal_workflow": 10,
        "start_child_workflow": 20,
        "schedule_activity": 11,
        "query_workflow": 20,
        "continue_as_new_workflow": 1,
    }
    assert 20_000 + 10 * 3_000 == bill.open_bytes(Profile(tasks=10), SIZES)
    assert 10 * 5_000 + 50_000 == bill.closed_bytes_a_day(Profile(tasks=10), SIZES)


def test_a_busy_day_has_a_new_run_after_each_rest() -> None:
    found = bill.day_actions(Profile(tasks=45))
    assert (3, 3, 6) == (
        found["continue_as_new_workflow"],
        found["record_activity_markers"],
        found["start_timer"],
    )


def test_a_session_asked_less_than_daily_has_a_new_run_with_each_task() -> None:
    assert pytest.approx(0.1) == bill.day_actions(Profile(tasks=0.1))["continue_as_new_workflow"]


@pytest.mark.parametrize(("seconds", "beats"), [(0, 0), (3.3, 0), (3.4, 1), (6.6, 1), (6.7, 2), (61, 18)])
def test_a_model_call_that_takes_long_beats(seconds: float, beats: int) -> None:
    assert beats == bill.beats(seconds)
    assert 3 * beats == bill.day_actions(Profile(tasks=3, seconds=seconds)).get("record_activity_heartbeat", 0)


def test_the_arithmetic_has_the_numbers_of_the_product() -> None:
    assert bill.REST_TASKS == limits.REST_EVENTS // 13
    assert limits.MODEL_HEARTBEAT_SECONDS / BEATS_IN_A_TIMEOUT == bill.BEAT
    assert limits.RUN_SECONDS == 86_400


def test_a_crowd_costs_what_its_sessions_and_their_tasks_cost() -> None:
    assert 3 * 7 + 6 * 2 == bill.crowd_actions(7, 2).total()
    assert 1_000 + (2_000 + 4_000) + 2 * (3_000 + 5_000) == SIZES.of_tasks(3)


def _counted(scenario: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for workflow_id, events in store.read(store.present_version())[scenario]:
        found += bill.counted(WorkflowHistory.from_json(workflow_id, events).events)
    return found


def test_recorded_histories_tell_the_actions_of_a_conversation() -> None:
    """Each task a signal, a child that counts twice, and an activity; the session its start and its question."""
    found = _counted("conversation")
    tasks = found["signal_workflow"]
    assert tasks >= 2
    assert 2 * tasks == found["start_child_workflow"]
    assert (1, tasks + 1) == (found["start_workflow"], found["schedule_activity"])


def test_recorded_histories_tell_the_actions_of_a_rest_and_of_what_comes_from_outside() -> None:
    """A hand-over is a new run and no second start; updates, timers and marks count."""
    rested = _counted("rests")
    assert (1, 1) == (rested["start_workflow"], rested["record_activity_markers"])
    assert rested["continue_as_new_workflow"] >= 1
    assert rested["start_timer"] >= 1
    assert _counted("changes_from_outside")["accept_workflow_update"] >= 1


def test_a_retry_counts_by_the_attempt_that_ended_it_and_all_marks_of_a_workflow_task_are_one() -> None:
    events = [HistoryEvent(event_type=kind) for kind in (STARTED, MARKED, MARKED, MARKED, WRITTEN, WRITTEN)]
    events[0].activity_task_started_event_attributes.attempt = 3
    for event, workflow_task in zip(events[1:4], (4, 4, 9), strict=True):
        event.marker_recorded_event_attributes.workflow_task_completed_event_id = workflow_task
    for event, name in zip(events[4:], ("TemporalChangeVersion", "SessionStatus"), strict=True):
        written = event.upsert_workflow_search_attributes_event_attributes.search_attributes
        written.indexed_fields[name].data = b"1"
    expected = {"retry_activity": 2, "record_activity_markers": 2, "upsert_workflow_search_attributes": 1}
    assert expected == bill.counted(events)


def test_the_servers_own_count_is_read_by_clouds_names() -> None:
    assert {"start_workflow": 2, "start_child_workflow": 6, "something_new": 1} == actions_in(METRICS)


def test_the_page_has_the_tables_of_its_figures() -> None:
    """After a new run: `python -m benchmarks.bill`."""
    text = bill.PAGE.read_text()
    assert text == bill.page(text, bill.read(bill.FIGURES))


def test_tables_come_from_the_figures_alone_and_keep_what_is_around_them() -> None:
    figures = bill.read(bill.FIGURES)
    text = bill.PAGE.read_text()
    other = bill.page(text, figures | {"sessions": 7.0, "opened_bytes": 2 * figures["opened_bytes"]})
    assert text != other
    assert text == bill.page(other, figures)
    with pytest.raises(ValueError, match="no mark"):
        bill.page("nothing", figures)
