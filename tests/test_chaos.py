"""A short chaos run: server and workers die under conversations, and every acknowledged task is accounted for."""

from pathlib import Path

import pytest

from benchmarks.chaos.checker import check
from benchmarks.chaos.course import Course, carried_out
from tests.chaos_mutants import MUTANTS


@pytest.mark.not_on_test_server("it keeps nothing that could survive its own death")
@pytest.mark.timeout(240)  # calls that meet a dead server sit out its absence; a loaded machine doubles that
@pytest.mark.rare
async def test_nothing_acknowledged_is_lost_doubled_or_reordered_while_everything_is_killed(tmp_path: Path) -> None:
    """And what each task was given, answered, left and did outside is its own; any of that done wrong would be told."""
    course = Course(sessions=10, tasks=5, span=10.0, pause=2.5)
    facts = await carried_out(course, tmp_path)
    verdict = check(course.planned(), facts)
    assert [] == verdict.faults
    assert course.sessions * course.tasks == verdict.acknowledged
    assert verdict.kills >= 3
    assert verdict.cut_off
    assert verdict.replayed >= course.sessions * course.tasks / 2
    assert verdict.performed >= course.sessions * course.tasks / 2
    told = {
        name: {finding.fault for finding in check(course.planned(), mutate(facts)).findings}
        for name, (_, mutate) in MUTANTS.items()
    }
    assert {} == {name: faults for name, faults in told.items() if not MUTANTS[name][0] <= faults}
