"""A program that tries the store against an S3 server of its own on loopback; `tests/test_s3.py` runs it.

It runs in an environment with s3fs and moto, from whose server nothing is stubbed: s3fs speaks HTTP to it.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress

import boto3
from durable_sessions.activities.file_store import FileStore, pieces_of
from durable_sessions.workflows.wire.errors import SessionError
from moto.server import ThreadedMotoServer

CONTENT = os.urandom(20 * 1024 * 1024)
"""More than a part of a multipart upload."""


async def torn() -> AsyncIterator[bytes]:
    yield CONTENT[: 12 * 1024 * 1024]
    raise ConnectionResetError


async def failure(call: Awaitable[object]) -> SessionError:
    try:
        await call
    except SessionError as error:
        return error
    raise AssertionError("it has to fail")


async def check(store: FileStore) -> None:
    def listed() -> list[str]:
        return [found["Key"] for found in boto3.client("s3").list_objects_v2(Bucket="bucket").get("Contents", [])]

    with suppress(ConnectionResetError):
        await store.put("a_b", torn(), media_type="image/png")
    assert [] == listed(), listed()
    file = await store.put("a_b", pieces_of(CONTENT), media_type="image/png")
    assert file == await store.put("a_b", pieces_of(CONTENT), media_type="image/png")
    assert [f"folder/{file.key}"] == listed(), listed()
    assert CONTENT == await store.content(file, len(CONTENT))
    other = await store.put("a_b2", pieces_of(b"kept"), media_type="image/png")
    boto3.client("s3").put_object(Bucket="bucket", Key=f"folder/{file.key}", Body=b"broken")
    missing = file.model_copy(update={"key": f"a_b/{'0' * 64}"})
    for broken, name in ((file, "FilesUnavailable"), (missing, "FileNotFound")):
        assert name == (await failure(store.content(broken, len(CONTENT)))).type
    assert (1, 0) == (await store.delete("a_b"), await store.delete("a_b"))
    assert [f"folder/{other.key}"] == listed(), listed()
    assert b"kept" == await store.content(other, 4)


async def main() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "Secret-1234",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    boto3.client("s3").create_bucket(Bucket="bucket")
    await check(FileStore("s3://bucket/folder"))
    server.stop()
    away = await failure(FileStore("s3://bucket/folder").holds("a_b"))
    assert "FilesUnavailable" == away.type
    assert not [told for told in ("Secret", "http", "127.0.0.1") if told in str(away)], away
    print("all of it holds")  # noqa: T201


asyncio.run(main())
