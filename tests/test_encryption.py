"""Encryption: what is said is nowhere in clear, a missing key loses nothing, and keys may change while all goes on."""

import asyncio
import base64
import hashlib
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.child_tasks import ChildTask, Origin, watch_child
from starter.client import Session, SessionClient
from starter.client.calls import NoWorkerError, WorkerFailsError
from starter.client.changes import Change
from starter.client.connection import connect
from starter.client.overview import Overview
from starter.client.reported import stream_mark
from starter.encryption.codec import DEFLATED, DICTIONARY, PLAIN, Encryption
from starter.encryption.keys import EncryptionError, checked, keys_of, new_key
from starter.encryption.setting import codec_of, sealed
from starter.gateway.errors import api_error
from tests.harness import WAIT, Harness, ask, details_of, replayer, run_task, snapshot_when
from tests.servers import NO_NEXT_WORKER, Server
from workflows.contract import Config, ContextPatch, Snapshot, task_workflow_id
from workflows.wire.errors import KeyMissingError, SessionError
from workflows.wire.messages import DATA_CONVERTER
from workflows.wire.sealing import ENCODING, KEY_ID, Guard

BANANA, SUN = "What colour is a banana?", "How big is the sun?"
OLD, NEW = {"old": b"o" * 32}, {"new": b"n" * 32}
BOTH = NEW | OLD
OTHER = {"old": b"x" * 32}


def payload(value: Any) -> Payload:
    return DATA_CONVERTER.payload_converter.to_payload(value)


async def connected(server: Server, keys: dict[str, bytes]) -> Client:
    """A client as one in whose environment those keys are; none are none."""
    codec = Encryption(keys) if keys else Guard()
    return await connect(server.address, data_converter=sealed(DATA_CONVERTER, codec))


# --- keys ---------------------------------------------------------------------------------------------------------


def test_keys_are_ids_and_base64_newest_first() -> None:
    text = f"{new_key('2026-11')}, {new_key('2026-05')}"
    keys = keys_of({"SESSIONS_ENCRYPTION_KEYS": text})
    assert ["2026-11", "2026-05"] == list(keys)
    assert {32} == {len(key) for key in keys.values()}
    assert {} == keys_of({}) == keys_of({"SESSIONS_ENCRYPTION_KEYS": ""})
    assert type(codec_of({})) is Guard
    assert isinstance(codec_of({"SESSIONS_ENCRYPTION_KEYS": text}), Encryption)


FIRST = "a:" + "A" * 43 + "="
PART_OF_KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PART_OF_KEY, r"entry 1 must be ID:BASE64"),
        (f"a:{PART_OF_KEY}=", r"key 1 \(a\) must have 32 bytes"),
        (f"a:{PART_OF_KEY}!", r"entry 1: the key 'a' is no base64"),
        (f"{FIRST},a:{PART_OF_KEY}", r"entry 2: there is a key 'a' already"),
        (f"{FIRST},{PART_OF_KEY}", r"entry 2 must be ID:BASE64"),
        (f"{FIRST},", r"entry 2 must be ID:BASE64"),
        (f"{PART_OF_KEY} {PART_OF_KEY}:x", r"entry 1 must be ID:BASE64"),
    ],
)
def test_keys_that_do_not_fit_are_named_and_not_repeated(text: str, told: str) -> None:
    with pytest.raises(EncryptionError, match=f"^SESSIONS_ENCRYPTION_KEYS:? .*{told}|{told}") as refusal:
        keys_of({"SESSIONS_ENCRYPTION_KEYS": text})
    assert PART_OF_KEY[:8] not in str(refusal.value)
    assert 1 == len(str(refusal.value).splitlines())


def kms() -> dict[str, bytes]:
    return BOTH


def broken_kms() -> dict[str, bytes]:
    raise LookupError(PART_OF_KEY)


def test_keys_may_come_from_a_function_that_is_named() -> None:
    assert BOTH == keys_of({"SESSIONS_ENCRYPTION": f"{__name__}:kms"})
    with pytest.raises(EncryptionError, match=r"broken_kms raises LookupError$"):
        keys_of({"SESSIONS_ENCRYPTION": f"{__name__}:broken_kms"})
    with pytest.raises(EncryptionError, match="come from one place"):
        keys_of({"SESSIONS_ENCRYPTION": "a:b", "SESSIONS_ENCRYPTION_KEYS": new_key("a")})
    with pytest.raises(EncryptionError, match="has no keys"):
        checked({}, "it")


