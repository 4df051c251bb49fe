"""What a task has cost, over all runs of its agent."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_ai.usage import RunUsage

from workflows.contract import TaskOutput
from workflows.kinds.usage import UsageSum
from workflows.wire.encoding import json_bytes
from workflows.wire.limits import USAGE_BYTES

NAMES = st.sampled_from(["requests", "input_tokens", "output_tokens", "cost"])
RUNS = st.lists(st.dictionaries(NAMES, st.integers(0, 10_000) | st.none()))


def total(*runs: Any) -> dict[str, int | float]:
    usage = UsageSum()
    for run in runs:
        usage.add(run)
    return usage.total


@given(runs=RUNS)
def test_the_total_is_the_sum_of_all_runs(runs: list[dict[str, int | None]]) -> None:
    names = {name for run in runs for name in run}
    sums = {name: sum(run.get(name) or 0 for run in runs) for name in names}
    assert {name: value for name, value in sums.items() if value} == total(*runs)


@dataclass
class Used:
    input_tokens: int
    details: dict[str, int]
    cost: float


class Metered(BaseModel):
    requests: int
    seconds: float | None = None


def test_a_run_may_say_it_in_the_ways_of_frameworks() -> None:
    runs = [Used(10, {"cached": 4}, 0.25), {"input_tokens": 5, "cost": 0.5}, Metered(requests=2), None]
    assert {"input_tokens": 15, "cost": 0.75, "requests": 2} == total(*runs)


def test_the_runs_of_pydantic_ai_add_up() -> None:
    run = RunUsage(requests=2, input_tokens=50, output_tokens=7, details={"reasoning_tokens": 3}, cost=Decimal("0.25"))
    runs = [run] * 3
    expected = {"requests": 6, "input_tokens": 150, "output_tokens": 21, "cost": 0.75}
    assert expected == total(*runs)
    assert expected == TaskOutput(output=None, usage=total(*runs)).usage
    assert USAGE_BYTES // 2 > json_bytes(expected)


@pytest.mark.parametrize("value", [None, True, "7", [7], {"a": 7}, math.nan, math.inf, 0, 0.0])
def test_what_is_no_figure_is_left_out(value: Any) -> None:
    assert {"tokens": 1} == total({"tokens": 1, "other": value}, {"tokens": value})


@pytest.mark.parametrize("usage", [5, "tokens", [("tokens", 1)], Used])
def test_what_is_no_usage_is_told(usage: Any) -> None:
    with pytest.raises(TypeError, match="is no usage: it takes a mapping, a dataclass or a pydantic model"):
        total(usage)


def test_a_total_that_was_read_stays_as_it_was() -> None:
    usage = UsageSum()
    usage.add({"tokens": 1})
    before = usage.total
    usage.add({"tokens": 1})
    assert [{"tokens": 1}, {"tokens": 2}] == [before, usage.total]
