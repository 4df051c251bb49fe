"""How the programs here are called: from the repository, or as the installed distribution `durable-sessions`."""

import sys
from pathlib import Path

PACKAGE = __name__.removesuffix("starter.program")
"""What stands before our names: nothing in the repository, `durable_sessions.` where it is installed."""

COMMAND = "sessions" if PACKAGE else "python -m starter"
"""The command line."""

ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds `starter/` and `worker.py`."""

WORKER = (sys.executable, "-m", f"{PACKAGE}worker") if PACKAGE else (sys.executable, str(ROOT / "worker.py"))
"""The worker, from any folder. Modules of that folder can be hosted as kinds and never stand in for ours."""

GATEWAY = (sys.executable, *(() if PACKAGE else ("-P",)), "-m", f"{PACKAGE}starter", "gateway")
"""The gateway, from any folder where `ROOT` is on the path; modules of that folder never stand in for ours."""

DEMO = (sys.executable, "-m", f"{PACKAGE}starter.demo")
"""The demo; in the repository from its root."""
