"""Progress: what a kind may report, and what of it the next attempt and the readers get."""

import dataclasses
import math
from typing import Any

import pytest
from pydantic import ValidationError
from temporalio.testing import ActivityEnvironment

from activities import progress
from workflows.wire.limits import PREVIEW_BYTES
from workflows.wire.progress import Progress


def _reported(**report: Any) -> list[object]:
    environment = ActivityEnvironment()
    beats: list[object] = []
    environment.on_heartbeat = beats.append
    environment.run(lambda: progress.report(**report))
    return beats


def test_a_report_is_one_heartbeat_of_the_contracts_shape() -> None:
    beat = _reported(done=3, total=10, note="page 3")[0]
    assert isinstance(beat, Progress)
    assert {"done": 3, "total": 10, "note": "page 3"} == beat.model_dump(mode="json")


def test_half_a_character_in_a_note_costs_no_progress() -> None:
    assert "half \ufffd" == Progress(done=1, note="half \ud83d").note


def test_a_note_stays_one_short_line() -> None:
    beat = _reported(done=1, note="line\n" * 1_000)[0]
    assert isinstance(beat, Progress)
    assert beat.note
    assert "\n" not in beat.note
    assert PREVIEW_BYTES >= len(beat.note.encode())


@pytest.mark.parametrize("numbers", [{"done": -1}, {"done": math.nan}, {"done": 1, "total": math.inf}])
def test_numbers_that_cannot_be_shown_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        _reported(**numbers)


@pytest.mark.parametrize(
    ("details", "stood"), [([], None), ([{"done": 7}], Progress(done=7)), ([{"done": 2, "more": 1}], Progress(done=2))]
)
def test_an_attempt_reads_where_the_one_before_it_stood(details: list[Any], stood: Progress | None) -> None:
    environment = ActivityEnvironment()
    environment.info = dataclasses.replace(environment.info, heartbeat_details=details)
    assert stood == environment.run(progress.resumed)
