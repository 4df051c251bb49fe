"""Where recorded histories are kept: a folder for each version of the product, a file for each scenario."""

import gzip
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_SUFFIX = ".json.gz"


class Recorded(NamedTuple):
    """The history of one run, in Temporal's own JSON."""

    workflow_id: str
    history: dict[str, Any]


def present_version() -> str:
    """The version that this code is, or will be when it is released."""
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return version


def released_versions() -> set[str]:
    """Those that have a heading of their own in the changelog."""
    return set(re.findall(r"^## (\d[\w.]*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE))


def recorded_versions() -> list[str]:
    """Those that there is a set of histories for."""
    return sorted(path.name for path in HERE.iterdir() if any(path.glob(f"*{_SUFFIX}")))


def write(version: str, scenarios: dict[str, Sequence[Recorded]]) -> int:
    """Replace the set of a version, and say how many bytes it takes."""
    folder = HERE / version
    folder.mkdir(exist_ok=True)
    for path in folder.glob(f"*{_SUFFIX}"):
        path.unlink()
    for name, histories in scenarios.items():
        text = json.dumps(histories, separators=(",", ":"))
        (folder / f"{name}{_SUFFIX}").write_bytes(gzip.compress(text.encode(), mtime=0))
    return sum(path.stat().st_size for path in folder.iterdir())


def read(version: str) -> dict[str, list[Recorded]]:
    """The set of a version: histories by the name of their scenario."""
    return {path.name.removesuffix(_SUFFIX): _read(path) for path in sorted((HERE / version).glob(f"*{_SUFFIX}"))}


def _read(path: Path) -> list[Recorded]:
    return [Recorded(*recorded) for recorded in json.loads(gzip.decompress(path.read_bytes()))]


def scrubbed(value: Any) -> Any:
    """`value` without the stack traces of failures: they name files of the machine that recorded them."""
    if isinstance(value, dict):
        return {key: scrubbed(inner) for key, inner in value.items() if key != "stackTrace"}
    return [scrubbed(inner) for inner in value] if isinstance(value, list) else value
