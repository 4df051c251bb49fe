"""The wheel of this repository, and environments that have it, as its users get them."""

import sys
from pathlib import Path

from starter.program import ROOT
from tests.environments import copied_source, run


def build(source: Path, built: Path) -> Path:
    """The wheel, built in `source` from a copy: a build leaves folders behind."""
    copied_source(source)
    run(source, sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", built, ".")
    return next(built.glob("*.whl"))


def environment_with(folder: Path, wheel: Path, extras: str, *packages: str) -> Path:
    """The programs of a new environment in `folder`: the wheel with these extras, and other packages, all as pinned."""
    run(folder, sys.executable, "-m", "venv", folder)
    python, pins = folder / "bin/python", ROOT / "constraints.txt"
    run(
        folder,
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        pins,
        f"durable-sessions[{extras}] @ {wheel.as_uri()}",
        *packages,
    )
    return folder / "bin"
