"""Draw what growth, crowd and scaling said: their `--json` lines, saved in files, become PNG pictures.

    python -m benchmarks.growth --json > docs/figures/growth.jsonl
    python -m benchmarks.plots

A figure named `<series>_at_<number>` is one point of a curve; the others stand in tables.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT

FIGURES, PICTURES_FOLDER = ROOT / "docs/figures", ROOT / "docs/pictures"

PANEL_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 4.0, 3.2, 110
HEADROOM = 1.15
"""The axis by the highest point: curves start at zero, so that a slope looks as steep as it is."""

LOGARITHMIC_OVER = 20.0
"""The last number by the first from which the axis of numbers is logarithmic."""

INSTALL = "plots need matplotlib: pip install -c constraints.txt matplotlib, or the extra `bench`"

Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Panel:
    """One diagram: its title with the unit, and the series it shows, by name, with what the legend calls them."""

    title: str
    series: Mapping[str, str]


@dataclass(frozen=True)
class Picture:
    """One file: its name, what the numbers behind `_at_` count, and its diagrams side by side."""

    name: str
    counted: str
    panels: Sequence[Panel]


PICTURES = (
    Picture(
        "growth",
        "task of the session",
        (
            Panel("history events a task", {"session_events": "session"}),
            Panel("history bytes a task", {"session_bytes": "session"}),
            Panel("one task, ms", {"p50_ms": "p50"}),
            Panel("processor time a task, ms", {"worker_cpu_ms": "worker", "server_cpu_ms": "server"}),
        ),
    ),
    Picture(
        "crowd",
        "open sessions",
        (
            Panel("memory of the worker, MiB", {"worker_mib": "all kept"}),
            Panel("answers a second", {"answers_per_s": "first answers"}),
        ),
    ),
    Picture(
        "waking",
        "tasks so far",
        (
            Panel(
                "a query, ms",
                {"cold_query_p50_ms": "evicted, p50", "cold_query_p95_ms": "evicted, p95", "warm_query_p50_ms": "kept"},
            ),
            Panel("a task, ms", {"cold_task_p50_ms": "evicted, p50", "cold_task_p95_ms": "evicted, p95"}),
        ),
    ),
    Picture(
        "scaling",
        "worker processes",
        (
            Panel("tasks a second", {"throughput_per_s": "all workers"}),
            Panel(
                "processor time a task, ms",
                {"worker_cpu_ms_per_task": "workers", "server_cpu_ms_per_task": "server"},
            ),
            Panel(
                "cores",
                {"worker_cores": "workers", "server_cores": "server", "caller_cores": "caller", "idle_cores": "idle"},
            ),
        ),
    ),
)

_POINT = re.compile(r"(?P<series>.+)_at_(?P<number>\d+)")


def curves(lines: Iterable[str]) -> dict[str, Points]:
    """The points of every series, by their numbers. Raises ValueError for a line that is no figure."""
    found: dict[str, Points] = {}
    for line in filter(str.strip, lines):
        try:
            figure = json.loads(line)
            name, value = str(figure["figure"]), float(figure["ours"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"not a figure: {line.strip()[:80]}") from None
        if point := _POINT.fullmatch(name):
            found.setdefault(point["series"], []).append((int(point["number"]), value))
    return {series: sorted(points) for series, points in found.items()}


def drawable(known: Mapping[str, Points]) -> list[Picture]:
    """The pictures of which there is every diagram."""
    return [picture for picture in PICTURES if all(known.keys() & panel.series.keys() for panel in picture.panels)]


def draw(picture: Picture, known: Mapping[str, Points], folder: Path) -> Path:
    """Write one picture and return its file. Raises RuntimeError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 (an extra: only who draws needs it)
    except ImportError:
        raise RuntimeError(INSTALL) from None
    canvas = Figure(figsize=(PANEL_INCHES * len(picture.panels), HEIGHT_INCHES), layout="constrained")
    for number, panel in enumerate(picture.panels, start=1):
        axes = canvas.add_subplot(1, len(picture.panels), number)
        drawn = {label: known[series] for series, label in panel.series.items() if series in known}
        for label, points in drawn.items():
            axes.plot(*zip(*points, strict=True), marker="o", label=label)
        numbers = sorted({n for points in drawn.values() for n, _ in points})
        highest = max(value for points in drawn.values() for _, value in points)
        axes.set_ylim(0, HEADROOM * highest if highest > 0 and math.isfinite(highest) else 1)
        if numbers[0] > 0 and numbers[-1] > LOGARITHMIC_OVER * numbers[0]:
            axes.set_xscale("log")
        axes.set_xticks(numbers, [f"{n:,}" for n in numbers])
        axes.minorticks_off()
        axes.set_xlabel(picture.counted)
        axes.set_title(panel.title, fontsize="medium")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{picture.name}.png"
    canvas.savefig(file, dpi=DOTS_PER_INCH)
    return file


def main() -> int:
    """The command; its exit code is 1 where nothing could be drawn."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.plots", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="saved --json lines; by default those in docs/figures")
    parser.add_argument("--folder", type=Path, default=PICTURES_FOLDER, help="where the pictures go: docs/pictures")
    chosen = parser.parse_args()
    try:
        files = chosen.files or sorted(FIGURES.glob("*.jsonl"))
        known = curves(line for file in files for line in file.read_text().splitlines())
        pictures = drawable(known)
        for picture in pictures:
            print(draw(picture, known, chosen.folder))
    except (OSError, RuntimeError, ValueError) as error:
        print(f"plots: {error}", file=sys.stderr)
        return 1
    if not pictures:
        print("plots: no figures of growth, crowd or scaling", file=sys.stderr)
    return int(not pictures)


if __name__ == "__main__":
    sys.exit(main())
