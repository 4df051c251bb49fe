"""The wheel of this repository, and environments that have it, as its users get them."""

import os
import subprocess
import sys
from pathlib import Path

from starter.program import ROOT

INSTALL_SECONDS = 300.0
"""To build, download and install: the largest part is Temporal's server."""


def run(folder: Path, *command: str | Path) -> str:
    """What the command prints; it has to succeed, without anything of the repository on its path."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "TEMPORAL_ADDRESS"}}
    ended = subprocess.run(  # noqa: S603 (our own commands)
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    return ended.stdout


def build(source: Path, built: Path) -> Path:
    """The wheel, built in `source` from a copy of what git knows or would add: a build leaves folders behind."""
    files = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in files:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
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
