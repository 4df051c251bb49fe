"""What was tried to take less: the arithmetic of `python -m benchmarks.trials`, and that every trial is one."""

import pytest

from benchmarks.processes import WORKER
from benchmarks.trial_worker import options_of
from benchmarks.trials import AS_IT_IS, TRIALS, Trial, figures


def test_a_trial_is_told_with_its_share_of_what_the_product_took_in_the_same_rounds() -> None:
    found = {figure.figure: figure.ours for figure in figures({"no-sync": ([20, 50, 5, 30], [40, 40, 10, 30])})}
    expected = {"p50_ms_of_no-sync": 20, "p50_ms_of_no-sync_by_ours": 0.5, "throughput_per_s_of_no-sync_by_ours": 1.25}
    assert pytest.approx(expected) == {name: found[name] for name in expected}
    assert 8 == len(found)


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_every_trial_differs_from_the_product(trial: Trial) -> None:
    assert Trial(trial.name) != trial
    if trial.worker != WORKER:
        assert options_of(trial.variables["BENCHMARK_TRIAL"]) or trial.name == "no-page"


def test_the_product_as_it_is_is_no_trial() -> None:
    assert Trial(AS_IT_IS.name) == AS_IT_IS
