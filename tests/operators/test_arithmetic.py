"""The fast ways of computing against the plain ones."""

from __future__ import annotations

import hashlib
import itertools
import random
import struct
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.pipeline import catalog
from forebay.pipeline.operators.bands import Permutations, band_hashes
from forebay.pipeline.operators.clusters import first_of_clusters
from forebay.pipeline.operators.repetition import ngrams, repeated
from forebay.pipeline.operators.sha1 import first_words
from forebay.pipeline.operators.splice import crop, drop, edge_blanks, replace_rows, replace_spans
from forebay.pipeline.operators.texts import Texts, offsets_of

PRIME = (1 << 61) - 1
TEXT = st.text(st.sampled_from("ab \t\n\rZ9.,'é日😀\u3000\u200b\u2028Σ"), max_size=60)
ROWS = st.lists(TEXT, max_size=12)


def _texts(rows: list[str]) -> Texts:
    return Texts.from_arrow(pa.array(rows, pa.string()))


def test_sha1_of_every_length() -> None:
    data = np.frombuffer(random.Random(1).randbytes(4000), np.uint8)
    lengths = np.array([*range(200), 55, 56, 63, 64, 0, 1000])
    starts = np.random.default_rng(2).integers(0, 2900, len(lengths))
    starts[-2] = 4000  # nothing, at the very end
    starts[0] = 3990
    found = first_words(data, starts, lengths)
    for start, length, word in zip(starts.tolist(), lengths.tolist(), found.tolist(), strict=True):
        assert word == struct.unpack("<I", hashlib.sha1(data[start : start + length].tobytes()).digest()[:4])[0]


def _plain_least(a: int, b: int, hashes: list[int]) -> int:
    return min(((((a * x + b) % (1 << 64)) % PRIME) & 0xFFFFFFFF for x in hashes), default=0xFFFFFFFF)


def _compare(functions: Permutations, hashes: np.ndarray, counts: list[int]) -> None:
    offsets = offsets_of(np.array(counts, np.int64))
    found = functions.least(hashes, offsets)
    for text, (first, last) in enumerate(itertools.pairwise(offsets)):
        part = hashes[first:last].tolist()
        expected = [_plain_least(int(a), int(b), part) for a, b in zip(functions.a, functions.b, strict=True)]
        assert found[text].tolist() == expected


@pytest.mark.parametrize("seed", range(3))
def test_least_values_of_short_and_long_texts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = [0, 1, 2, 64, 65, 66, 0, 130, 500, 90, 3, 0]
    _compare(Permutations.draw(16), rng.integers(0, 1 << 32, sum(counts), dtype=np.uint32), counts)


def test_least_values_where_the_reduction_wraps() -> None:
    # a x + b around 0, around multiples of the prime and of 2^32: where folding and sifting could go wrong
    edges = [0, 1, 7, 8, 9, PRIME - 1, PRIME, PRIME + 1, (1 << 32) - 9, (1 << 32) - 1, 1 << 32, (1 << 64) - 1]
    edges += [k * PRIME + d for k in range(2, 9) for d in (-2, -1, 0, 1) if 0 <= k * PRIME + d < 1 << 64]
    b = np.array(edges, np.uint64)
    for a in (1, 0, (1 << 32) + 1):
        hashes = np.concatenate([np.arange(200), (1 << 32) - 1 - np.arange(200)]).astype(np.uint32)
        _compare(Permutations(np.full(len(b), a, np.uint64), b), hashes, [100, 200, 100])


def test_a_text_that_repeats_itself() -> None:
    hashes = np.tile(np.array([5, 7], np.uint32), 300)
    _compare(Permutations.draw(8), hashes, [600])


def test_bands_tell_signatures_apart() -> None:
    signatures = np.array([[1, 2, 3, 4], [1, 2, 9, 9], [2, 1, 3, 4], [1, 2, 3, 4]], np.uint32)
    first, second = band_hashes(signatures, 2, 2)
    assert first[0] == first[1] == first[3]
    assert first[2] != first[0]
    assert second[0] == second[2] == second[3]
    assert second[1] != second[0]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_clusters_are_those_of_a_walk(data: st.DataObject) -> None:
    count, columns = data.draw(st.integers(0, 25)), data.draw(st.integers(1, 4))
    key = st.one_of(st.none(), st.integers(0, 12))
    keys = [data.draw(st.lists(key, min_size=count, max_size=count)) for _ in range(columns)]
    cut = data.draw(st.integers(0, count))
    parts = [[pa.chunked_array([pa.array(part, pa.uint64())]) for part in (c[:cut], c[cut:])] for c in keys]
    neighbours = {
        row: [other for other in range(count) if any(c[row] is not None and c[row] == c[other] for c in keys)]
        for row in range(count)
    }
    expected: list[bool] = []
    seen: set[int] = set()
    for row in range(count):
        expected.append(row not in seen)
        queue = [row]
        while queue:
            here = queue.pop()
            fresh = [other for other in neighbours[here] if other not in seen]
            seen.update(fresh)
            queue += fresh
    assert first_of_clusters(parts).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), max_size=40), min_size=1, max_size=6), st.integers(1, 9))
