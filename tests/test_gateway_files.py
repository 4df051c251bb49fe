"""Images and files in requests of OpenAI's protocol: stored for their session, and nothing fetched from an address."""

import base64
from pathlib import Path
from typing import Any

import openai
import pytest

from starter.gateway.errors import ApiError
from starter.gateway.openai.ids import FILE, RESPONSE, Ref
from starter.gateway.openai.requests import Asked, asked_of_chat, asked_of_responses, check_no_files
from starter.gateway.openai.uploads import with_files
from starter.gateway.settings import GatewaySettings
from tests.gateways import gateway
from tests.harness import Harness, run_task
from tests.servers import Server
from workflows.wire.errors import SessionError

PNG = b"\x89PNG"
DATA = base64.b64encode(PNG).decode()
IMAGE = f"data:image/png;base64,{DATA}"


def _response(*parts: Any) -> Asked:
    said = [{"role": "user", "content": [{"type": "input_text", "text": "What is this?"}, *parts]}]
    return asked_of_responses({"input": said}, GatewaySettings())


def _chat(*parts: Any) -> Asked:
    said = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}]
    return asked_of_chat({"messages": said}, GatewaySettings(), remembered=True)


@pytest.mark.parametrize(
    "asked",
    [
        lambda: _response(
            {"type": "input_image", "image_url": IMAGE},
            {"type": "input_file", "filename": "a.txt", "file_data": f"data:text/plain;charset=utf-8;base64,{DATA}"},
        ),
        lambda: _chat(
            {"type": "image_url", "image_url": {"url": IMAGE}},
            {
                "type": "file",
                "file": {"filename": "a.txt", "file_data": f"data:text/plain;charset=utf-8;base64,{DATA}"},
            },
        ),
    ],
)
async def test_images_and_files_of_a_user_are_stored_for_the_session(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Any
) -> None:
    monkeypatch.setenv("SESSIONS_FILES", tmp_path.as_uri())
    session, said = await harness.open(), asked()
    given = await with_files(session, said.task_input(), said.uploads)
    record = await run_task(session, given, kind="Show")
    assert "What is this?" == record.output["input"]["text"]
    files = record.output["input"]["files"]
    assert [("image/png", None), ("text/plain; charset=utf-8", "a.txt")] == [
        (file["$file"]["media_type"], file["$file"].get("name")) for file in files
    ]
    assert [PNG, PNG] == [await session.get(file) for file in files]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "https://example.com/x.png"},
        {"type": "input_image", "image_url": "file:///etc/passwd"},
        {"type": "input_image", "image_url": "data:image/png,plain"},
        {"type": "input_image", "image_url": 7},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_url": "https://example.com/x.pdf"},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_audio", "input_audio": {"data": DATA, "format": "mp3"}},
    ],
)
def test_an_address_or_an_id_in_the_place_of_a_file_is_refused_by_name(part: Any) -> None:
    for asked in (_response, _chat):
        with pytest.raises(ApiError, match="is not supported") as refused:
            asked(part)
        assert (400, "unsupported_parameter") == (refused.value.status, refused.value.code)


def test_what_is_no_base64_is_invalid_and_no_answer_has_files() -> None:
    with pytest.raises(ApiError, match="is no base64"):
        _response({"type": "input_image", "image_url": "data:image/png;base64,%%%"})
    with pytest.raises(ApiError, match="without files"):
        check_no_files(_response({"type": "input_image", "image_url": IMAGE}))
    check_no_files(_response())


async def test_a_hostile_name_or_type_stores_nothing(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONS_FILES", tmp_path.as_uri())
    session = await harness.open()
    for name, kind in (("../x", "image/png"), ("x", "image/png x")):
        said = _response({"type": "input_file", "filename": name, "file_data": f"data:{kind};base64,{DATA}"})
        with pytest.raises(SessionError, match="InvalidRequest: "):
            await with_files(session, said.task_input(), said.uploads)
    assert [] == list(tmp_path.iterdir())  # noqa: ASYNC240


@pytest.mark.not_on_test_server("it cannot erase, nor wait for an update as a gateway does")
async def test_a_file_of_an_output_is_named_by_its_response_and_fetched(
    server: Server, harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONS_FILES", tmp_path.as_uri())
    session = await harness.open()
    page = b"<script>alert(1)</script>"
    file = await session.put(page, name="r\u00e9-port.html", media_type="text/html")
    other = await session.put(b"not of this output", name="other.txt")
    await run_task(session, {"output": {"text": "Here.", "files": [file, file]}}, kind="Return", task_id="t")
    async with gateway(server, harness) as started:
        client = started.client()
        response = await client.responses.retrieve(Ref(session.id, "t").id(RESPONSE))
        line = "[file r\u00e9-port.html: text/html, 25 bytes]"
        assert f"Here.\n{line}\n{line}" == response.output_text
        (named,) = response.to_dict()["output"][0]["content"][0]["annotations"]  # type: ignore[index]
        found = await client.files.retrieve(named["file_id"])
        assert ("r\u00e9-port.html", len(page)) == (found.filename, found.bytes)
        content = await client.files.content(found.id)
        headers = content.response.headers
        assert page == content.content
        assert "attachment; filename*=UTF-8''r%C3%A9-port.html" == headers["content-disposition"]
        assert "nosniff" == headers["x-content-type-options"]
        assert "sandbox; default-src 'none'" == headers["content-security-policy"]
        stranger = Ref(session.id, "t", other["$file"]["sha256"]).id(FILE)
        for unknown in (stranger, Ref("nobody", "t", "0" * 64).id(FILE), "file-x", Ref(session.id, "u", "a").id(FILE)):
            with pytest.raises(openai.NotFoundError):
                await client.files.retrieve(unknown)
        (tmp_path / file["$file"]["key"]).unlink()
        with pytest.raises(openai.NotFoundError):
            await client.files.content(found.id)
        with pytest.raises(openai.BadRequestError, match="not supported"):
            await client.files.delete(found.id)


@pytest.mark.not_on_test_server("it cannot erase, nor wait for an update as a gateway does")
async def test_an_image_sent_through_the_gateway_reaches_the_kind(
    server: Server, harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONS_FILES", tmp_path.as_uri())
    parts: Any = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": IMAGE}]
    async with gateway(server, harness) as started:
        answer = await started.client().responses.create(model="Show", input=[{"role": "user", "content": parts}])
    assert "What is this?" in answer.output_text
    assert "[file: image/png, 4 bytes]" in answer.output_text
