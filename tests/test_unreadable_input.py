"""A task's input that its kind cannot read: the task ends by name, unless another worker may read it."""

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest
from pydantic import BaseModel
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.converter import DataConverter, PayloadCodec
from temporalio.service import RPCError
from temporalio.worker import Replayer

from activities.models.offline import OfflineModel
from starter.client import SessionClient
from starter.client.connection import connect
from starter.serving.activations import CarefulActivations
from tests.harness import WAIT, ask, run_task
from tests.servers import Server
from worker import build_worker
from workflows.contract import TaskInput, TaskOutput, task_workflow_id
from workflows.wire.messages import DATA_CONVERTER

BANANA = "What colour is a banana?"
SEALED = b"binary/sealed"


class Order(BaseModel):
    dish: str


@workflow.defn(name="Misread")
class MisreadWorkflow:
    """Asks for something else than the contract's input, and does not say that its errors fail it."""

    @workflow.run
    async def run(self, order: Order) -> TaskOutput:
        return TaskOutput(output=order.dish)


@workflow.defn(name="Loose")
class LooseWorkflow:
    """Reads the contract's input, and does not say that its errors fail it."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        return TaskOutput(output=task.input)


@workflow.defn(name="Loose")
class FaultyWorkflow:
    """The same with a fault, which other code mends."""

    @workflow.run
    async def run(self, task: TaskInput) -> TaskOutput:
        raise LookupError(task.task_id)


class Seal(PayloadCodec):
    """Turns payloads round, as an encryption would; reads such only with the key."""

    def __init__(self, *, key: bool) -> None:
        self._key = key

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload(metadata={"encoding": SEALED}, data=p.SerializeToString()[::-1]) for p in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._opened(payload) if payload.metadata["encoding"] == SEALED else payload for payload in payloads]

    def _opened(self, payload: Payload) -> Payload:
        if not self._key:
            raise RuntimeError("the key is missing")
        return Payload.FromString(payload.data[::-1])


def sealed(*, key: bool) -> DataConverter:
    return replace(DATA_CONVERTER, payload_codec=Seal(key=key))


async def test_a_kind_that_asks_for_something_else_ends_its_task_by_name_and_the_next_one_runs(
    temporal: Client,
) -> None:
    queue = f"misread-{uuid.uuid4().hex[:12]}"
    async with build_worker(temporal, OfflineModel(), queue=queue, kinds=[MisreadWorkflow]):
        session = await SessionClient(temporal, queue).open(queue)
        record = await run_task(session, "soup", kind="Misread", task_id="misread")
        assert record.error
        assert ("failed", "ValidationError") == (record.status, record.error.type)
        assert "dish\n  Field required" in record.error.message
        assert "UnknownKind" == (await run_task(session, 1, kind="next")).error.type  # type: ignore[union-attr]
    history = await temporal.get_workflow_handle(task_workflow_id(session.id, "misread")).fetch_history()
    replayer = Replayer(workflows=[MisreadWorkflow], data_converter=DATA_CONVERTER, plugins=[CarefulActivations()])
    await replayer.replay_workflow(history)


async def test_an_encoding_that_a_kinds_worker_does_not_know_ends_its_task_by_name(server: Server) -> None:
    """Sessions are encrypted, and the worker that hosts the kind apart was not told."""
    temporal, apart = await connect(server.address, data_converter=sealed(key=True)), await connect(server.address)
    queue = f"sealed-{uuid.uuid4().hex[:12]}"
    async with (
        build_worker(temporal, OfflineModel(), queue=queue),
        build_worker(apart, OfflineModel(), queue=f"{queue}-kinds", kinds=[LooseWorkflow]),
    ):
        session = await SessionClient(temporal, queue).open(queue)
        record = await run_task(session, "soup", kind="Loose", task_queue=f"{queue}-kinds")
        assert record.error
        assert ("failed", "KeyError") == (record.status, record.error.type)
        assert SEALED.decode() in record.error.message
        assert "yellow" in await ask(session, BANANA)


@pytest.mark.rare
@pytest.mark.parametrize(
    ("key", "kind", "fault"),
    [
        (False, LooseWorkflow, "the key is missing"),
        (True, FaultyWorkflow, "waits"),
    ],
)
async def test_a_task_waits_for_a_worker_that_has_the_key_or_better_code(
    server: Server, key: bool, kind: type, fault: str
) -> None:
    temporal = await connect(server.address, data_converter=sealed(key=True))
    other = await connect(server.address, data_converter=sealed(key=key))
    queue = f"keys-{uuid.uuid4().hex[:12]}"
    async with build_worker(temporal, OfflineModel(), queue=queue):
        session = await SessionClient(temporal, queue).open(queue)
        async with build_worker(other, OfflineModel(), queue=f"{queue}-kinds", kinds=[kind]):
            await session.submit("soup", kind="Loose", task_queue=f"{queue}-kinds", task_id="waits")
            await _fails(temporal, task_workflow_id(session.id, "waits"), fault)
            with pytest.raises(TimeoutError):
                await session.result("waits", 1.0)
        async with build_worker(temporal, OfflineModel(), queue=f"{queue}-kinds", kinds=[LooseWorkflow]):
            record = await session.result("waits", WAIT)
        assert ("completed", "soup") == (record.status, record.output)


async def _fails(temporal: Client, workflow_id: str, message: str) -> None:
    """Wait until a workflow task has failed of that."""
    async with asyncio.timeout(WAIT):
        while True:
            with contextlib.suppress(RPCError):  # not started yet
                async for event in temporal.get_workflow_handle(workflow_id).fetch_history_events():
                    if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                        assert message == event.workflow_task_failed_event_attributes.failure.message
                        return
            await asyncio.sleep(0.1)