def test_repeated_runs_are_counted(rows: list[list[int]], length: int) -> None:
    items = np.array([item for row in rows for item in row], np.uint64)
    offsets = offsets_of(np.array([len(row) for row in rows], np.int64))
    numbers, times, distinct = repeated(ngrams(items, length), offsets, length)
    for number, row in enumerate(rows):
        counts = Counter(tuple(row[at : at + length]) for at in range(len(row) - length + 1))
        assert distinct[number] == len(counts)
        assert sorted(times[numbers == number].tolist()) == sorted(c for c in counts.values() if c > 1)


def test_regular_patterns_do_not_cancel_out() -> None:
    # Thue-Morse words and their complements have equal polynomial hashes mod 2^64
    word = [0]
    while len(word) < 4096:
        word += [1 - bit for bit in word]
    items = np.array(word + [1 - bit for bit in word], np.uint64)
    assert len(set(ngrams(items, 4096)[[0, 4096]].tolist())) == 2


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_numbers_of_characters_lines_and_words(rows: list[str]) -> None:
    table = pa.table({"text": pa.array(rows, pa.string())})

    def stat(name: str) -> list[float]:
        (column,) = catalog.find(name).bind().load().stats(table).values()
        return column.to_pylist()

    assert stat("text_length_filter") == [len(row) for row in rows]
    lines = [row.splitlines() for row in rows]
    assert stat("maximum_line_length_filter") == [max(map(len, parts), default=0) for parts in lines]
    averages = [len(row) / len(parts) if parts else 0.0 for row, parts in zip(rows, lines, strict=True)]
    assert stat("average_line_length_filter") == averages
    assert stat("alphanumeric_filter") == [sum(map(str.isalnum, row)) / len(row) if row else 0.0 for row in rows]


@settings(max_examples=60, deadline=None)
@given(ROWS, st.data())
def test_splices(rows: list[str], data: st.DataObject) -> None:
    texts = _texts([row for row in rows if row.isascii()])
    rows = texts.strings()
    size = int(texts.offsets[-1])
    gone = np.array(sorted(data.draw(st.sets(st.integers(0, size - 1)))) if size else [], np.int64)
    flags = np.isin(np.arange(size), gone)
    parts = [flags[a:b] for a, b in zip(texts.offsets[:-1], texts.offsets[1:], strict=True)]
    kept = [
        "".join(c for c, out in zip(row, part, strict=True) if not out) for row, part in zip(rows, parts, strict=True)
    ]
    assert drop(texts, gone).strings() == kept
    blank = np.frombuffer(texts.data.tobytes().translate(bytes(c in b" \t" for c in range(256))), bool)
    assert crop(texts, *edge_blanks(texts, blank)).strings() == [row.strip(" \t") for row in rows]
    numbers = np.array(sorted(data.draw(st.sets(st.integers(0, len(rows) - 1)))) if rows else [], np.int64)
    expected = [f"<{n}>" if n in set(numbers.tolist()) else row for n, row in enumerate(rows)]
    assert replace_rows(texts, numbers, [f"<{n}>".encode() for n in numbers.tolist()]).strings() == expected
    spans = [(int(at), int(at) + 1, b"..") for at in np.flatnonzero(texts.data == ord("a"))]
    assert replace_spans(texts, spans).strings() == [row.replace("a", "..") for row in rows]


def test_long_runs_of_blanks_at_the_ends() -> None:
    rows = [" " * 50 + "x" + " " * 70, " " * 100, "y", " " * 7 + "z z"]
    mapper = catalog.find("whitespace_normalization_mapper").bind().load()
    assert mapper.map(pa.table({"text": rows}))["text"].to_pylist() == [row.strip() for row in rows]


@settings(max_examples=25, deadline=None)
@given(ROWS, st.integers(1, 4000))
def test_blocks_cover_all_rows_in_order(rows: list[str], size: int) -> None:
    texts = _texts(rows)
    blocks = list(texts.blocks(size))
    assert [row for block in blocks for row in block.strings()] == rows
    assert all(len(block) == 1 or len(block.data) <= size for block in blocks)


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.sampled_from("ab <&;\n\r\x1b[m’“ﬁＦ＆＜éÃ©â€™Â\xa0œ日\u0301\u2028\x07\x85"), max_size=20),
    st.sampled_from(["NFC", "NFKD"]),
)
def test_unicode_is_mended_as_by_ftfy(text: str, form: str) -> None:
    import ftfy

    mapper = catalog.find("fix_unicode_mapper").bind({"normalization": form}).load()
    table = pa.table({"text": ["before", text, "after"]})
    after = mapper.map(table).get("text", table.column("text")).to_pylist()
    assert after == ["before", ftfy.fix_text(text, normalization=form), "after"]  # type: ignore[call-arg]


def test_a_pattern_that_could_backtrack_without_end() -> None:
    text = "http://x.yz/" + "." * 5000 + " " + "(" * 3000 + " " + "http://" + "a(" * 2000
    mapper = catalog.find("clean_links_mapper").bind().load()
    after = mapper.map(pa.table({"text": [text]}))["text"].to_pylist()[0]
    assert after.startswith("/" + "." * 5000) or after.startswith("." * 5000)
