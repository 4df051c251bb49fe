"""Telling what an activity says while it says it: the emitter, and streams of real kinds on a real server."""

import asyncio
import dataclasses
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import PayloadCodec
from temporalio.testing import ActivityEnvironment

from activities import progress, stream
from activities.answer import AnswerActivities
from activities.models.offline import OfflineModel
from activities.models.openai import OpenAIModel
from activities.models.protocol import ModelRequest
from starter.client import Session
from starter.client.connection import connect
from starter.client.sessions import SessionClient
from tests.conformance.caller import SLOWNESS
from tests.harness import WAIT, Harness
from tests.openai_server import OpenAIServer, Reply, ok, refusal, streamed
from tests.recitals import ReciteWorkflow, recite
from tests.servers import NO_NEXT_WORKER, Server
from tests.test_crashes import WorkerProcess, stopping
from tests.test_streaming import ended, text_said, told, until
from worker import KINDS, build_worker
from workflows.contract import Config, TaskEvent, task_workflow_id
from workflows.wire.limits import STREAM_BYTES, STREAM_EVENT_BYTES
from workflows.wire.messages import DATA_CONVERTER
from workflows.wire.progress import Progress
from workflows.wire.streaming import StreamDetails

TEXT = "# Ripe 🍌🏳️‍🌈\r\n\r\nare **yellow**, 文字 and e\u0301 too.\n\n| a | b |\n|---|---|\n\u2028end \u0085 of it\x0b."
WORDS = re.findall(r"\s*\S{1,3}|\s+", TEXT)


async def _beats(tell: Callable[[stream.Emitter], object], *, asked: bool = True, every: float = 0.25) -> list[Any]:
    """What an activity beats that tells so and then lives a little longer."""
    environment = ActivityEnvironment()
    beats: list[Any] = []
    environment.on_heartbeat = lambda *details: beats.append(details[0])

    async def telling() -> None:
        stream.asked.set(asked)
        async with stream.emitting(every) as out:
            tell(out)
            await asyncio.sleep(0.05)

    await environment.run(telling)
    return beats


async def _told(tell: Callable[[stream.Emitter], object]) -> list[Any]:
    return list(StreamDetails.model_validate((await _beats(tell))[-1]["stream"]).model_dump()["parts"])


async def test_a_beat_has_the_contracts_shape() -> None:
    def tell(out: stream.Emitter) -> None:
        out.text("Let me ")
        out.text("see")
        out.event("tool_call", {"name": "look"})
        out.text("Yes")
        out.progress(1, 2, "looks")

    parts = ["Let me see", {"type": "tool_call", "data": {"name": "look"}}, "Yes"]
    details = {"attempt": 1, "every": 0.25, "parts": parts}
    assert [{"done": 1, "total": 2, "note": "looks", "stream": details}] == await _beats(tell)


async def test_nothing_is_sent_where_nobody_asked_but_progress() -> None:
    def tell(out: stream.Emitter) -> None:
        out.text("Let me see")
        out.event("tool_call", {})

    assert [] == await _beats(tell, asked=False)
    assert [Progress(done=1)] == await _beats(lambda out: out.progress(1), asked=False)


async def test_a_report_of_progress_does_not_wipe_out_an_open_stream() -> None:
    def tell(out: stream.Emitter) -> None:
        out.text("Let me see")
        progress.report(1, 2)

    beat = (await _beats(tell))[-1]
    assert (1, ["Let me see"]) == (beat["done"], beat["stream"]["parts"])


async def test_no_plain_beat_wipes_out_what_an_answer_has_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.answer.MODEL_HEARTBEAT_SECONDS", 0.02)
    environment = ActivityEnvironment()
    beats: list[tuple[Any, ...]] = []
    environment.on_heartbeat = lambda *details: beats.append(details)
    request = ModelRequest(question="Who are you?", transcript=[], values={}, write=True)

    async def answered() -> str:
        stream.asked.set(True)
        return (await AnswerActivities(OfflineModel()).answer_question(request)).text

    text = await environment.run(answered)
    assert 1 < len(beats)
    assert [] == [details for details in beats if not details or "stream" not in details[0]]
    assert text.startswith(StreamDetails.model_validate(beats[-1][0]["stream"]).text)


