"""Recorded histories on the present code, and what a change of it does to them."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import WorkflowRunner

from tests.changed_sessions import (
    MoreTalkative,
    OneCommandMore,
    OneCommandMoreForGood,
    OneGuardedCommandMore,
    ShorterRuns,
)
from tests.harness import WAIT, replayer, strict_runner
from tests.histories import record, store
from tests.histories.scenarios import SCENARIOS, SHORT_RUNS
from workflows.session import SessionWorkflow
from workflows.state.pending import PendingTask
from workflows.state.session_state import SessionState
from workflows.temporal.alarm import Alarm


async def broken(
    histories: dict[str, list[store.Recorded]], session: type = SessionWorkflow, runner: WorkflowRunner | None = None
) -> dict[str, str]:
    """Which histories do not replay with `session`, by scenario and workflow id, and why."""
    names = {}

    async def loaded() -> AsyncIterator[WorkflowHistory]:
        for scenario, recorded in histories.items():
            for workflow_id, events in recorded:
                history = WorkflowHistory.from_json(workflow_id, events)
                names[history.run_id] = f"{scenario}: {workflow_id}"
                yield history

    async with asyncio.timeout(2 * WAIT):
        results = await replayer(session, runner).replay_workflows(loaded(), raise_on_replay_failure=False)
    return {names[run_id]: f"{type(error).__name__}: {error}" for run_id, error in results.replay_failures.items()}


@pytest.mark.parametrize(
    "runner",
    [
        pytest.param(strict_runner(), id="in the sandbox"),
        pytest.param(None, id="as workers run them", marks=pytest.mark.rare),
    ],
)
@pytest.mark.parametrize("version", store.recorded_versions())
async def test_every_recorded_history_replays_with_the_present_code(
    version: str, runner: WorkflowRunner | None
) -> None:
    assert {} == await broken(store.read(version), runner=runner)


def test_the_present_version_has_a_history_of_every_scenario() -> None:
    """After a new scenario: `make histories`."""
    assert {act.__name__ for act in (*SCENARIOS, *SHORT_RUNS)} == set(store.read(store.present_version()))


def test_the_set_of_a_released_version_is_not_recorded_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "released_versions", lambda: {store.present_version()})
    assert 1 == record.main()
    assert "is released and its histories stay" in capsys.readouterr().err


@pytest.fixture(scope="module")
def recorded() -> dict[str, list[store.Recorded]]:
    return store.read(store.present_version())


@pytest.mark.rare
@pytest.mark.parametrize("changed", [OneGuardedCommandMore, MoreTalkative])
async def test_a_change_that_gives_the_same_commands_replays(
    recorded: dict[str, list[store.Recorded]], changed: type
) -> None:
    assert {} == await broken(recorded, changed)


@pytest.mark.parametrize(
    "changed",
    [OneCommandMore, *(pytest.param(other, marks=pytest.mark.rare) for other in (OneCommandMoreForGood, ShorterRuns))],
)
async def test_a_change_of_commands_is_found(recorded: dict[str, list[store.Recorded]], changed: type) -> None:
    failures = await broken(recorded, changed)
    assert "conversation" in {name.split(":")[0] for name in failures}
    assert all("Nondeterminism" in failure for failure in failures.values())


def _newest_first(state: SessionState, now: datetime) -> PendingTask | None:
    due = [task for task in state.pending.tasks if task.due(now)]
    return due[-1] if due and state.running is None and not state.paused else None


def _no_alarm(_state: SessionState, _now: datetime) -> datetime | None:
    return None


async def _rings_late(alarm: Alarm, at: datetime) -> None:
    await workflow.sleep(at - workflow.now() + timedelta(hours=1))
    alarm._at, alarm._timer, alarm.rang = None, None, True


@pytest.mark.rare
@pytest.mark.parametrize(
    ("target", "changed"),
    [
        ("workflows.temporal.alarm.Alarm._ring", _rings_late),
        ("workflows.wire.limits.WATCH_TIMEOUT_SECONDS", 5.0),
        ("workflows.wire.limits.PREVIEW_BYTES", 20),
    ],
)
async def test_other_durations_and_texts_replay(
    recorded: dict[str, list[store.Recorded]], monkeypatch: pytest.MonkeyPatch, target: str, changed: Any
) -> None:
    monkeypatch.setattr(target, changed)
    assert {} == await broken(recorded)


@pytest.mark.rare
@pytest.mark.parametrize(
    ("target", "changed", "scenario"),
    [
        ("workflows.state.session_state.SessionState.next_task", _newest_first, "busy"),
        ("workflows.state.session_state.SessionState.next_change", _no_alarm, "delays"),
    ],
)
async def test_pure_code_that_decides_otherwise_is_found(
    recorded: dict[str, list[store.Recorded]], monkeypatch: pytest.MonkeyPatch, target: str, changed: Any, scenario: str
) -> None:
    monkeypatch.setattr(target, changed)
    failures = await broken(recorded)
    assert scenario in {name.split(":")[0] for name in failures}
    assert all("Nondeterminism" in failure for failure in failures.values())


def _texts(value: Any) -> Iterator[str]:
    """Every text in a history, payloads decoded."""
    match value:
        case str():
            yield value
        case dict():
            if "data" in value and "metadata" in value:
                yield base64.b64decode(value["data"]).decode(errors="replace")
            for inner in value.values():
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)


def _identities(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "identity" in value:
            yield value["identity"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _identities(inner)


@pytest.mark.parametrize("version", store.recorded_versions())
def test_no_history_names_the_machine_it_was_recorded_on(version: str) -> None:
    histories = [recorded.history for scenario in store.read(version).values() for recorded in scenario]
    assert {record.IDENTITY, "history-service", ""} >= {
        identity for each in histories for identity in _identities(each)
    }
    places = (str(Path.home()), str(store.ROOT), "site-packages", 'File "')
    assert [] == [text for each in histories for text in _texts(each) if any(place in text for place in places)]
    assert not any("stackTrace" in json.dumps(each) for each in histories)