# --- the codec ----------------------------------------------------------------------------------------------------


OF_THE_FIRST_RELEASE = "AvuRanIf2AXM8nnXCltkv8iXlBK+o3dAKvg5oaRIPoMATLkJLctgtb3tCA3IxKTc2TrywXcE"


async def test_the_newest_key_encrypts_and_every_key_decrypts() -> None:
    said = payload({"text": "secret " * 50})
    [by_old] = await Encryption(OLD).encode([said])
    [by_new] = await Encryption(BOTH).encode([said])
    assert (b"old", b"new") == (by_old.metadata[KEY_ID], by_new.metadata[KEY_ID])
    assert [said] * 3 == await Encryption(BOTH).decode([by_old, said, by_new])
    assert b"secret" not in by_new.SerializeToString()
    assert by_new.data[:1] == DEFLATED
    assert len(by_new.data) < len(said.data) / 3
    [short] = await Encryption(NEW).encode([payload(1)])
    assert short.data[:1] == PLAIN


def test_what_was_encrypted_once_can_be_read_by_any_later_version() -> None:
    """A payload of the first release: neither the format nor what deflate begins with may change."""
    data = base64.b64decode(OF_THE_FIRST_RELEASE)
    recorded = Payload(metadata={"encoding": ENCODING, KEY_ID: b"old"}, data=data)
    assert payload({"task_id": "task-1", "input": "said " * 20}) == Encryption(OLD).opened(recorded)
    assert "25b1d04906e5d63c" == hashlib.sha256(DICTIONARY).hexdigest()[:16]


async def test_a_key_that_is_not_here_is_named_and_so_is_another_one_by_its_name() -> None:
    [by_old] = await Encryption(OLD).encode([payload("said")])
    for codec, why in (
        (Encryption(NEW), "it is not here"),
        (Guard(), "it is not here"),
        (Encryption(OTHER), "another"),
    ):
        with pytest.raises(KeyMissingError, match=f"^KeyMissing: .*'old': .*{why}"):
            await codec.decode([by_old])


async def test_what_is_broken_stays_as_it_is_since_no_key_would_mend_it() -> None:
    [whole] = await Encryption(OLD).encode([payload("said" * 100)])
    for place in (0, 10, len(whole.data) - 1):
        data = bytearray(whole.data)
        data[place] ^= 4
        broken = Payload(metadata=whole.metadata, data=bytes(data))
        assert [broken] == await Encryption(OLD).decode([broken])
    renamed = Payload(metadata={**whole.metadata, KEY_ID: b"new"}, data=whole.data)
    with pytest.raises(KeyMissingError):
        await Encryption(BOTH).decode([renamed])
    same = Encryption({"old": OLD["old"], "new": OLD["old"]})
    assert [renamed] == await same.decode([renamed])  # the id is bound, too


# --- sessions -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def worker(temporal: Client, queue: str) -> AsyncIterator[Harness]:
    harness = Harness(temporal, queue)
    async with harness.worker(max_cached_workflows=0):
        yield harness


def queue() -> str:
    return f"sealed-{uuid.uuid4().hex[:12]}"


TEXTS = {
    "input": "zebra-input",
    "value": "quagga-value",
    "title": "okapi-title",
    "label": "gnu-label",
    "question": "kudu-question",
    "answer": "tapir-answer",
    "error": "out of tea",
    "patched": "ibex-patched",
}
"""What is said in a session, by where; the error is that of the kind Raise."""


async def events(temporal: Client, *ids: str) -> str:
    """The histories of these workflows, as JSON and as bytes."""
    told = ""
    for workflow_id in ids:
        history = await temporal.get_workflow_handle(workflow_id).fetch_history()
        told += history.to_json() + "".join(event.SerializeToString().decode("latin-1") for event in history.events)
    return told


def in_clear(told: str) -> set[str]:
    """Which of the texts is in it, in clear or as JSON of Temporal has bytes."""
    return {
        name
        for name, text in TEXTS.items()
        if text in told or any(b64encode(b" " * n + text.encode())[4:-4].decode() in told for n in range(3))
    }


