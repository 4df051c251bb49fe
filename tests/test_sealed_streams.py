"""Sealed files: whole they open, in whatever pieces they come; changed in any way they do not."""

import itertools
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator

import pytest

from starter.encryption.streams import CHUNK_BYTES, Sealer, SealError
from workflows.wire.errors import KeyMissingError

OLD, NEW = {"old": b"o" * 32}, {"new": b"n" * 32}
SEALER = Sealer(NEW | OLD)
SEALED_CHUNK = CHUNK_BYTES + 16
HEAD = 4 + 1 + len("new") + 4 + 32


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def sealed(data: bytes, size: int = 1_000, sealer: Sealer = SEALER) -> bytes:
    return b"".join(sealer.seal(pieces(data, size)))


def opened(stored: bytes, size: int = 777, sealer: Sealer = SEALER) -> bytes:
    return b"".join(sealer.open(pieces(stored, size)))


FILE = bytes(range(251)) * (3 * CHUNK_BYTES // 251)


@pytest.mark.parametrize("length", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, len(FILE)])
def test_a_file_of_any_size_comes_back_in_pieces_of_any_size(length: int) -> None:
    for written, read in itertools.product((100_000, CHUNK_BYTES, 4_096), (1_000_000, SEALED_CHUNK, 7_001)):
        stored = sealed(FILE[:length], written)
        assert length + HEAD + 16 * max(1, -(-length // CHUNK_BYTES)) == len(stored)
        assert FILE[:length] == opened(stored, read)
    assert FILE[:100] == opened(sealed(FILE[:100]), 1)


def test_nothing_of_it_is_in_clear_and_no_two_are_alike() -> None:
    text = b"a secret, and not a short one"
    assert text not in sealed(text)
    assert sealed(text)[HEAD:] != sealed(text)[HEAD:]


def chunks(stored: bytes) -> tuple[bytes, list[bytes]]:
    return stored[:HEAD], list(pieces(stored[HEAD:], SEALED_CHUNK))


def test_a_file_that_is_cut_off_anywhere_does_not_open() -> None:
    stored = sealed(FILE)
    for length in (0, 3, 20, HEAD - 1, HEAD, HEAD + 5, HEAD + SEALED_CHUNK, HEAD + 2 * SEALED_CHUNK, len(stored) - 1):
        with pytest.raises(SealError):
            opened(stored[:length])


def test_a_file_whose_chunks_are_moved_doubled_left_out_or_anothers_does_not_open() -> None:
    head, (first, second, *rest) = chunks(sealed(FILE))
    _, (foreign, *_) = chunks(sealed(FILE))
    for changed in (
        [second, first, *rest],
        [first, first, second, *rest],
        [second, *rest],
        [first, *rest],
        [foreign, second, *rest],
        [first, second, *rest, b"x" * 16],
        [first, second, *rest, *rest],
    ):
        with pytest.raises(SealError):
            opened(head + b"".join(changed))


def test_a_bit_that_is_changed_anywhere_is_noticed() -> None:
    stored = sealed(FILE[: CHUNK_BYTES + 100])
    for place in (0, 12, HEAD - 1, HEAD, HEAD + 1_000, len(stored) - 1):
        changed = bytearray(stored)
        changed[place] ^= 1
        with pytest.raises((SealError, KeyMissingError)):
            opened(bytes(changed))


def test_every_key_opens_and_a_missing_one_is_named() -> None:
    stored = sealed(b"said", sealer=Sealer(OLD))
    assert b"said" == opened(stored)
    for keys, why in ((NEW, "not here"), ({"old": b"x" * 32}, "another key")):
        with pytest.raises(KeyMissingError, match=f"'old': .*{why}"):
            opened(stored, sealer=Sealer(keys))


async def test_pieces_that_are_waited_for_do_as_well() -> None:
    async def coming(data: Iterable[bytes]) -> AsyncIterator[bytes]:
        for piece in data:
            yield piece

    stored = [chunk async for chunk in SEALER.seal_async(coming(pieces(FILE, 5_000)))]
    assert FILE == b"".join([piece async for piece in SEALER.open_async(coming(stored))])


def test_a_large_file_takes_little_memory() -> None:
    tracemalloc.start()
    try:
        stored = SEALER.seal(b"x" * 1_000 for _ in range(20_000))
        assert 20_000_000 == sum(map(len, SEALER.open(stored)))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
