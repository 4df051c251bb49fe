"""Files in tasks: inputs and outputs that fit into no message, and what kinds read and write."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.common import RetryPolicy

from activities import files
from activities.file_store import store_of
from activities.models.openai import OpenAIModel
from starter.cli import tasks
from tests.harness import WAIT, Harness, run_task
from tests.openai_server import OpenAIServer
from worker import build_worker
from workflows.contract import TaskInput, TaskOutput, TaskRecord, task_workflow_id
from workflows.wire import limits
from workflows.wire.errors import SessionError

LONG = "A long story. " * 250_000
"""3.3 MiB: the server refuses payloads over 2."""

PNG = b"\x89PNG"


@activity.defn
async def work(task: dict[str, Any]) -> Any:
    """What a kind's activity does with files, by a word."""
    value = await files.read_input(task["input"])
    if isinstance(value, str):
        return {"told": len(value)}
    if value["do"] == "read":
        content = await files.read(value["file"])
        return await files.put(content[::-1], name="turned.bin")
    if value["do"] == "pieces":
        return sum([len(piece) async for piece in files.pieces(value["file"])])
    return len(value["padding"])


@workflow.defn(name="Filer", sandboxed=False, failure_exception_types=[Exception])
class FilerWorkflow:
    """Gives its input to an activity, or with `size` a text of so many letters by itself."""

    @workflow.run
    async def run(self, task: TaskInput) -> Any:
        if isinstance(task.input, dict) and "size" in task.input:
            text = "x" * task.input["size"]
            return {"output": text} if task.input.get("plain") else TaskOutput(output=text)
        retry = RetryPolicy(initial_interval=timedelta(milliseconds=50))
        done = await workflow.execute_activity(
            work, {"input": task.input}, start_to_close_timeout=timedelta(seconds=60), retry_policy=retry
        )
        return TaskOutput(output=done)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store for client and worker alike."""
    monkeypatch.setenv("SESSIONS_FILES", tmp_path.as_uri())
    return tmp_path


@pytest.fixture
async def filer(harness: Harness) -> AsyncIterator[str]:
    """The task queue of a worker with that kind."""
    queue = f"{harness.queue}-files"
    async with build_worker(harness.temporal, _NO_MODEL, queue=queue, kinds=[FilerWorkflow], activities=[work]):
        yield queue


class _NoModel:
    name = "none"


_NO_MODEL: Any = _NoModel()


def _error(record: TaskRecord) -> tuple[str, str | None]:
    return record.status, record.error.type if record.error else None


async def _history_bytes(harness: Harness, workflow_id: str) -> int:
    history = await harness.temporal.get_workflow_handle(workflow_id).fetch_history()
    return sum(event.ByteSize() for event in history.events)


@pytest.mark.parametrize("plain", [False, True])
async def test_an_output_over_the_limit_is_stored_and_no_history_carries_it(
    harness: Harness, filer: str, folder: Path, *, plain: bool
) -> None:
    session = await harness.open()
    task = {"size": len(LONG), "plain": plain}
    record = await run_task(session, task, kind="Filer", task_queue=filer, task_id="large")
    assert ("completed", None) == _error(record)
    assert ("text/plain; charset=utf-8", len(LONG)) == tuple(
        record.output["$file"][name] for name in ("media_type", "bytes")
    )
    assert b"x" * len(LONG) == await session.get(record.output)
    for workflow_id in (session.id, task_workflow_id(session.id, "large")):
        assert await _history_bytes(harness, workflow_id) < 64 * limits.KIB
    fits = await run_task(session, {"size": limits.OUTPUT_BYTES - 2}, kind="Filer", task_queue=filer)
    assert "x" * (limits.OUTPUT_BYTES - 2) == fits.output


@pytest.mark.parametrize("size", [limits.OUTPUT_BYTES, len(LONG)])
async def test_without_a_store_an_output_over_the_limit_is_too_large(
    harness: Harness, filer: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.delenv("SESSIONS_FILES", raising=False)
    session = await harness.open()
    record = await run_task(session, {"size": size}, kind="Filer", task_queue=filer)
    assert ("failed", "OutputTooLarge") == _error(record)
    assert 1 == (await run_task(session, {"size": 1}, kind="Filer", task_queue=filer)).output.count("x")


async def test_a_store_that_cannot_be_used_ends_the_task_by_name_and_the_next_one_runs(
    harness: Harness, filer: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await harness.open()
    reference = await session.put(b"abc")
    for broken, name in (("s3://bucket", "FilesUnavailable"), ("", "FilesUnavailable")):
        monkeypatch.setenv("SESSIONS_FILES", broken)
        record = await run_task(session, {"do": "read", "file": reference}, kind="Filer", task_queue=filer)
        assert ("failed", name) == _error(record)
    (folder / "file").write_bytes(b"")
    monkeypatch.setenv("SESSIONS_FILES", (folder / "file").as_uri())  # no folder: it fails for now, each time
    record = await run_task(session, {"do": "read", "file": reference}, kind="Filer", task_queue=filer)
    assert ("failed", "FilesUnavailable") == _error(record)
    monkeypatch.setenv("SESSIONS_FILES", folder.as_uri())
    assert (
        "completed"
        == (await run_task(session, {"do": "read", "file": reference}, kind="Filer", task_queue=filer)).status
    )


async def test_a_kind_reads_and_writes_files_of_its_own_session_only(
    harness: Harness, filer: str, folder: Path
) -> None:
    session, other = await harness.open(), await harness.open()
    mine, theirs = await session.put(b"abc"), await other.put(b"secret")
    record = await run_task(session, {"do": "read", "file": mine}, kind="Filer", task_queue=filer)
    assert ("turned.bin", b"cba") == (record.output["$file"]["name"], await session.get(record.output))
    counted = await run_task(session, {"do": "pieces", "file": mine}, kind="Filer", task_queue=filer)
    assert 3 == counted.output
    for file, name in (
        (theirs, "InvalidRequest"),
        ({"$file": {**theirs["$file"], "key": f"{session.id}/../{theirs['$file']['key']}"}}, "InvalidRequest"),
        ({"$file": {**theirs["$file"], "key": theirs["$file"]["key"].replace(other.id, session.id)}}, "FileNotFound"),
    ):
        # Not by the client, which would refuse it: anybody may signal a session.
        body: dict[str, Any] = {"input": {"do": "read", "file": file}, "kind": "Filer", "task_queue": filer}
        body["task_id"] = f"t{abs(hash(json.dumps(file)))}"
        await session._calls.signal("submit", body)
        record = await session.result(body["task_id"], 60)
        assert ("failed", name) == _error(record)
        assert "secret" not in record.model_dump_json()


async def test_an_input_over_the_limit_is_stored_and_read_by_the_kind(
    harness: Harness, filer: str, folder: Path
) -> None:
    session = await harness.open()
    told = await run_task(session, LONG, kind="Filer", task_queue=filer, task_id="words")
    assert {"told": len(LONG)} == told.output
    counted = await run_task(session, {"do": "count", "padding": LONG}, kind="Filer", task_queue=filer)
    assert len(LONG) == counted.output
    taken = await session.submitted(LONG, kind="Filer", task_queue=filer, task_id="words")  # the same task again
    assert "completed" == taken.status
    assert await _history_bytes(harness, session.id) < 64 * limits.KIB


async def test_a_model_is_given_texts_and_images_and_refuses_the_rest_by_name(
    elsewhere: Harness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with OpenAIServer() as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        model = OpenAIModel("some-model")
        async with elsewhere.worker(model):
            session = await elsewhere.open()
            picture = await session.put(PNG, media_type="image/png", name="a.png")
            notes = await session.put(b"Milk, bread.", name="notes.txt")
            asked = {"text": "What is this?", "files": [picture, notes]}
            assert "completed" == (await run_task(session, asked)).status
            data = "data:image/png;base64," + base64.b64encode(PNG).decode()
            assert [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": data}},
                {"type": "text", "text": "notes.txt:\n\nMilk, bread."},
            ] == endpoint.requests[-1].body["messages"][-1]["content"]
            await run_task(session, "Long? " * 20_000)
            assert "Long? " * 20_000 == endpoint.requests[-1].body["messages"][-1]["content"]
            video = await session.put(b"x", media_type="video/mp4")
            record = await run_task(session, {"text": "And this?", "files": [video]})
            assert ("failed", "InvalidRequest") == _error(record)
            assert record.error
            assert "not video/mp4" in record.error.message
        await model.close()


async def test_the_offline_model_says_that_it_reads_no_files(harness: Harness, folder: Path) -> None:
    session = await harness.open()
    picture = await session.put(PNG, media_type="image/png", name="a.png")
    record = await run_task(session, {"text": "What is this?", "files": [picture]})
    assert ("failed", "InvalidRequest") == _error(record)
    with pytest.raises(SessionError, match=r"^InvalidRequest: "):
        await session.ask({"text": "", "files": []})
    assert record.error
    assert "reads no files" in record.error.message


async def test_a_fork_has_its_own_copies_of_the_files_that_it_begins_with(harness: Harness, folder: Path) -> None:
    source = await harness.open()
    picture, gone = await source.put(PNG, name="a.png"), await source.put(b"gone")
    foreign = {"$file": {**picture["$file"], "key": picture["$file"]["key"].replace(source.id, "somebody")}}
    await source.patch_context({"set": {"picture": picture, "gone": gone}})
    await source._calls.update("patch_context", {"patch": {"set": {"foreign": foreign}}})
    (folder / gone["$file"]["key"]).unlink()
    await run_task(source, {"files": [picture]}, kind="Show")
    fork = await harness.client.open(f"{source.id}-fork", fork_of={"session_id": source.id})
    view = await fork.context()
    assert picture["$file"]["key"].replace(source.id, fork.id) == view.values["picture"]["$file"]["key"]
    assert view.values["picture"] == view.transcript[0].input["files"][0]
    assert (gone, foreign) == (view.values["gone"], view.values["foreign"])
    for lost in (gone, foreign):
        with pytest.raises(SessionError, match=r"which .* may not read"):
            await fork.get(lost)
    store = store_of()
    assert store
    await store.delete(source.id)
    assert PNG == await fork.get(view.values["picture"])


async def test_a_fork_goes_on_without_a_store_that_stays_away(
    harness: Harness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.fork.FILE_ATTEMPTS", 2)
    source = await harness.open()
    picture = await source.put(PNG)
    await source.patch_context({"set": {"picture": picture}})
    (folder / "file").write_bytes(b"")
    monkeypatch.setenv("SESSIONS_FILES", (folder / "file").as_uri())
    fork = await harness.client.open(f"{source.id}-fork", fork_of={"session_id": source.id})
    assert picture == (await fork.context()).values["picture"]


async def test_the_command_line_sends_files_along_and_saves_those_of_an_output(
    harness: Harness, filer: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def connected() -> Any:
        return harness.client

    monkeypatch.setattr(tasks, "connected", connected)
    session = await harness.open()
    note = folder / "note.txt"
    note.write_text("Milk")
    await _command(tasks.submit)(
        session.id, '{"do": "none", "padding": "ab"}', files=[note], json_input=True, kind="Show", task_id="sent"
    )
    record = await session.result("sent", WAIT)
    assert ["note.txt"] == [file["$file"]["name"] for file in record.output["input"]["files"]]
    task_id = await session.submit({"do": "read", "file": await session.put(note)}, kind="Filer", task_queue=filer)
    capsys.readouterr()
    for _ in range(2):
        await _command(tasks.result)(session.id, task_id, save=folder / "saved")
    assert "[file turned.bin: application/octet-stream, 4 bytes]\n" * 2 == capsys.readouterr().out
    assert [b"kliM"] * 2 == [(folder / "saved" / name).read_bytes() for name in ("turned.bin", "turned-2.bin")]


def _command(command: Any) -> Any:
    return command.__wrapped__
