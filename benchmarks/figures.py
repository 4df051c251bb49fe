"""What every benchmark measures and prints: a table for people, or one JSON object a line and figure for programs."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured number of our session and, where there is a pair, of the barest one. The name ends in its unit."""

    figure: str
    ours: float
    bare: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours by the barest one's."""
        return self.ours / self.bare if self.bare else None

    def as_json(self) -> str:
        """One line; what there is no pair of is left out."""
        numbers = {"ours": self.ours, "bare": self.bare, "ratio": self.ratio}
        shown = {name: float(f"{value:.5g}") for name, value in numbers.items() if value is not None}
        return json.dumps({"figure": self.figure, **shown})


def medians(name: str, ours: Iterable[float], bare: Iterable[float] | None = None) -> Figure:
    """The figure of several rounds."""
    return Figure(name, statistics.median(ours), None if bare is None else statistics.median(bare))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(title: str, figures: Sequence[Figure], *, as_json: bool) -> None:
    """Print the figures, by rich where it is installed."""
    if as_json:
        for figure in figures:
            print(figure.as_json())
        return
    paired = any(figure.bare is not None for figure in figures)
    header = ("figure", "ours", "bare", "ratio") if paired else ("figure", "ours")
    rows = [(f.figure, _written(f.ours), _written(f.bare), _written(f.ratio))[: len(header)] for f in figures]
    table(title, header, rows)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, numbers to the right."""
    try:
        from rich.console import Console  # noqa: PLC0415 (an extra: without it the table is plain)
        from rich.table import Table  # noqa: PLC0415
    except ImportError:
        _plain_table(title, header, rows)
        return
    shown = Table(title=title)
    for number, name in enumerate(header):
        shown.add_column(name, justify="right" if number else "left")
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)


def _plain_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(title)
    for row in (header, *rows):
        first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *rest]))


def _written(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"  # noqa: PLR2004 (three digits say enough)
