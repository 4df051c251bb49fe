"""What a task costs its session does not depend on the session's age: `python -m benchmarks.growth`, shortened."""

import pytest
from temporalio.client import Client

from benchmarks.growth import TOLERANCE, FixedModel, figures, filled, samples
from tests.harness import Harness
from workflows.contract import Config

MARKS = (30, 100)


@pytest.mark.not_on_test_server("it does not say what a history weighs")
async def test_events_and_bytes_a_task_adds_do_not_grow_with_the_age_of_its_session(temporal: Client) -> None:
    harness = Harness(temporal)
    async with harness.worker(FixedModel()):
        session = await filled(harness.client, harness.queue, f"{harness.queue}-grows", Config().transcript)
        found = {figure.figure: figure.ours for figure in figures(await samples(session, MARKS, count=5))}
        assert found["session_events_at_30"] <= 13
        assert 5_000 < found["session_bytes_at_30"] < 15_000
        assert found["session_events_growth"] <= TOLERANCE
        assert found["session_bytes_growth"] <= TOLERANCE
