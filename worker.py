"""The worker: connects, registers sessions and kinds, runs. `--dev` starts the embedded Temporal server as well."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker, WorkflowRunner

from activities.answer import AnswerActivities
from activities.child_tasks import terminate_child, watch_child
from activities.countdown import count_down
from activities.fork import read_context
from activities.models.named import model_named
from activities.models.protocol import LanguageModel
from activities.visibility import VisibilityActivities
from starter import dev_server
from starter.client.connection import NoServerError, connect, task_queue
from starter.serving import telemetry
from starter.serving.activations import runners
from starter.serving.deployment import deployment
from starter.serving.programming_errors import ProgrammingErrors
from starter.serving.refusals import Refusals
from starter.serving.registration import register_search_attributes
from starter.serving.settings import Settings
from workflows.kinds.answer import AnswerWorkflow
from workflows.kinds.countdown import CountdownWorkflow
from workflows.kinds.unknown import UnknownKindWorkflow
from workflows.session import SessionWorkflow

KINDS: Sequence[type] = [AnswerWorkflow, CountdownWorkflow]
"""The kinds this worker hosts; a new kind is one more line here."""

logger = logging.getLogger("sessions")


def build_worker(
    client: Client,
    model: LanguageModel,
    *,
    queue: str,
    kinds: Sequence[type] = KINDS,
    activities: Sequence[Any] = (),
    search_attributes: bool = False,
    workflow_runner: WorkflowRunner | None = None,
    interceptors: Sequence[Interceptor] = (),
    **options: Any,
) -> Worker:
    """A worker for sessions and `kinds`.

    `activities`: what kinds of your own need; `search_attributes`: whether sessions may write theirs, which wedges them
    where the namespace has none (`register_search_attributes` tells); `workflow_runner`: for all workflows, instead of
    what `runners` says; `interceptors`: yours, within ours; `options`: the SDK Worker's, before our defaults.
    """
    return Worker(
        client,
        task_queue=queue,
        workflows=[SessionWorkflow, *kinds, UnknownKindWorkflow],
        activities=[
            AnswerActivities(model).answer_question,
            VisibilityActivities(usable=search_attributes).search_attributes_usable,
            count_down,
            read_context,
            terminate_child,
            watch_child,
            *activities,
        ],
        interceptors=[ProgrammingErrors(), *interceptors],
        **{**runners(workflow_runner, Refusals(client).watched), **Settings().worker_options(), **options},
    )


async def run(settings: Settings, dev: dev_server.DevServer | None) -> None:
    """Serve sessions until SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        if dev:
            await dev.start()
            logger.info("Temporal at %s, Web UI at %s", dev.address, dev.ui)
        client = await connect(dev.address if dev else None)
        model = model_named(settings.model)
        findable = await register_search_attributes(client)
        queue, options = task_queue(), {**settings.worker_options(), "deployment_config": deployment()}
        async with build_worker(client, model, queue=queue, search_attributes=findable, **options):
            logger.info("worker ready: model %s, task queue %s", model.name, queue)
            await stopped.wait()
    finally:
        if dev:
            dev.stop()


def main() -> int:
    """Read the command line and run; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="start the embedded Temporal server too")
    parser.add_argument("--db", type=Path, default=dev_server.DEFAULT_DATABASE, help="its database file")
    parser.add_argument("--port", type=int, default=dev_server.GRPC_PORT, help="its gRPC port")
    parser.add_argument("--ui-port", type=int, default=dev_server.UI_PORT, help="its Web UI port")
    parser.add_argument("--http-port", type=int, default=dev_server.HTTP_PORT, help="its HTTP API port")
    options = parser.parse_args()
    dev = dev_server.DevServer(options.db, options.port, options.ui_port, options.http_port) if options.dev else None
    try:
        settings = Settings.from_environment()
        telemetry.set_up(settings)
        asyncio.run(run(settings, dev))
    except (NoServerError, FileNotFoundError, RuntimeError, ValueError) as error:
        print(f"worker: {error}", file=sys.stderr)  # noqa: T201 (a person reads it)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK's runtime may crash the interpreter while it shuts down; everything is closed by now.
    os._exit(code)
