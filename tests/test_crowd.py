"""Many sessions on one worker: `python -m benchmarks.crowd`, with a handful of them."""

import os

import pytest

from benchmarks.crowd import Size, Step, Waking, answered, crowd_figures, grown, prepared, waking_figures, woken
from benchmarks.idle import Crowd, measured
from tests.harness import Harness


async def test_every_session_of_a_crowd_is_answered_and_the_worker_weighed(harness: Harness) -> None:
    steps = await grown(harness.client, (2, 3), os.getpid())
    assert [(0, 0), (2, 0), (3, 0)] == [(step.sessions, step.errors) for step in steps]
    assert all(step.resident_mib > 10 for step in steps)
    rate, errors = await answered(harness.client, range(3), "And again?")
    assert rate > 0
    assert errors == 0


@pytest.mark.rare
@pytest.mark.not_on_test_server("a long poll of a history did not bring its later events")
async def test_sessions_of_each_length_are_woken_by_queries_and_tasks(harness: Harness) -> None:
    asleep = await prepared(harness.client, Size(lengths=(1, 3), each=2))
    found = await woken(harness.client, asleep, rounds=2)
    assert [(1, 4, 4), (3, 4, 4)] == [(w.length, len(w.queries), len(w.tasks)) for w in found]


def test_a_crowd_is_weighed_against_an_empty_worker() -> None:
    steps = [Step(0, 80, 0, 0), Step(1_000, 200, 20, 0), Step(2_000, 320, 10, 0)]
    found = {f.figure: f.ours for f in crowd_figures(steps, Step(2_000, 150, 5, 1))}
    assert found["worker_mib_per_1000_sessions"] == 120
    assert pytest.approx(2_000 / 150) == found["answers_per_s"]
    assert (found["errors"], found["again_errors"]) == (0, 1)


def test_sessions_that_were_not_answered_count_as_errors_and_not_as_answers() -> None:
    steps = [Step(0, 80, 0, 0), Step(10, 80, 1, 8), Step(20, 80, 0, 10)]
    found = {f.figure: f.ours for f in crowd_figures(steps, Step(20, 80, 0, 20))}
    assert (found["answers_per_s"], found["errors"], found["again_errors"]) == (1, 18, 20)


def test_waking_is_told_by_the_length_of_the_history() -> None:
    found = waking_figures([Waking(1, [0.01, 0.03], [0.001], [0.1]), Waking(10, [0.02, 0.04], [0.002], [0.2])])
    assert ["cold_query_p50_ms_at_1", "cold_query_p50_ms_at_10"] == [figure.figure for figure in found][:2]
    assert {"cold_query_p95_ms_at_10": 40, "warm_query_p50_ms_at_10": 2, "cold_task_p95_ms_at_10": 200}.items() <= {
        figure.figure: figure.ours for figure in found
    }.items()


@pytest.mark.rare
async def test_what_idle_sessions_cost_is_what_was_predicted() -> None:
    """Actions to the last one, but for queries, of which a busy session gets one more; bytes within a twentieth."""
    crowd = Crowd(sessions=30, active=0.2, tasks=2, alone_seconds=2, followed=1)
    found = {figure.figure: figure.ours for figure in await measured(crowd)}
    pairs = {
        name.removesuffix("_predicted"): (value, found[name.replace("_predicted", "_measured")])
        for name, value in found.items()
        if name.endswith("_predicted")
    }
    inexact = {"query_workflow", "actions", "history_bytes"}
    assert {"start_workflow", "schedule_activity", "actions_in_histories_of_those_followed", *inexact} <= set(pairs)
    late = "record_activity_heartbeat"  # of an activity that had to wait for a processor
    assert {} == {name: pair for name, pair in pairs.items() if name not in {*inexact, late} and pair[0] != pair[1]}
    assert pytest.approx(pairs["history_bytes"][0], rel=0.05) == pairs["history_bytes"][1]
    assert 0 == found["actions_while_left_alone"]
