"""What the environment may say of a worker, and what it is told where that does not fit."""

from datetime import timedelta
from pathlib import Path

import pytest

from starter.serving.settings import Settings, SettingsError, variable

OPERATIONS = Path(__file__).resolve().parents[1] / "docs/operations.md"


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings() == Settings.from_environment({})
    assert Settings() == Settings.from_environment({"SESSIONS_POLLERS": "", "SESSIONS_OTHER": "x"})


def test_every_setting_is_read_from_its_variable() -> None:
    given = {
        "SESSIONS_MODEL": "openai:some-model",
        "SESSIONS_KINDS": "shop:KINDS, billing.kinds:REFUNDS",
        "SESSIONS_FILES": "s3://bucket",
        "SESSIONS_NOTIFY_HOSTS": "hooks.example.com",
        "SESSIONS_NOTIFY_SECRET": "whsec_" + "A" * 32,
        "SESSIONS_FILE_BYTES": "7",
        "SESSIONS_LOG_FORMAT": "json",
        "SESSIONS_LOG_LEVEL": "debug",
        "SESSIONS_METRICS_ADDRESS": "[::1]:9464",
        "SESSIONS_SHUTDOWN_GRACE": "2.5",
        "SESSIONS_MAX_CACHED_WORKFLOWS": "0",
        "SESSIONS_MAX_CONCURRENT_ACTIVITIES": "7",
        "SESSIONS_POLLERS": "2",
    }
    settings = Settings.from_environment(given)
    assert set(given) == {variable(name) for name in Settings.model_fields}
    assert [] == [name for name in Settings.model_fields if getattr(settings, name) == getattr(Settings(), name)]
    options = settings.worker_options()
    assert (timedelta(seconds=2.5), 0, 7) == (
        options["graceful_shutdown_timeout"],
        options["max_cached_workflows"],
        options["max_concurrent_activities"],
    )
    assert (2, 2) == (
        options["workflow_task_poller_behavior"].maximum,
        options["activity_task_poller_behavior"].maximum,
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KINDS", "shop:KINDS,,billing:KINDS"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("METRICS_ADDRESS", "9464"),
        ("METRICS_ADDRESS", "localhost:9464"),
        ("METRICS_ADDRESS", "127.0.0.1:0"),
        ("METRICS_ADDRESS", "127.0.0.1:65536"),
        ("SHUTDOWN_GRACE", "-1"),
        ("SHUTDOWN_GRACE", "inf"),
        ("MAX_CACHED_WORKFLOWS", "many"),
        ("MAX_CONCURRENT_ACTIVITIES", "0"),
        ("POLLERS", "1"),
    ],
)
def test_a_variable_that_does_not_fit_is_named_in_one_line(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.from_environment({f"SESSIONS_{name}": text})
    assert f"SESSIONS_{name} is {text!r}; it must" in str(refusal.value)
    assert 1 == len(str(refusal.value).splitlines())


def test_the_table_of_the_operations_page_is_the_code() -> None:
    rows = [
        f"| `{variable(name)}` | {'off' if field.default is None else f'`{field.default}`'} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    written = [line for line in OPERATIONS.read_text().splitlines() if line.startswith("| `SESSIONS_")]
    assert rows == written
