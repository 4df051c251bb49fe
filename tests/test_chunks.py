"""A chat completion in chunks, put together again."""

import json

import pytest

from activities.models.chunks import Chunks
from tests.openai_server import Reply, streamed


def _fed(reply: Reply, size: int) -> tuple[list[str], Chunks]:
    said: list[str] = []
    chunks = Chunks(said.append)
    data = "".join([reply.body, *reply.more]).encode()
    for start in range(0, len(data), size):
        chunks.feed(data[start : start + size])
    return said, chunks


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_chunks_are_put_together_however_their_bytes_come(size: int) -> None:
    texts = ["Ripe 🍌", "\u2028\r\n", " and\x85 yellow"]
    said, chunks = _fed(streamed(*texts, usage={"prompt_tokens": 1}, finish_reason="length"), size)
    assert texts == said
    assert chunks.whole
    choice = {"message": {"content": "".join(texts), "refusal": None}, "finish_reason": "length"}
    assert {"choices": [choice], "usage": {"prompt_tokens": 1}} == json.loads(chunks.body)


def test_blank_text_before_the_first_word_is_kept_back() -> None:
    """A refusal without a word before it is the whole output."""
    assert [] == _fed(streamed(" \n", " ", refusal="No."), 10_000)[0]
    assert [" \nYes"] == _fed(streamed(" \n", "Yes"), 10_000)[0]


def test_what_breaks_off_is_not_whole() -> None:
    assert not _fed(streamed("Bananas are", done=False), 10_000)[1].whole


def test_an_error_in_a_stream_stands_for_it() -> None:
    error = '{"error": {"message": "overloaded"}}'
    said, chunks = _fed(Reply(body=f"data: {error}\n\n"), 10_000)
    assert ([], error.encode()) == (said, chunks.body)