async def test_half_a_character_waits_for_its_other_half() -> None:
    def tell(out: stream.Emitter) -> None:
        for text in ("a\ud83c", "\udf4c", "b"):
            out.text(text)

    assert ["a🍌b"] == await _told(tell)
    assert ["a"] == await _told(lambda out: out.text("a\ud83c"))


async def test_an_event_that_is_too_large_is_told_as_truncated_and_the_text_goes_on() -> None:
    def tell(out: stream.Emitter) -> None:
        out.text("a")
        out.event("tool_call", "x" * STREAM_EVENT_BYTES)
        out.text("b")

    assert ["a", {"type": "truncated", "data": None}, "b"] == await _told(tell)


async def test_an_attempt_that_tells_too_much_ends_with_truncated() -> None:
    def tell(out: stream.Emitter) -> None:
        for number in range(2 * STREAM_BYTES // 1_000):
            out.text("é" * 500)
            out.event("note", number)

    beat = (await _beats(tell))[-1]["stream"]
    assert {"type": "truncated"} == beat["parts"][-1]
    assert 1 == sum(part == {"type": "truncated"} for part in beat["parts"])
    assert STREAM_BYTES - 2_000 < len(json.dumps(beat["parts"], ensure_ascii=False, separators=(",", ":")).encode())
    assert STREAM_BYTES >= len(json.dumps(beat["parts"], ensure_ascii=False, separators=(",", ":")).encode())


async def test_what_cannot_be_told_is_refused() -> None:
    with pytest.raises(ValueError, match="contract"):
        await _beats(lambda out: out.event("ended"))
    with pytest.raises(ValueError, match="not JSON"):
        await _beats(lambda out: out.event("tool_call", {1, 2}))
    with pytest.raises(ValueError, match="every"):
        await _beats(lambda out: out.text("a"), every=0.1)


async def test_an_attempt_after_one_that_only_streamed_begins_at_none() -> None:
    for details, expected in [({"stream": {}}, None), ({"done": 2, "stream": {}}, Progress(done=2))]:
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(environment.info, heartbeat_details=[details])
        assert expected == environment.run(progress.resumed)


@pytest.fixture
async def reciting(elsewhere: Harness) -> AsyncIterator[Session]:
    """A session whose tasks recite."""
    async with build_worker(
        elsewhere.temporal,
        OfflineModel(),
        queue=elsewhere.queue,
        kinds=[*KINDS, ReciteWorkflow],
        activities=[recite],
    ):
        yield await elsewhere.open(Config(default_kind="Recite"))


async def test_the_texts_told_are_exactly_the_outputs_text(reciting: Session) -> None:
    task = await reciting.submit({"words": WORDS, "pause": 0.03 * SLOWNESS, "notes": [3]}, stream=True)
    events = await until(reciting.stream(task), ended)
    texts = [event for event in events if event.type == "text"]
    assert 3 < len(texts)
    assert TEXT == text_said(events)
    assert events[-1].record is not None
    assert TEXT == events[-1].record.output


async def test_a_streamed_task_has_the_history_of_one_that_is_not(reciting: Session) -> None:
    lengths = []
    for asked in (True, False):
        task = await reciting.submit({"words": WORDS, "pause": 0.03 * SLOWNESS, "progress": True}, stream=asked)
        events = await until(reciting.stream(task), ended)
        assert asked == (len([event for event in events if event.type == "text"]) > 1)
        child = reciting.temporal.get_workflow_handle(task_workflow_id(reciting.id, task))
        lengths.append((await child.describe()).history_length)
    assert lengths[0] == lengths[1]


async def test_a_cursor_goes_on_when_the_task_has_ended(reciting: Session, server: Server) -> None:
    """What is left then is the record, and the mark of the stream's places in the history."""
    words = [f"{number} " for number in range(30)]
    piece = {"words": words, "pause": 0.05 * SLOWNESS, "notes": [2, 5], "fails": 1}
    task = await reciting.submit(piece, stream=True)
    events = await until(reciting.stream(task), ended)
    last = max(place for place, event in enumerate(events) if event.type == "restarted")
    other = SessionClient(await connect(server.address), "any").get(reciting.id)
    for place, event in enumerate(events):
        if event.type == "text":
            more = told(await until(other.stream(task, after=event.cursor), ended))
            if place < last:
                assert [("restarted", None, "2.0"), ("text", "".join(words), events[-1].cursor)] == more
            else:
                said = text_said(events[last : place + 1])
                rest = "".join(words).removeprefix(said)
                assert [("text", rest, events[-1].cursor)] * bool(rest) == more


async def test_places_count_the_same_after_the_end_as_before(reciting: Session) -> None:
    """Who reads all of it only then is told nothing twice, from whichever place it goes on."""
    task = await reciting.submit({"words": ["Yel", "low."], "notes": [0]}, stream=True)
    await reciting.result(task, WAIT)
    for cursor in (None, "1.0", "1.1", "1.4"):
        events = await until(reciting.stream(task, after=cursor), ended)
        assert "Yellow."[3 if cursor == "1.4" else 0 :] == text_said(events)
        assert [] == told(await until(reciting.stream(task, after=events[-1].cursor), ended))


async def test_a_place_that_nothing_explains_any_more_is_told_whole_again(
    reciting: Session, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MARKED_EVENTS", 1)
    words = [f"{number} " for number in range(20)]
    task = await reciting.submit({"words": words, "pause": 0.05, "notes": [0, 1]}, stream=True)
    events = await until(reciting.stream(task), lambda e: e.type == "text" and e.text and "1" in e.text)
    assert 2 == len([event for event in events if event.type == "note"])
    await reciting.result(task, WAIT)
    other = SessionClient(await connect(server.address), "any").get(reciting.id)
    rest = await until(other.stream(task, after=events[-1].cursor), ended)
    assert "".join(words) == text_said([*events, *rest])
    assert [] == told(await until(other.stream(task, after=rest[-1].cursor), ended))


async def test_progress_goes_with_the_text(reciting: Session) -> None:
    task = await reciting.submit({"words": WORDS, "pause": 0.05 * SLOWNESS, "progress": True}, stream=True)
    events = await until(reciting.stream(task), ended)
    assert any(event.type == "progress" and event.data["total"] == len(WORDS) for event in events)


async def test_a_failed_attempt_is_void_and_the_next_one_tells_all_anew(reciting: Session) -> None:
    task = await reciting.submit({"words": WORDS, "pause": 0.03 * SLOWNESS, "fails": 1}, stream=True)
    events = await until(reciting.stream(task), ended)
    assert ["restarted"] == [event.type for event in events if event.type not in {"status", "text", "ended"}]
    assert TEXT == text_said(events)


async def test_each_activity_of_a_task_that_tells_is_an_attempt_of_its_own(reciting: Session) -> None:
    task = await reciting.submit({"words": WORDS, "pause": 0.03 * SLOWNESS, "times": 2}, stream=True)
    events = await until(reciting.stream(task), ended)
    assert ["1001.0"] == [event.cursor for event in events if event.type == "restarted"]
    assert TEXT == text_said(events)


async def test_a_hundred_cuts_leave_no_gap_and_no_double(reciting: Session, server: Server) -> None:
    """Each goes on from another connection than the one before, as another process would."""
    words = [f"{number} " for number in range(200)]
    task = await reciting.submit({"words": words, "pause": 0.04, "notes": list(range(0, 100, 7))}, stream=True)
    clients = [await connect(server.address) for _ in range(3)]
    events: list[TaskEvent] = []
    cursor, cuts = None, 0
    while not events or events[-1].type != "ended":
        session = SessionClient(clients[cuts % 3], "any").get(reciting.id)
        seen = await until(session.stream(task, after=cursor), lambda e: e.type in {"text", "note", "ended"})
        # What a reader has not come to is not seen; only what it was given moves the place.
        cursor, cuts, events = seen[-1].cursor, cuts + (cuts < 100), events + seen
    said = [event for event in events if event.type in {"text", "note", "restarted"}]
    assert "".join(words) == text_said(said)


@pytest.mark.rare
@pytest.mark.timeout(120)
@pytest.mark.not_on_test_server(NO_NEXT_WORKER)
async def test_a_killed_worker_costs_what_was_told_and_then_all_is_told_anew(
    server: Server, elsewhere: Harness
) -> None:
    environment = {"SESSIONS_KINDS": "tests.recitals:KINDS"}
    workers = [WorkerProcess(server.address, elsewhere.queue, environment) for _ in range(2)]
    with stopping(*workers):
        workers[0].start()
        session = await elsewhere.open(Config(default_kind="Recite", stream=True))
        piece = {"words": WORDS, "pause": 2.0 * SLOWNESS / len(WORDS), "heartbeat": 1.0 * SLOWNESS}
        task = await session.submit(piece)
        events = session.stream(task)
        seen = await until(events, lambda e: e.text)
        workers[0].kill()
        workers[1].start()
        seen += await until(events, ended)
    assert ["2.0"] == [event.cursor for event in seen if event.type == "restarted"]
    assert TEXT == text_said(seen)


class Rotated(PayloadCodec):
    """Turns every byte of a payload over: enough to tell what it has seen."""

    async def encode(self, payloads: Any) -> list[Payload]:
        return [
            Payload(metadata={"encoding": b"rotated"}, data=bytes(byte ^ 0x55 for byte in payload.SerializeToString()))
            for payload in payloads
        ]

    async def decode(self, payloads: Any) -> list[Payload]:
        return [Payload.FromString(bytes(byte ^ 0x55 for byte in payload.data)) for payload in payloads]


async def test_a_codec_encrypts_what_is_told(server: Server, elsewhere: Harness) -> None:
    plain = await connect(server.address)
    config = plain.config()
    config["data_converter"] = dataclasses.replace(DATA_CONVERTER, payload_codec=Rotated())
    coded = Client(**config)
    async with build_worker(
        coded, OfflineModel(), queue=elsewhere.queue, kinds=[*KINDS, ReciteWorkflow], activities=[recite]
    ):
        session = await SessionClient(coded, elsewhere.queue).open("coded", Config(default_kind="Recite", stream=True))
        task = await session.submit({"words": ["secret", " words"] * 20, "pause": 0.05 * SLOWNESS})
        events = session.stream(task)
        await until(events, lambda e: e.text)
        raw = (await plain.get_workflow_handle(task_workflow_id("coded", task)).describe()).raw_description
        assert raw.pending_activities[0].heartbeat_details.payloads
        assert b"secret" not in raw.SerializeToString()
        assert b"secret" in bytes(byte ^ 0x55 for byte in raw.pending_activities[0].heartbeat_details.payloads[0].data)
        assert "secret words" * 20 == text_said(await until(session.stream(task), ended))
        await session.close("now")


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIServer]:
    """A loopback endpoint, and the variables that lead there."""
    async with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield server


@pytest.fixture
async def answering(endpoint: OpenAIServer, elsewhere: Harness) -> AsyncIterator[Session]:
    """A session whose questions go to that endpoint."""
    async with build_worker(elsewhere.temporal, OpenAIModel("m"), queue=elsewhere.queue):
        yield await elsewhere.open(Config(stream=True))


async def asked(session: Session) -> list[TaskEvent]:
    return await until(session.stream(await session.submit("Which?")), ended)


async def test_an_answer_is_told_while_the_model_writes_it(answering: Session, endpoint: OpenAIServer) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 30}
    endpoint.script.append(streamed(*WORDS, usage=usage, finish_reason="length", pause=0.04 * SLOWNESS))
    events = await asked(answering)
    assert True is endpoint.requests[0].body["stream"]
    assert {"include_usage": True} == endpoint.requests[0].body["stream_options"]
    assert 2 < len([event for event in events if event.type == "text"])
    assert TEXT == text_said(events)
    record = events[-1].record
    assert record is not None
    assert (TEXT, "length") == (record.output, record.finish_reason)
    assert {"input_tokens": 7, "output_tokens": 30} == record.usage


