"""Environments that tests install, from a copy of this repository and of nothing else."""

import os
import subprocess
from pathlib import Path

from starter.program import ROOT

INSTALL_SECONDS = 300.0
"""To build, download and install: the largest part is Temporal's server, or an agent framework."""


def ran(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, ended, without anything of the repository on its path."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "TEMPORAL_ADDRESS"}}
    return subprocess.run(  # noqa: S603 (our own commands)
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
    )


def run(folder: Path, *command: str | Path) -> str:
    """What the command prints; it has to succeed."""
    ended = ran(folder, *command)
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    return ended.stdout


def copied_source(folder: Path) -> Path:
    """The folder, with what git knows or would add, but for tests and documents: a build leaves folders behind."""
    for name in run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder
