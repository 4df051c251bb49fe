"""What a task costs its session does not depend on the session's age: `python -m benchmarks.growth`, shortened."""

import os

import pytest
from temporalio.client import Client

from benchmarks.growth import Sample, figures, filled, samples, too_large
from benchmarks.growth_worker import FixedModel
from tests.harness import Harness
from workflows.contract import Config

MARKS = (30, 100)


@pytest.mark.not_on_test_server("it does not say what a history weighs")
@pytest.mark.rare
async def test_events_and_bytes_a_task_adds_do_not_grow_with_the_age_of_its_session(temporal: Client) -> None:
    harness = Harness(temporal)
    async with harness.worker(FixedModel()):
        session = await filled(harness.client, harness.queue, f"{harness.queue}-grows", Config().transcript)
        measured = figures(await samples(session, MARKS, {"worker": os.getpid()}, count=5))
        assert [] == too_large(measured)
        found = {figure.figure: figure.ours for figure in measured}
        assert found["session_events_at_30"] <= 13
        assert 5_000 < found["session_bytes_at_30"] < 15_000
        assert {"p50_ms_at_30", "worker_cpu_ms_at_100"} <= set(found)


def test_growth_binds_events_and_bytes_and_no_timing() -> None:
    young = Sample(50, events=13, bytes=5_000, seconds=0.05, cpu_seconds={"worker": 0.02})
    slower = Sample(500, events=13, bytes=5_500, seconds=0.50, cpu_seconds={"worker": 0.20})
    heavier = Sample(500, events=15, bytes=5_501, seconds=0.05, cpu_seconds={"worker": 0.02})
    assert [] == too_large(figures([young, slower]))
    grown = too_large(figures([young, heavier]))
    assert ["session_events_growth", "session_bytes_growth"] == [figure.figure for figure in grown]


def test_processor_time_too_short_to_be_counted_has_no_growth() -> None:
    found = figures([Sample(task, 13, 5_000, 0.05, {"worker": used}) for task, used in ((50, 0.0), (500, 0.01))])
    assert {"worker_cpu_ms_at_50": 0.0, "worker_cpu_ms_at_500": 10.0} == {
        figure.figure: figure.ours for figure in found if figure.figure.startswith("worker_cpu_ms")
    }
