"""Saved figures become curves, and curves pictures: `python -m benchmarks.plots`."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.contest import Burst
from benchmarks.crowd import Step, Waking, crowd_figures, waking_figures
from benchmarks.figures import Figure
from benchmarks.growth import Sample
from benchmarks.growth import figures as growth_figures
from benchmarks.plots import PICTURES, curves, draw, drawable
from benchmarks.scaling import Load
from benchmarks.scaling import figures as scaling_figures

STEPS = [Step(0, 80, 0, 0), Step(1_000, 200, 20, 0)]
CPU = {"worker": 0.02, "server": 0.04}
MEASURED = [
    *growth_figures([Sample(task, 13, 5_000, 0.05, CPU) for task in (50, 5_000)]),
    *crowd_figures(STEPS, STEPS[1]),
    *waking_figures([Waking(1, [0.01], [0.01], [0.1]), Waking(400, [0.5], [0.01], [0.6])]),
    *scaling_figures({n: [Load(Burst(30, 0.02, 0.03), 0.1, 0.2)] for n in (1, 2, 4)}, cores=2),
]


def lines(figures: Sequence[Figure]) -> list[str]:
    return [figure.as_json() for figure in figures]


def test_a_figure_at_a_number_is_a_point_and_points_are_in_order() -> None:
    given = [Figure("a_ms_at_500", 2), Figure("a_ms_at_50", 1), Figure("a_ms_growth", 2), Figure("b_at_4_at_1", 0)]
    assert {"a_ms": [(50, 1.0), (500, 2.0)], "b_at_4": [(1, 0.0)]} == curves(lines(given))


@pytest.mark.parametrize("line", ["a table", "[]", json.dumps({"figure": "x_at_1"}), json.dumps({"ours": 1})])
def test_a_line_that_is_no_figure_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="not a figure"):
        curves([line])


def test_the_commands_measure_every_curve_of_every_picture() -> None:
    known = curves(lines(MEASURED))
    assert set() == {name for picture in PICTURES for panel in picture.panels for name in panel.series} - set(known)
    assert list(PICTURES) == drawable(known)


def test_a_picture_with_a_diagram_missing_is_not_drawn() -> None:
    assert [] == drawable(curves(lines([Figure("p50_ms_at_50", 50)])))


def test_every_picture_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="no matplotlib: the extra `bench`")
    known = curves(lines(MEASURED))
    for picture in PICTURES:
        assert draw(picture, known, tmp_path).read_bytes().startswith(b"\x89PNG\r\n")