async def test_nobody_who_asks_for_no_stream_gets_one(answering: Session, endpoint: OpenAIServer) -> None:
    assert "Yellow." == await answering.ask("Which?", stream=False, wait=WAIT)
    assert "stream" not in endpoint.requests[0].body


@pytest.mark.parametrize(
    ("first", "restarts"),
    [
        (streamed(*["Bananas are usually "] * 10, pause=0.1 * SLOWNESS, done=False), 1),
        (
            Reply(headers={"content-type": "text/event-stream"}, body='data: {"error": {"message": "overloaded"}}\n\n'),
            0,
        ),
        (refusal(500, "busy"), 0),
    ],
    ids=["breaks off", "an error in the stream", "an error"],
)
async def test_what_a_retry_can_mend_is_asked_for_again_and_told_anew(
    answering: Session, endpoint: OpenAIServer, first: Reply, restarts: int
) -> None:
    endpoint.script += [first, streamed(*WORDS, pause=0.04 * SLOWNESS)]
    events = await asked(answering)
    assert TEXT == text_said(events)
    assert 2 == len(endpoint.requests)
    assert restarts <= len([event for event in events if event.type == "restarted"])


@pytest.mark.parametrize(
    ("reply", "output", "reason"),
    [
        (ok("In one piece."), "In one piece.", None),
        (streamed(" \n", "Good", " day"), " \nGood day", None),
        (streamed(refusal="I won't."), "I won't.", "refusal"),
        (streamed("Well. ", refusal="I won't."), "Well. \n\nI won't.", "refusal"),
        (streamed("half \ud83c", "\udf4c"), "half 🍌", None),
    ],
    ids=["no stream", "blanks first", "a refusal", "both", "half a character"],
)
async def test_an_answer_is_the_same_as_without_a_stream(
    answering: Session, endpoint: OpenAIServer, reply: Reply, output: str, reason: str | None
) -> None:
    endpoint.script.append(reply)
    events = await asked(answering)
    record = events[-1].record
    assert record is not None
    assert (output, reason) == (record.output, record.finish_reason)
    assert output == text_said(events)


async def test_a_stream_without_text_is_asked_for_once_more_and_fails(
    answering: Session, endpoint: OpenAIServer
) -> None:
    endpoint.script += [streamed(), streamed(" ")]
    record = (await asked(answering))[-1].record
    assert record is not None
    assert record.error is not None
    assert "EmptyModelReply" == record.error.type


async def test_a_key_is_not_told_in_whatever_pieces_it_comes(
    endpoint: OpenAIServer, elsewhere: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-" + "k3Y9" * 6
    monkeypatch.setenv("OPENAI_API_KEY", key)
    texts = ["Your key is ", *key, " and ", key[:9], key[9:], ", 文字", *f" it ends here, {key}"]
    endpoint.script.append(streamed(*texts, pause=0.02 * SLOWNESS))
    async with build_worker(elsewhere.temporal, OpenAIModel("m"), queue=elsewhere.queue):
        events = await asked(await elsewhere.open(Config(stream=True)))
    assert 2 < len([event for event in events if event.type == "text"])
    assert [] == told([event for event in events if event.type == "restarted"])
    assert "Your key is [key] and [key], 文字 it ends here, [key]" == text_said(events)
    for event in events:
        assert key[:9] not in (event.text or "")
