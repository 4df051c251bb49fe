"""The page of guarantees, held to the suite: every test it names is there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "guarantees.md"
# `file.py::name`, or `::name` for another test of the file named before it in the row.
_NAMED = re.compile(r"`([\w/]+\.py)?(?:::(\w+))?`")


def _named() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for row in PAGE.read_text().splitlines():
        file = ""
        for match in _NAMED.finditer(row.split("|")[2]) if row.startswith("| ") else ():
            file = match[1] or file
            found.append((file, match[2] or ""))
    return found


@pytest.mark.parametrize(("file", "name"), _named(), ids=lambda value: value or "whole")
def test_a_guarantee_names_a_test_that_exists(file: str, name: str) -> None:
    path = TESTS / file.removeprefix("tests/")
    assert path.is_file()
    assert not name or re.search(rf"^\s*(async )?(def|class) {name}\b|^{name} = ", path.read_text(), re.MULTILINE)


def test_the_page_names_every_test_of_the_conformance_suite() -> None:
    files = sorted((TESTS / "conformance").glob("test_*.py"))
    tests = {(f"conformance/{f.name}", n) for f in files for n in re.findall(r"def (test_\w+)", f.read_text())}
    assert set() == tests - set(_named())
