"""A soak tells what grows from what only swings or fills up: `benchmarks/drift.py`."""

import json
from collections.abc import Callable
from random import Random

import pytest

from benchmarks.drift import FEWEST, Drift, drift
from benchmarks.soak import QUICK, Load, Seen, drifts

SPAN = 1_800.0
LEAK = 0.3 / SPAN
"""Three tenths of its level within the run: two between the middles of the first and the last third."""


def _judged(level: Callable[[float], float], noise: float, seed: int = 0) -> str:
    chance = Random(seed)  # noqa: S311 (the same noise each time)
    samples = [(at, 200 * level(at) * chance.gauss(1, noise)) for at in range(0, int(SPAN), 5)]
    return drift("worker_mib", samples, 180, SPAN).word


@pytest.mark.parametrize("seed", range(20))
def test_noise_around_one_level_is_told_as_steady(seed: int) -> None:
    assert _judged(lambda _: 1, 0.1, seed) == "steady"


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_in_as_much_noise_is_told_as_growing(seed: int) -> None:
    assert _judged(lambda at: 1 + LEAK * at, 0.1, seed) == "grows"


def test_a_leak_in_steps_is_told_as_growing() -> None:
    assert _judged(lambda at: 1 + LEAK * 300 * (at // 300), 0.02) == "grows"


def test_a_cache_that_fills_up_and_rests_is_told_as_steady() -> None:
    assert _judged(lambda at: 1 + 0.5 * min(1, at / 800), 0.02) == "steady"


def test_a_cache_that_is_not_full_at_the_end_is_told_as_growing() -> None:
    assert _judged(lambda at: 1 + 0.5 * min(1, at / 5_000), 0.02) == "grows"


def test_what_falls_is_told_as_steady() -> None:
    assert _judged(lambda at: 2 - LEAK * at, 0.02) == "steady"


def test_what_happens_before_all_is_warm_does_not_count() -> None:
    assert _judged(lambda at: 1 if at >= 180 else 0.1, 0.02) == "steady"


def test_a_third_with_too_few_values_is_not_judged() -> None:
    samples = [(float(at), float(at)) for at in range(3 * FEWEST - 2)]
    found = drift("session_events_per_run", samples, 0, 3 * FEWEST, gates=True)
    assert (found.word, found.ratio, found.fails) == ("too few", None, False)


@pytest.mark.parametrize(("gates", "fails"), [(True, True), (False, False)])
def test_only_what_gates_fails_the_run(gates: bool, fails: bool) -> None:
    assert Drift("p50_ms", (50, 60, 70), gates).fails is fails


def test_memory_and_history_that_grow_fail_a_run_and_latency_does_not() -> None:
    seen = Seen()
    names = {one.figure for one in drifts(seen, Load(SPAN))}
    for name in names:
        for at in range(0, int(SPAN), 5):
            seen.note(name, 100 + at, at)
    assert {one.word for one in drifts(seen, Load(SPAN))} == {"grows"}
    assert {one.figure for one in drifts(seen, Load(SPAN)) if not one.fails} == {"p50_ms", "p95_ms"}


def test_sessions_that_are_not_full_yet_may_carry_more_with_each_run() -> None:
    seen = Seen()
    for at in range(int(QUICK.seconds)):
        seen.note("run_bytes", 100 + 10 * at, at)
    (found,) = [one for one in drifts(seen, QUICK) if one.figure == "run_bytes"]
    assert (found.word, found.fails) == ("grows", False)


def test_a_line_of_json_has_the_thirds_and_the_judgement() -> None:
    assert json.loads(Drift("worker_mib", (100, 101, 102)).as_json()) == {
        "figure": "worker_mib",
        "ours": 102,
        "first_third": 100,
        "middle_third": 101,
        "ratio": 1.02,
        "judgement": "steady",
    }
