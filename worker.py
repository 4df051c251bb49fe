"""The worker: connects, registers sessions and kinds, runs. `--dev` starts the embedded Temporal server as well.

With `module:attribute` it hosts the kinds of those plugins alone, on the task queue that `--task-queue` names.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.worker import Interceptor, Plugin, Worker

from activities.answer import AnswerActivities
from activities.child_tasks import terminate_child, watch_child
from activities.countdown import count_down
from activities.file_store import store_of
from activities.files import keep_output
from activities.fork import read_context
from activities.models.named import model_named
from activities.models.protocol import LanguageModel
from activities.notify import NotifyActivities
from activities.scheduled_tasks import remove_schedule, submit_scheduled
from activities.summarise import SummaryActivities
from activities.visibility import VisibilityActivities
from starter import dev_server
from starter.client.connection import NoServerError, connect, task_queue
from starter.encryption.setting import CODEC_PORT
from starter.serving import telemetry
from starter.serving.activations import CarefulActivations
from starter.serving.agents import RegisteredAgents
from starter.serving.deployment import deployment
from starter.serving.heartbeats import Heartbeats
from starter.serving.kinds import KindsError, check_converters, check_kinds, installed_kinds, kinds_named
from starter.serving.programming_errors import ProgrammingErrors
from starter.serving.refusals import Refusals
from starter.serving.registration import register_search_attributes
from starter.serving.settings import Settings, variable
from starter.serving.streaming import Streaming
from starter.tracing import setting as tracing
from workflows.kinds.answer import AnswerWorkflow
from workflows.kinds.countdown import CountdownWorkflow
from workflows.kinds.summarise import SummariseWorkflow
from workflows.kinds.unknown import UnknownKindWorkflow
from workflows.notification import NotificationWorkflow
from workflows.scheduled_task import ScheduledTaskWorkflow
from workflows.session import SessionWorkflow
from workflows.wire.messages import DATA_CONVERTER

if TYPE_CHECKING:
    from starter.encryption.codec_server import CodecServer

KINDS: Sequence[type] = [AnswerWorkflow, CountdownWorkflow, SummariseWorkflow]
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
    notifier: NotifyActivities | None = None,
    plugins: Sequence[Plugin] = (),
    interceptors: Sequence[Interceptor] = (),
    **options: Any,
) -> Worker:
    """A worker for sessions and `kinds`.

    `activities`: what kinds of your own need; `search_attributes`: whether sessions may write theirs, which wedges them
    where the namespace has none (`register_search_attributes` tells); `notifier`: what delivers notifications, none to
    no host at all; `plugins` come before ours, `interceptors` are
    within ours; `options`: the SDK Worker's, before our defaults.
    """
    return Worker(
        client,
        task_queue=queue,
        workflows=[SessionWorkflow, ScheduledTaskWorkflow, NotificationWorkflow, *kinds, UnknownKindWorkflow],
        activities=[
            AnswerActivities(model).answer_question,
            SummaryActivities(model).summarise,
            (notifier or NotifyActivities()).deliver,
            VisibilityActivities(usable=search_attributes).search_attributes_usable,
            count_down,
            keep_output,
            read_context,
            remove_schedule,
            submit_scheduled,
            terminate_child,
            watch_child,
            *activities,
        ],
        plugins=[*plugins, RegisteredAgents(), CarefulActivations(Refusals(client).watched)],
        interceptors=[Heartbeats(), Streaming(), ProgrammingErrors(), *interceptors],
        **{**Settings().worker_options(), **options},
    )


def build_kinds_worker(client: Client, *, queue: str, **options: Any) -> Worker:
    """A worker for nothing but the kinds that the plugins of `client` bring; tasks of any other kind fail by name."""
    return Worker(
        client,
        task_queue=queue,
        workflows=[UnknownKindWorkflow],
        activities=[keep_output],
        plugins=[RegisteredAgents(), CarefulActivations(Refusals(client).watched)],
        interceptors=[Heartbeats(), Streaming(), ProgrammingErrors()],
        **{**Settings().worker_options(), **options},
    )


async def run(settings: Settings, dev: dev_server.DevServer | None, codec_port: int = CODEC_PORT) -> None:
    """Serve sessions until SIGINT or SIGTERM; raises what ends the worker before."""
    stopped = _stop_signal()
    store_of()  # what cannot be used is told now and not by the first task
    named = [name.strip() for name in settings.kinds.split(",")] if settings.kinds else []
    plugins = [*installed_kinds(), *(plugin for name in named for plugin in kinds_named(name, variable("kinds")))]
    check_kinds(plugins, [SessionWorkflow, ScheduledTaskWorkflow, NotificationWorkflow, *KINDS])
    check_converters(plugins, DATA_CONVERTER)
    codec = _codec_server(dev, codec_port) if dev else None
    try:
        if dev:
            if codec:
                dev.codec_endpoint = codec.start()
                logger.info("encrypted; the Web UI reads by %s", codec.url)
            await dev.start()
            logger.info("Temporal at %s, Web UI at %s", dev.address, dev.ui)
        client = await connect(dev.address if dev else None, plugins=plugins)
        model = model_named(settings.model)
        findable = await register_search_attributes(client)
        queue, options = task_queue(), {**settings.worker_options(), "deployment_config": deployment()}
        notifier = NotifyActivities(settings.notify_hosts or "", settings.notify_secret or "")
        async with build_worker(client, model, queue=queue, search_attributes=findable, notifier=notifier, **options):
            logger.info("worker ready: model %s, task queue %s", model.name, queue)
            await stopped.wait()
    finally:
        if dev:
            dev.stop()
        if codec:
            codec.stop()


def _codec_server(dev: dev_server.DevServer, port: int) -> "CodecServer | None":
    # Made of Python's HTTP server, which no sandbox lets be imported, and kinds may import this module.
    from starter.encryption.codec_server import dev_codec_server  # noqa: PLC0415

    return dev_codec_server(dev.ui_port, port, os.environ)


async def run_kinds(settings: Settings, names: Sequence[str], queue: str) -> None:
    """Serve the tasks of those kinds until SIGINT or SIGTERM, by their own data converter where they bring one."""
    if queue == task_queue():
        raise KindsError(f"task queue {queue!r} is that of sessions, which this worker does not host")
    stopped = _stop_signal()
    store_of()
    plugins = [plugin for name in names for plugin in kinds_named(name, "argument")]
    check_kinds(plugins, [])
    own = any(plugin.data_converter is not None for plugin in plugins)
    client = await connect(plugins=plugins, data_converter=DataConverter.default if own else DATA_CONVERTER)
    options = {**settings.worker_options(), "deployment_config": deployment()}
    async with build_kinds_worker(client, queue=queue, **options):
        logger.info("worker ready: kinds of %s, task queue %s", ", ".join(names), queue)
        await stopped.wait()


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def main() -> int:
    """Read the command line and run; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="module:attribute", help="host the kinds of these plugins alone")
    parser.add_argument("--task-queue", help="where those kinds take tasks")
    parser.add_argument("--dev", action="store_true", help="start the embedded Temporal server too")
    parser.add_argument("--db", type=Path, default=dev_server.DEFAULT_DATABASE, help="its database file")
    parser.add_argument("--port", type=int, default=dev_server.GRPC_PORT, help="its gRPC port")
    parser.add_argument("--ui-port", type=int, default=dev_server.UI_PORT, help="its Web UI port")
    parser.add_argument("--http-port", type=int, default=dev_server.HTTP_PORT, help="its HTTP API port")
    parser.add_argument("--codec-port", type=int, default=CODEC_PORT, help="its codec server's, with keys")
    options = parser.parse_args()
    if bool(options.kinds) != bool(options.task_queue) or (options.kinds and options.dev):
        parser.error("kinds and --task-queue belong together, without --dev; SESSIONS_KINDS adds kinds to sessions")
    dev = dev_server.DevServer(options.db, options.port, options.ui_port, options.http_port) if options.dev else None
    try:
        settings = Settings.from_environment()
        telemetry.set_up(settings)
        _complete(
            run_kinds(settings, options.kinds, options.task_queue)
            if options.kinds
            else run(settings, dev, options.codec_port)
        )
    except (NoServerError, FileNotFoundError, RuntimeError, ValueError) as error:
        cause = f": {error.__cause__!r}" if type(error) is RuntimeError and error.__cause__ else ""  # of the SDK
        print(f"worker: {error}{cause}", file=sys.stderr)  # noqa: T201 (a person reads it)
        return 1
    except BaseException as error:  # noqa: BLE001 (an exit that nobody held back has ended the worker)
        print(f"worker: ended by {error!r}", file=sys.stderr)  # noqa: T201 (a person reads it)
        if dev:
            dev.stop()
        return 1
    finally:
        tracing.flush()
    return 0


def _complete(work: Coroutine[Any, Any, None]) -> None:
    """As `asyncio.run` does, but for an exit out of the event loop: to wait for the worker's tasks then has no end."""
    runner = asyncio.Runner()
    try:
        runner.run(work)
    except Exception:
        runner.close()
        raise
    runner.close()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK's runtime may crash the interpreter while it shuts down; everything is closed by now.
    os._exit(code)