async def talk(session: Session) -> list[str]:
    """Say every one of the texts; the ids of all workflows."""
    assert TEXTS["input"] == (await run_task(session, {"output": TEXTS["input"]}, kind="Return", task_id="t1")).output
    failed = await run_task(session, "named", kind="Raise", task_id="t2")
    assert failed.error
    assert ("OutOfTea", TEXTS["error"]) == (failed.error.type, failed.error.message)
    await session.submit(TEXTS["question"], kind="Approve", task_id="t3")
    await snapshot_when(session, lambda s: _asks(s, TEXTS["question"]))
    await session.respond("t3", "yes")
    await snapshot_when(session, lambda s: _asks(s, "Why?"))
    await session.respond("t3", TEXTS["answer"])
    assert {"did": TEXTS["question"], "why": TEXTS["answer"]} == (await session.result("t3", WAIT)).output
    await session.patch_context(ContextPatch(set={"more": TEXTS["patched"]}))
    return [session.id, *(task_workflow_id(session.id, task) for task in ("t1", "t2", "t3"))]


def _asks(snapshot: Snapshot, question: str) -> bool:
    waiting = snapshot.running.waiting_for if snapshot.running else None
    return waiting is not None and waiting.text.startswith(question)


async def opened(harness: Harness) -> Session:
    return await harness.open(Config(title=TEXTS["title"], labels={"l": TEXTS["label"]}), {"kept": TEXTS["value"]})


async def test_nothing_that_is_said_is_in_any_history_and_its_callers_read_it(server: Server) -> None:
    temporal = await connected(server, NEW)
    async with worker(temporal, queue()) as harness:
        session = await opened(harness)
        ids = await talk(session)
        assert TEXTS["title"] == (await session.snapshot()).config.title
        assert TEXTS["question"] in await details_of(temporal, session.id)
        told = await events(temporal, *ids)
        assert set() == in_clear(told)
        assert "OutOfTea" in told  # names stay
        with pytest.raises(SessionError, match=r"^UnknownVersion: .*99"):
            await session.context(99)
        with pytest.raises(SessionError, match=r"^ContextConflict: "):
            await session.patch_context(ContextPatch(set={"a": 1}), expected_version=99)
    replay = replayer(converter=temporal.data_converter)
    for workflow_id in ids:
        await replay.replay_workflow(await temporal.get_workflow_handle(workflow_id).fetch_history())


async def test_the_search_finds_what_is_said_without_keys(harness: Harness) -> None:
    ids = await talk(await opened(harness))
    assert set(TEXTS) == in_clear(await events(harness.temporal, *ids))


async def fails(session: Session) -> None:
    """Wait until a worker fails over the session for want of a key, and says so to who asks."""
    async with asyncio.timeout(WAIT):
        while True:
            try:
                await session.snapshot()
            except WorkerFailsError as error:
                assert "KeyMissing: " in str(error)  # noqa: PT017
                return
            except NoWorkerError:
                pass
            await asyncio.sleep(0.1)


@pytest.mark.rare
@pytest.mark.parametrize(
    "lacking",
    [{}, OLD, {"new": b"x" * 32}],
    ids=["no keys", "another key", "another one by its name"],
)
@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_what_is_sent_while_workers_lack_the_key_waits_and_is_served_in_order(
    server: Server, lacking: dict[str, bytes]
) -> None:
    temporal, name = await connected(server, NEW), queue()
    async with worker(temporal, name) as harness:
        session = await harness.open()
        assert "yellow" in await ask(session, BANANA)
    async with worker(await connected(server, lacking), name):
        await session.submit(SUN, task_id="sun")
        await session.submit("What did I ask first?", task_id="first")
        await fails(session)
    async with worker(await connected(server, NEW), name):
        assert BANANA in (await session.result("first", WAIT)).output
        snapshot = await session.snapshot()
        assert (3, 0) == (snapshot.counters.completed, snapshot.counters.rejected)
        assert [BANANA, SUN] == [turn.input for turn in (await session.context()).transcript[:2]]


