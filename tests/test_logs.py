"""Log lines: one a record whatever is in it, with the session and task that it belongs to."""

import asyncio
import json
import logging
import sys
from typing import Any

import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from starter.serving import logs


def _record(message: str = "hello", *args: object, **extra: Any) -> logging.LogRecord:
    return logging.getLogger("sessions.test").makeRecord(
        "sessions.test", logging.WARNING, __file__, 1, message, args, None, extra=extra
    )


def _json(record: logging.LogRecord) -> dict[str, Any]:
    line = logs.JsonFormatter().format(record)
    assert 1 == len(line.splitlines())
    return dict(json.loads(line))


def test_a_line_in_json_has_its_head_and_what_the_caller_added() -> None:
    line = _json(_record("took %s", 3, pages=7, odd={1}))
    assert ("WARNING", "sessions.test", "took 3", 7, "{1}") == (
        line["level"],
        line["logger"],
        line["message"],
        line["pages"],
        line["odd"],
    )
    assert line["time"].endswith("Z")
    assert (None, None) == (line["session_id"], line["task_id"])


@pytest.mark.parametrize(
    ("about", "session_id", "task_id"),
    [
        ({"temporal_workflow": {"workflow_id": "demo", "run_id": "r"}}, "demo", None),
        ({"temporal_workflow": {"workflow_id": "demo/sun", "run_id": "r"}}, "demo", "sun"),
        ({"temporal_workflow": {"workflow_id": "demo", "run_id": "r"}, "task_id": "sun"}, "demo", "sun"),
        (
            {
                "temporal_activity": {
                    "workflow_id": "demo/sun",
                    "workflow_run_id": "r",
                    "activity_type": "a",
                    "attempt": 2,
                }
            },
            "demo",
            "sun",
        ),
    ],
)
def test_a_line_of_a_workflow_or_an_activity_names_session_and_task(
    about: dict[str, Any], session_id: str, task_id: str | None
) -> None:
    line = _json(_record(**about))
    assert (session_id, task_id, "r") == (line["session_id"], line["task_id"], line["run_id"])
    assert f"[{'/'.join(filter(None, (session_id, task_id)))}] hello" in logs.TextFormatter().format(_record(**about))


async def test_a_line_of_any_logger_within_an_activity_names_its_task() -> None:
    environment = ActivityEnvironment()
    info = environment.info
    lines: list[str] = []

    @activity.defn
    async def speak() -> None:
        await asyncio.sleep(0)
        lines.append(logs.TextFormatter().format(_record()))

    await environment.run(speak)
    assert f"[{info.workflow_id}] hello" in lines[0]
    assert lines[0].endswith(f"activity={info.activity_type} attempt={info.attempt}")


def test_no_text_makes_a_second_line_or_steers_a_terminal() -> None:
    line = logs.TextFormatter().format(_record("one\ntwo \x1b[31m\u2028", note="a\rb"))
    assert line.endswith(r"one\ntwo \x1b[31m\u2028 note=a\rb")


def test_a_caller_cannot_change_the_head_of_a_line() -> None:
    assert ("hello", "WARNING") == tuple(
        _json(_record(level="none", time="never"))[name] for name in ("message", "level")
    )


def test_a_traceback_comes_along() -> None:
    record = _record()
    try:
        raise KeyError("tea\x1b[0m")  # noqa: TRY301 (a traceback is what is wanted)
    except KeyError:
        record.exc_info = sys.exc_info()
    assert "KeyError: 'tea" in _json(record)["exception"]
    assert "\x1b" not in logs.TextFormatter().format(record)
    assert "Traceback" == logs.TextFormatter().format(record).splitlines()[1].split(" ")[0]


@pytest.fixture
def _as_before() -> Any:
    names = ("", *logs.OURS)
    before = {name: logging.getLogger(name).level for name in names}
    handlers = list(logging.getLogger().handlers)
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger().handlers[:] = handlers


@pytest.mark.usefixtures("_as_before")
def test_debug_lines_of_libraries_stay_off() -> None:
    """They contain what users wrote: the SDK's of workers have whole activations."""
    logging.getLogger().handlers.clear()
    logs.set_up("json", "debug")
    enabled = {name: logging.getLogger(name).isEnabledFor(logging.DEBUG) for name in (*logs.OURS, "httpx", "openai")}
    assert {**dict.fromkeys(logs.OURS, True), "httpx": False, "openai": False} == enabled
    assert not logging.getLogger("temporalio.worker._workflow").isEnabledFor(logging.DEBUG)
