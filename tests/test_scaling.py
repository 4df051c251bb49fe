"""What more workers bring: the arithmetic of `python -m benchmarks.scaling`."""

import pytest

from benchmarks.contest import Burst
from benchmarks.scaling import Load, figures


def test_throughput_and_busy_cores_are_told_by_the_number_of_workers() -> None:
    one = [Load(Burst(throughput, worker_cpu=0.02, server_cpu=0.03), 0.1, 1.5) for throughput in (30, 20, 25)]
    two = [Load(Burst(50, worker_cpu=0.01, server_cpu=0.02), 0.2, 2.5)]
    found = {figure.figure: figure.ours for figure in figures({1: one, 2: two}, cores=4)}
    expected = {
        "throughput_per_s_at_1": 25,
        "throughput_gain_at_2": 2,
        "worker_cores_at_1": 0.5,
        "server_cores_at_2": 1.0,
        "server_cpu_ms_per_task_at_1": 30,
        "caller_cores_at_2": 0.2,
        "idle_cores_at_2": 2.5,
        "machine_cores": 4,
    }
    assert pytest.approx(expected) == {name: found[name] for name in expected}
