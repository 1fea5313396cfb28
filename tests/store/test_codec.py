"""How objects are encoded at rest."""

from __future__ import annotations

import gzip
import io
import random
import tracemalloc

import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay import codec
from forebay.config import CodecName
from forebay.errors import ObjectDamagedError

CODECS: list[CodecName] = ["none", "zstd", "lz4", "gzip"]
TEXT = b"the quick brown fox jumps over the lazy dog; " * 60_000


def encoded(name: CodecName, data: object) -> tuple[CodecName, bytes]:
    kept, pieces = codec.encode(name, data)  # type: ignore[arg-type]
    return kept, b"".join(pieces)


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=20, deadline=None)
@given(parts=st.lists(st.tuples(st.integers(0, 255), st.integers(0, 400_000)), max_size=6))
def test_round_trip_however_it_is_cut(name: CodecName, parts: list[tuple[int, int]]) -> None:
    pieces = [bytes([byte]) * size for byte, size in parts]
    data = b"".join(pieces)
    kept, whole = encoded(name, data)
    assert (kept, whole) == encoded(name, iter(pieces))
    assert codec.decode(kept, whole, len(data)) == data
    assert codec.decode(kept, whole) == data


@pytest.mark.parametrize("name", CODECS)
def test_common_tools_read_it(name: CodecName) -> None:
    kept, whole = encoded(name, TEXT)
    assert kept == name
    read = {
        "none": lambda: whole,
        "zstd": lambda: zstandard.ZstdDecompressor().stream_reader(io.BytesIO(whole), read_across_frames=True).read(),
        "lz4": lambda: lz4.frame.decompress(whole),
        "gzip": lambda: gzip.decompress(whole),
    }
    assert read[name]() == TEXT


@pytest.mark.parametrize("name", CODECS)
def test_what_does_not_shrink_is_kept_raw(name: CodecName) -> None:
    data = random.Random(0).randbytes(2_500_000)
    assert encoded(name, data) == ("none", data)
    assert encoded(name, b"") == ("none", b"")
    assert encoded(name, b"x") == ("none", b"x")


def test_gzip_holds_no_time() -> None:
    _, whole = encoded("gzip", TEXT)
    assert whole[4:8] == b"\0\0\0\0"


@pytest.mark.parametrize("name", ["zstd", "lz4", "gzip"])
def test_bombs_cost_nothing(name: CodecName) -> None:
    """Megabytes of zeros in place of a kilobyte: decoding stops at the promised size."""
    kept, bomb = encoded(name, (bytes(2**20) for _ in range(64)))
    assert len(bomb) < 2**21
    tracemalloc.start()
    with pytest.raises(ObjectDamagedError, match="more than 1000 bytes"):
        codec.decode(kept, bomb, 1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


@pytest.mark.parametrize("name", ["zstd", "lz4", "gzip"])
def test_damage_is_an_error_or_other_bytes_never_another_exception(name: CodecName) -> None:
    """What the codec itself does not see, the digest will."""
    kept, whole = encoded(name, TEXT[:50_000])
    chance = random.Random(1)
    for _ in range(300):
        broken = bytearray(whole)
        action = chance.randrange(3)
        if action == 0:
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        elif action == 1:
            del broken[chance.randrange(len(broken)) :]
        else:
            broken += b"more"
        for size in (50_000, None):
            try:
                assert codec.decode(kept, broken, size) != b"never"
            except ObjectDamagedError:
                pass


@pytest.mark.parametrize("name", ["none", "zstd", "lz4", "gzip"])
@pytest.mark.parametrize("wrong", [0, 1, 49_999, 50_001])
def test_wrong_size_is_damage(name: CodecName, wrong: int) -> None:
    kept, whole = encoded(name, TEXT[:50_000])
    with pytest.raises(ObjectDamagedError):
        codec.decode(kept, whole, wrong)


@pytest.mark.parametrize("name", ["zstd", "lz4", "gzip"])
def test_cut_short_is_damage(name: CodecName) -> None:
    kept, whole = encoded(name, TEXT)
    with pytest.raises(ObjectDamagedError):
        codec.decode(kept, whole[:-30], len(TEXT))


def test_suffixes_tell_codecs() -> None:
    assert [codec.codec_of(codec.SUFFIXES[name]) for name in CODECS] == CODECS
    assert codec.codec_of(".bz2") is None


def test_blocks_are_cut_alike() -> None:
    data = random.Random(2).randbytes(3 * codec.BLOCK_BYTES + 17)
    for step in (1_000_003, codec.BLOCK_BYTES, 5 * codec.BLOCK_BYTES):
        cut = [bytes(block) for block in codec.blocks(data[i : i + step] for i in range(0, len(data), step))]
        assert [len(block) for block in cut] == [codec.BLOCK_BYTES] * 3 + [17]
        assert b"".join(cut) == data
    assert list(codec.blocks([])) == []
