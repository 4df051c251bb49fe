"""The dashboard and the alerts of `deploy/`: JSON for Grafana and Prometheus, of series that a worker really has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.conformance.caller import SLOWNESS
from tests.harness import Harness, run_task
from tests.openai_server import OpenAIServer, ok, refusal, streamed
from tests.otlp import receiving
from tests.servers import Server
from tests.test_crashes import ROOT
from tests.test_operations import PAGE, OperatedWorker

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/sessions.json").read_text())
ALERTS: dict[str, Any] = json.loads((ROOT / "deploy/prometheus/alerts.json").read_text())
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS += [rule["expr"] for rule in RULES]

USAGE = {"prompt_tokens": 12, "completion_tokens": 3}
BANANA = "What colour is a banana?"
_SERIES = re.compile(r"\b((?:sessions|temporal)_\w+)(?:{([^}]*)})?")


@pytest.fixture
def worker(server: Server, tmp_path: Path) -> Iterator[OperatedWorker]:
    """A worker process, not started; its queue is the name of its log."""
    process = OperatedWorker(server, f"test-{tmp_path.name}", tmp_path / "worker.log")
    yield process
    process.kill()


@pytest.mark.rare
async def test_every_series_and_label_of_dashboard_and_alerts_is_one_of_a_worker(
    worker: OperatedWorker, temporal: Client, tmp_path: Path
) -> None:
    """After a few tasks, good and bad; and what the worker has of their traces is sent before it ends."""
    sessions = Harness(temporal, f"test-{tmp_path.name}")
    async with OpenAIServer() as endpoint:
        said = [
            streamed("A ripe banana ", f"is yellow{' and yellow' * 9}.", usage=USAGE),
            ok(usage=USAGE),
            refusal(400, "no"),
        ]
        endpoint.script.extend(said)
        with receiving() as receiver:
            worker.start(
                SESSIONS_MODEL="openai:small",
                SESSIONS_KINDS="tests.faulty:KINDS",
                OPENAI_BASE_URL=endpoint.url,
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
                OTEL_BSP_SCHEDULE_DELAY="600000",
            )
            session = await sessions.open()
            for options in ({"stream": True}, {}, {}):
                await run_task(session, BANANA, **options)
            await temporal.get_workflow_handle(session.id).signal("no such signal")
            assert "timed_out" == (await run_task(session, None, kind="Fragile", timeout=2.0 * SLOWNESS)).status
            samples = await worker.metrics()
            assert not receiver.spans
            assert 0 == await worker.stop()
            assert 3 == len(receiver.named("chat small"))
    labels: dict[str, set[str]] = {}
    for sample in samples:
        name, _, rest = sample.partition("{")
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', rest))
    for expression in EXPRESSIONS:
        for name, matchers in _SERIES.findall(expression):
            assert name in labels, f"{name} of {expression}"
            used = set(re.findall(r"(\w+)\s*=~?", matchers))
            used |= {label for each in re.findall(r"by \(([^)]*)\)", expression) for label in each.split(", ")}
            assert used <= labels[name], expression
    tokens = {name: value for name, value in samples.items() if name.startswith("sessions_tokens_total")}
    assert {"input": 24, "output": 6} == {re.findall(r'type="(\w+)"', n)[0]: v for n, v in tokens.items()}
    [first] = [v for n, v in samples.items() if re.match(r'sessions_first_text_seconds_count.*kind="Answer"', n)]
    assert 1 == first


def test_grafana_and_prometheus_find_all_that_they_need() -> None:
    panels = DASHBOARD["panels"]
    assert len(panels) == len({panel["id"] for panel in panels})
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(places) == len(set(places))
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in panels)
    assert {"${datasource}"} == {target["datasource"]["uid"] for panel in panels for target in panel["targets"]}
    assert {"datasource", "kind"} == {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert all(expression.count(a) == expression.count(b) for expression in EXPRESSIONS for a, b in ("()", "{}", "[]"))
    assert all(re.fullmatch(r"\d+m", rule["for"]) for rule in RULES)
    assert all({"summary", "description"} == rule["annotations"].keys() for rule in RULES)
    assert not re.search("session_id|owner|task_id", " ".join(EXPRESSIONS))


def test_the_page_names_every_series_that_they_use_and_says_what_to_do_at_every_alert() -> None:
    """And a test of the page looks for those in what a worker serves."""
    used = {re.sub("_bucket$", "", name) for expression in EXPRESSIONS for name, _ in _SERIES.findall(expression)}
    assert set() == used - set(re.findall(r"`((?:temporal|sessions)_\w+)`", PAGE))
    assert {rule["expr"] for rule in RULES} <= {
        *(row.strip().strip("`").replace("\\|", "|") for row in re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE)),
    }
