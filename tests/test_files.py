"""Stored files: whole or not there, never another session's, and gone with their session."""

import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from activities.file_store import FilesError, FilesSettingError, FileStore, Plain, pieces_of, store_of
from starter.client.erasure import Erasure, NotErasedError
from starter.program import ROOT
from tests.harness import Harness, run_task
from tests.servers import NO_LISTS
from workflows.wire import limits
from workflows.wire.errors import SessionError
from workflows.wire.files import file_of

CONTENT = b"a picture\x00" * 1_000
HASH = hashlib.sha256(CONTENT).hexdigest()
GIVEN = {"key": f"mine/{HASH}", "bytes": len(CONTENT), "sha256": HASH, "media_type": "image/png"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store for client and worker alike."""
    monkeypatch.setenv("SESSIONS_FILES", tmp_path.as_uri())
    return tmp_path


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    return FileStore(tmp_path.as_uri() if request.param == "file" else f"memory://{tmp_path.name}")


async def _torn() -> AsyncIterator[bytes]:
    yield CONTENT
    raise ConnectionResetError


@pytest.mark.parametrize(
    "changed",
    [
        {"key": f"../mine/{HASH}"},
        {"key": f"mine/../other/{HASH}"},
        {"key": f"/mine/{HASH}"},
        {"key": f"mine/{HASH}/.."},
        {"key": f"mine/{HASH}\n"},
        {"key": f"mine\\{HASH}"},
        {"key": f"mine/{'0' * 64}"},
        {"key": f"other/{HASH}"},
        {"key": f"mine-too/{HASH}"},
        {"key": "mine/.parts"},
        {"key": None},
        {"sha256": HASH.upper()},
        {"bytes": -1},
        {"bytes": "9000"},
        {"media_type": "image"},
        {"media_type": "image/png\r\nx: y"},
        {"name": "../../etc/passwd"},
        {"name": "/etc/passwd"},
        {"name": "C:\\boot.ini"},
        {"name": ".."},
        {"name": "a\x1b[2Jb"},
        {"name": "gpj.\u202eexe"},
        {"name": "n" * 256},
    ],
)
def test_a_reference_that_leads_out_of_its_session_is_refused(changed: dict[str, Any]) -> None:
    assert HASH == file_of({"$file": GIVEN}, "mine").sha256
    with pytest.raises(SessionError, match=r"^InvalidRequest: (\$file|name)"):
        file_of({"$file": {**GIVEN, **changed}}, "mine")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/folder",
        "/var/lib/sessions",
        "file://host/folder",
        "file:relative",
        "file:///var/../etc",
        "s3://AKIA:Secret-1234@bucket",
        "s3://bucket?key=Secret-1234",
        "memory://AKIA:Secret-1234@bucket",
        "s3://",
    ],
)
def test_an_address_that_is_no_store_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(FilesSettingError, match="SESSIONS_FILES must") as refused:
        FileStore(url)
    assert "Secret" not in str(refused.value)


def test_a_store_whose_package_is_missing_says_which() -> None:
    code = (
        "import sys; sys.modules['fsspec'] = None; from activities.file_store import FileStore; FileStore('memory://a')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert "pip install 'durable-sessions[files]'" in ended.stderr


async def test_what_is_stored_is_read_and_stored_twice_is_one(store: FileStore) -> None:
    files = [await store.put("mine", pieces_of(CONTENT), media_type="image/png", name="a.png") for _ in range(2)]
    assert [{**GIVEN, "name": "a.png"}] * 2 == [file.reference()["$file"] for file in files]
    assert CONTENT == await store.content(files[0], len(CONTENT))
    empty = await store.put("mine", pieces_of(b""), media_type="text/plain")
    assert (b"", 0) == (await store.content(empty, 0), empty.bytes)
    assert 2 == await store.delete("mine")


async def test_a_torn_upload_is_never_seen_under_a_key(store: FileStore) -> None:
    with pytest.raises(ConnectionResetError):
        await store.put("mine", _torn(), media_type="image/png")
    with pytest.raises(FilesError, match=r"^FileNotFound: "):
        await store.content(file_of({"$file": GIVEN}, "mine"), len(CONTENT))
    assert not await store.holds("mine")


async def test_a_file_has_no_key_before_it_is_whole(store: FileStore) -> None:
    seen: list[bool] = []

    async def watched() -> AsyncIterator[bytes]:
        yield CONTENT
        seen.append(await store._call(lambda: store._fs.exists(store._path(f"mine/{HASH}"))))

    await store.put("mine", watched(), media_type="image/png")
    assert [False] == seen


@pytest.mark.parametrize("broken", [CONTENT[:-1], CONTENT + b"x", b"A" + CONTENT[1:], b""])
async def test_a_broken_file_is_a_named_error_and_leaves_what_was_there(tmp_path: Path, broken: bytes) -> None:
    store = FileStore(tmp_path.as_uri())
    file = await store.put("mine", pieces_of(CONTENT), media_type="image/png")
    (tmp_path / file.key).write_bytes(broken)
    to = tmp_path / "copy.png"
    to.write_bytes(b"old")
    with pytest.raises(FilesError, match=r"^FilesUnavailable: .* is broken"):
        await store.save(file, to)
    assert (b"old", {"mine", "copy.png"}) == (to.read_bytes(), set(os.listdir(tmp_path)))  # noqa: PTH208
    assert file == await store.put("mine", pieces_of(CONTENT), media_type="image/png")  # mends it
    await store.save(file, to)
    assert CONTENT == to.read_bytes()


async def test_a_file_over_the_limit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    store = FileStore(tmp_path.as_uri(), limit=len(CONTENT) - 1)
    with pytest.raises(FilesError, match=r"^FileTooLarge: .*SESSIONS_FILE_BYTES"):
        await store.put("mine", pieces_of(CONTENT), media_type="image/png")
    assert not await store.holds("mine")
    larger = store_of({"SESSIONS_FILES": tmp_path.as_uri(), "SESSIONS_FILE_BYTES": str(len(CONTENT))})
    assert larger is not None
    file = await larger.put("mine", pieces_of(CONTENT), media_type="image/png")
    with pytest.raises(FilesError, match=r"^FileTooLarge: "):
        await larger.content(file, file.bytes - 1)


async def test_a_store_that_fails_is_a_named_error_without_what_the_backend_said(tmp_path: Path) -> None:
    (tmp_path / "Secret-1234").write_bytes(b"no folder")
    store = FileStore(f"{tmp_path.as_uri()}/Secret-1234")
    with pytest.raises(FilesError, match=r"^FilesUnavailable: the store does not do it now \(\w+\)$") as refused:
        await store.put("mine", pieces_of(CONTENT), media_type="image/png")
    assert (True, None) == (refused.value.passing, refused.value.__context__)


async def test_deleting_a_sessions_files_leaves_those_of_names_alike(store: FileStore) -> None:
    kept = [await store.put(name, pieces_of(CONTENT), media_type="image/png") for name in ("a_b2", "a", "a_b.c")]
    await store.put("a_b", pieces_of(CONTENT), media_type="image/png")
    assert (1, 0) == (await store.delete("a_b"), await store.delete("a_b"))
    assert not await store.holds("a_b")
    assert [CONTENT] * 3 == [await store.content(file, file.bytes) for file in kept]


async def test_content_is_sealed_as_it_is_written_and_opened_as_it_is_read(tmp_path: Path) -> None:
    class Turned(Plain):
        async def seal(self, session_id: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            yield session_id.encode()
            async for piece in pieces:
                yield piece[::-1]

        async def open(self, session_id: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            whole = b"".join([piece async for piece in pieces])
            yield whole.removeprefix(session_id.encode())[::-1]

    store = FileStore(tmp_path.as_uri(), sealer=Turned())
    file = await store.put("mine", pieces_of(CONTENT), media_type="image/png")
    assert (HASH, len(CONTENT)) == (file.sha256, file.bytes)
    assert b"mine" + CONTENT[::-1] == (tmp_path / file.key).read_bytes()
    assert CONTENT == await store.content(file, file.bytes)


MEASURE = """
import asyncio, resource, sys
from pathlib import Path
from activities.file_store import FileStore, pieces_of

async def main(folder):
    store = FileStore(folder.as_uri())
    await store.put("warm", pieces_of(b"x"), media_type="text/plain")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file = await store.put("mine", pieces_of(folder / "large"), media_type="video/mp4")
    await store.save(file, folder / "copy")
    assert file.bytes == 200 * 1024 * 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.rare
def test_200_mib_are_stored_and_fetched_in_bounded_memory(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as large:
        for _ in range(200):
            large.write(os.urandom(limits.MIB))
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", MEASURE, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) < 40 * limits.KIB  # of KiB


async def test_a_program_stores_a_file_for_a_session_and_gets_it(harness: Harness, folder: Path) -> None:
    session = await harness.open()
    picture = folder / "picture.png"
    picture.write_bytes(CONTENT)
    reference = await session.put(picture)
    assert {**GIVEN, "key": f"{session.id}/{HASH}", "name": "picture.png"} == reference["$file"]
    assert reference == await session.put(CONTENT, media_type="image/png", name="picture.png")
    assert CONTENT == await session.get(reference)
    assert CONTENT == b"".join([piece async for piece in session.pieces(reference)])
    await session.get(reference, to=folder / "copy.png")
    assert CONTENT == (folder / "copy.png").read_bytes()
    with pytest.raises(SessionError, match=r"^SessionNotFound: "):
        await harness.client.get("nobody").put(b"x")
    for hostile in ("../x", "a/b", ""):
        with pytest.raises(SessionError, match=r"^InvalidRequest: name"):
            await session.put(b"x", name=hostile)


async def test_another_sessions_file_goes_nowhere_by_the_client(harness: Harness, folder: Path) -> None:
    session, other = await harness.open(), await harness.open()
    theirs = await other.put(b"secret")
    for sent in (
        session.submit({"deep": [theirs]}),
        session.submitted(theirs),
        session.respond("t", theirs),
        session.patch_context({"set": {"a": theirs}}),
        session.get(theirs),
        session.get(theirs, to=folder / "x"),
        harness.client.open("new", None, {"a": theirs}),
    ):
        with pytest.raises(SessionError, match=r"^InvalidRequest: \$file.key: a file of session"):
            await sent
    assert 0 == (await session.snapshot()).counters.submitted


async def test_without_a_store_files_are_a_named_error(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSIONS_FILES", raising=False)
    session = await harness.open()
    with pytest.raises(SessionError, match=r"^FilesUnavailable: .*SESSIONS_FILES"):
        await session.put(b"x")
    assert "InputTooLarge" == _error(await run_task(session, "x" * (64 * limits.KIB)))


def _error(record: Any) -> str | None:
    return record.error.type if record.error else None


@pytest.mark.not_on_test_server(NO_LISTS)
async def test_erasing_a_session_removes_its_files_and_goes_on_once_the_store_is_back(
    harness: Harness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starter.client.erasure.LAG_SECONDS", 0.3)
    monkeypatch.setattr("starter.client.erasure.LOOK_SECONDS", 0.1)
    session, other = await harness.open(), await harness.open()
    await session.put(b"mine")
    theirs = await other.put(b"theirs")
    monkeypatch.setenv("SESSIONS_FILES", "s3://bucket")  # whose package is not here
    with pytest.raises(NotErasedError, match="its files are still there: SESSIONS_FILES needs a package"):
        await Erasure(harness.temporal, session.id).run()
    monkeypatch.setenv("SESSIONS_FILES", folder.as_uri())
    assert "terminated" == (await session.snapshot()).status
    assert 1 == (await Erasure(harness.temporal, session.id).run()).files
    assert not (folder / session.id).exists()
    assert b"theirs" == await other.get(theirs)