@pytest.mark.not_on_test_server("it cannot list workflows (UNIMPLEMENTED)")
async def test_a_watch_without_the_key_does_not_take_an_open_session_for_closed(server: Server) -> None:
    without = await connected(server, {})
    overview = Overview(SessionClient(without))
    async with worker(await connected(server, OLD), queue()) as harness:
        session = await harness.open(Config(default_kind="Countdown"))
        await run_task(session, 1, task_id="counted")
        assert await stream_mark(without, task_workflow_id(session.id, "counted")) is None
        told: list[Change] = []
        async with asyncio.timeout(WAIT):
            async for found in overview.rounds():
                told += [change for change in found if change.session_id == session.id]
                if told:
                    break
        assert {"unanswered"} == {change.change for change in told}
        assert "KeyMissing: " in str(told[0].message)
        assert overview.rows[session.id].silent


async def test_a_session_begun_plain_goes_on_encrypted_and_reads_plain_callers(server: Server) -> None:
    name, plain, temporal = queue(), await connected(server, {}), await connected(server, NEW)
    async with worker(plain, name) as harness:
        session = await harness.open(context={"tone": "dry"})
        await ask(session, BANANA)
    async with worker(temporal, name):
        await session.submit(SUN, task_id="plain")  # by a caller without keys
        later = Session(temporal, session.id)
        assert "plain" == (await later.result("plain", WAIT)).task_id
        assert BANANA in await ask(later, "What did I ask first?")
        for asked in (session.context(), session.task("plain"), session.result("plain", WAIT), session.snapshot()):
            with pytest.raises(SessionError, match=r"^KeyMissing: .*'new'"):
                await asked
        # An activity on a worker without the key: another attempt may have it, so it takes nobody for a stranger.
        child = task_workflow_id(session.id, "plain")
        origin = Origin(session_id=session.id, first_run="", kind="Answer", task_id="plain", input="")
        with pytest.raises(KeyMissingError):
            await ActivityEnvironment(client=plain).run(watch_child, ChildTask(workflow_id=child, origin=origin))
        assert {"tone": "dry"} == (await later.context()).values
        fork = await SessionClient(temporal, name).open(f"{session.id}-fork", fork_of={"session_id": session.id})
        assert BANANA in await ask(fork, "What did I ask first?")


async def test_a_made_up_payload_is_refused_and_the_session_goes_on(server: Server) -> None:
    """Encrypted by nobody, under the name of a key that is here: no worker will ever read it."""
    temporal = await connected(server, NEW)
    async with worker(temporal, queue()) as harness:
        session = await harness.open()
        broken = Payload(metadata={"encoding": ENCODING, KEY_ID: b"new"}, data=b"made up")
        clear = await connected(server, {})
        await clear.get_workflow_handle(session.id).signal("submit", RawValue(broken))
        assert "yellow" in await ask(session, BANANA)
        assert ["InvalidRequest"] == [entry.error.type for entry in (await session.snapshot()).rejected]


def test_an_activity_is_tried_again_when_it_cannot_read_where_it_stood() -> None:
    """The SDK says of heartbeats that it cannot decode that no retry mends it."""
    error = ApplicationError("Failed decoding heartbeat details", non_retryable=True)
    error.__cause__ = KeyMissingError("new")
    failure = Failure()
    DATA_CONVERTER.failure_converter.to_failure(error, DATA_CONVERTER.payload_converter, failure)
    assert not failure.application_failure_info.non_retryable
    assert "KeyMissing" == failure.cause.application_failure_info.type


async def test_what_an_activity_tells_by_heartbeats_is_encrypted(server: Server) -> None:
    temporal = await connected(server, NEW)
    async with worker(temporal, queue()) as harness:
        session = await harness.open(Config(stream=True))
        await session.submit("Who are you?", task_id="told")
        handle, seen, told = temporal.get_workflow_handle(task_workflow_id(session.id, "told")), b"", ""
        async for event in session.stream("told"):
            told += event.text or ""
            if event.text and not seen:
                seen = await _beats(handle)
        assert "stand-in" in told
    assert b"stand-in" not in seen
    assert ENCODING in seen


async def _beats(handle: WorkflowHandle[Any, Any]) -> bytes:
    pending = (await handle.describe()).raw_description.pending_activities
    return b"".join(activity.heartbeat_details.SerializeToString() for activity in pending)


def test_the_gateway_tells_its_callers_that_it_is_not_their_fault() -> None:
    told = api_error(KeyMissingError("new"))
    assert told
    assert (503, "key_missing") == (told.status, told.code)
