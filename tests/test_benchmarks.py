"""What all benchmarks share: however they are ended, nothing that they started stays."""

import asyncio
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.harness import WAIT

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.rare
async def test_a_benchmark_in_the_background_of_a_shell_ends_with_all_its_processes() -> None:
    """A shell has SIGINT ignored by what it starts there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.turns", "--quick"),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stderr
    try:
        assert b"warms up" in await asyncio.wait_for(process.stderr.readline(), WAIT)
        started = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert 130 == await asyncio.wait_for(process.wait(), WAIT)
    finally:
        if process.returncode is None:
            process.kill()
    assert len(started) > 2
    assert [] == [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
