"""Stored files of an installation with keys: nothing in clear, and read as long as the key is there."""

from pathlib import Path

import pytest

from activities.file_store import FilesError, FileStore, pieces_of, seal_with, store_of
from starter.client.connection import connect
from starter.encryption.files import SealedFiles
from tests.servers import Server
from workflows.wire.errors import SessionError
from workflows.wire.files import StoredFile

OLD, NEW = {"old": b"1" * 32}, {"new": b"2" * 32}
CONTENT = b"The code of the door is 4711. " * 10_000


def store(folder: Path, **keys: bytes) -> FileStore:
    return FileStore(folder.as_uri(), sealer=SealedFiles(keys) if keys else None)


async def put(into: FileStore, content: bytes = CONTENT) -> StoredFile:
    return await into.put("s", pieces_of(content), media_type="text/plain", name=None)


def stored(folder: Path) -> bytes:
    (file,) = (path for path in (folder / "s").rglob("*") if path.is_file())
    return file.read_bytes()


async def test_a_file_is_stored_encrypted_and_read_with_its_key_though_others_are_newer(tmp_path: Path) -> None:
    file = await put(store(tmp_path, **OLD))
    assert b"4711" not in stored(tmp_path)
    assert CONTENT == await store(tmp_path, **NEW, **OLD).content(file, len(CONTENT))


@pytest.mark.parametrize("keys", [{}, NEW, {"old": b"3" * 32}], ids=["no keys", "another key", "another by that name"])
async def test_a_file_whose_key_is_not_here_says_so_by_name(tmp_path: Path, keys: dict[str, bytes]) -> None:
    file = await put(store(tmp_path, **OLD))
    with pytest.raises(SessionError) as refused:
        await store(tmp_path, **keys).content(file, len(CONTENT))
    assert "KeyMissing" == refused.value.type


@pytest.mark.parametrize("content", [CONTENT, b"", b"D", b"DSF"])
async def test_a_file_of_before_there_were_keys_is_read_as_it_is(tmp_path: Path, content: bytes) -> None:
    file = await put(store(tmp_path), content)
    assert content == await store(tmp_path, **NEW).content(file, len(CONTENT))


async def test_a_plain_file_that_begins_like_a_sealed_one_is_read_where_there_are_no_keys(tmp_path: Path) -> None:
    file = await put(store(tmp_path), b"DSF1, a text")
    assert b"DSF1, a text" == await store(tmp_path).content(file, 100)


async def test_a_sealed_file_that_was_changed_is_broken_by_name(tmp_path: Path) -> None:
    file = await put(store(tmp_path, **OLD))
    (path,) = (path for path in (tmp_path / "s").rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(FilesError, match="FilesUnavailable"):
        await store(tmp_path, **OLD).content(file, len(CONTENT))


async def test_who_connects_with_keys_stores_files_encrypted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONS_FILES", tmp_path.as_uri())
    monkeypatch.setenv("SESSIONS_ENCRYPTION_KEYS", "a:" + "A" * 43 + "=")
    try:
        await connect(server.address)
        with_keys = store_of()
        assert with_keys
        await put(with_keys)
        assert b"4711" not in stored(tmp_path)
    finally:
        seal_with(None)
