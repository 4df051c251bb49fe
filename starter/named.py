"""What a person names as `module:attribute`, in modules of the current folder too."""

import os
import sys


def place_in(name: str) -> tuple[str, str] | None:
    """The module and the attribute that `name` says; null where it is no such name."""
    module, colon, attribute = name.partition(":")
    return (module, attribute) if colon and module and attribute else None


def look_here() -> None:
    """Let modules of the current folder be imported."""
    folder = os.getcwd()  # noqa: PTH109 (as sys.path has it)
    if not {folder, ""} & {*sys.path}:
        sys.path.append(folder)  # last: a file there must not hide what is installed
