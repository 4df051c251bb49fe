"""A short chaos run: server and workers die under conversations, and every acknowledged task is accounted for."""

from pathlib import Path

import pytest

from benchmarks.chaos.course import Course, verdict_on


@pytest.mark.not_on_test_server("it keeps nothing that could survive its own death")
@pytest.mark.timeout(240)  # calls that meet a dead server sit out its absence; a loaded machine doubles that
async def test_nothing_acknowledged_is_lost_doubled_or_reordered_while_everything_is_killed(tmp_path: Path) -> None:
    course = Course(sessions=10, tasks=5, span=10.0, pause=2.5)
    verdict = await verdict_on(course, tmp_path)
    assert [] == verdict.faults
    assert course.sessions * course.tasks == verdict.acknowledged
    assert verdict.kills >= 3
    assert verdict.cut_off
    assert verdict.replayed >= course.sessions * course.tasks / 2
