"""Builds the wheel: the code of this repository beneath one name, `durable_sessions`, its imports rewritten.

A top-level package `workflows` would overwrite that of `llama-index-workflows`. An editable install brings dependencies
and nothing to import: from the repository everything runs as it stands, from its root.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

NAME = "durable_sessions"
OURS = ("workflows", "activities", "starter")
IMPORT = re.compile(rf"^(\s*)(from|import) ({'|'.join(OURS)})\b", re.MULTILINE)
ROOT_FILES = {"worker.py": "worker.py", "starter/exports.py": "__init__.py"}


class Namespaced(build_py):
    """Copies our packages and `worker.py` into one package, whose own face is `starter/exports.py`."""

    def run(self) -> None:
        """See base class."""
        target = Path(self.build_lib) / NAME
        shutil.rmtree(target, ignore_errors=True)  # what an earlier build left of files that are gone
        super().run()
        for source, name in ROOT_FILES.items():
            (target / name).write_text(Path(source).read_text())
        (target / "starter/exports.py").unlink()
        (target / "py.typed").touch()
        for file in target.rglob("*.py"):
            file.write_text(IMPORT.sub(rf"\1\2 {NAME}.\3", file.read_text()))


class DependenciesOnly(editable_wheel):
    """Installs no code and no command, which would be a second copy of what stands here."""

    def run(self) -> None:
        """See base class."""
        self.distribution.packages, self.distribution.package_dir = [], {}
        self.distribution.entry_points = {}
        self.distribution.cmdclass.pop("build_py", None)
        super().run()


PACKAGES = [f"{NAME}.{package}" for ours in OURS for package in (ours, *(f"{ours}.{p}" for p in find_packages(ours)))]
setup(
    packages=PACKAGES,
    package_dir={f"{NAME}.{ours}": ours for ours in OURS},
    package_data={"": ["*.json"]},
    cmdclass={"build_py": Namespaced, "editable_wheel": DependenciesOnly},
)
