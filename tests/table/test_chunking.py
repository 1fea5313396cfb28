"""Boundaries: where the definition puts them, in any portions, and how little an edit moves."""

from __future__ import annotations

import random
from collections import Counter
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from forebay.table.chunking import Chunker, cuts


def defined(hashes: list[int], lengths: list[int], target: int) -> list[int]:
    """The definition, word by word, in quadratic time."""
    horizon, most = target // 2, 4 * target
    ends = list(accumulate(lengths))
    total = ends[-1] if ends else 0
    boundaries = [
        row + 1
        for row in range(len(hashes))
        if ends[row] > horizon
        and ends[row] + horizon <= total
        and all(hashes[other] < hashes[row] for other in range(row) if ends[other] >= ends[row] - horizon)
        and all(
            hashes[other] <= hashes[row] for other in range(row + 1, len(hashes)) if ends[other] <= ends[row] + horizon
        )
    ]
    shards: list[int] = []
    start = base = 0
    for boundary in [*boundaries, len(hashes)]:
        while start < boundary:
            stop = boundary
            fits = sum(end <= base + most for end in ends)
            if fits < boundary:
                half = max(start, sum(end <= base + most // 2 for end in ends))
                stop = max(range(half, fits), key=lambda row: (hashes[row], row), default=max(fits - 1, start)) + 1
            shards.append(stop - start)
            start, base = stop, ends[stop - 1]
    return shards


streams = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1)), st.one_of(st.integers(1, 3), st.integers(1, 80))
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(streams, st.sampled_from([2, 4, 10, 30]), st.lists(st.integers(0, 60), max_size=6))
def test_the_definition_whatever_the_portions(rows: list[tuple[int, int]], target: int, stops: list[int]) -> None:
    hashes, lengths = [row[0] for row in rows], [row[1] for row in rows]
    want = defined(hashes, lengths, target)
    assert cuts(hashes, lengths, target) == want
    chunker = Chunker(target)
    found: list[tuple[int, int]] = []
    edges = [0, *sorted(stops), len(rows)]
    for start, stop in pairwise(edges):
        found += chunker.push(hashes[start:stop], lengths[start:stop])
    found += chunker.finish()
    assert [number for number, _ in found] == want
    assert sum(size for _, size in found) == sum(lengths)


TARGET = 4000


def corpus(rows: int, seed: int = 0) -> list[bytes]:
    chooser = random.Random(seed)
    return [chooser.randbytes(chooser.randint(5, 200)) for _ in range(rows)]


def shards(rows: list[bytes]) -> list[tuple[bytes, ...]]:
    found: list[tuple[bytes, ...]] = []
    start = 0
    for number in cuts([xxh3_64_intdigest(row) for row in rows], [len(row) + 1 for row in rows], TARGET):
        found.append(tuple(rows[start : start + number]))
        start += number
    return found


def test_sizes() -> None:
    sizes = [sum(len(row) + 1 for row in shard) for shard in shards(corpus(20_000))]
    assert min(sizes[:-1]) > TARGET // 2
    assert max(sizes) <= 4 * TARGET
    assert 0.9 * TARGET < sum(sizes) / len(sizes) < 1.3 * TARGET


def test_edits_disturb_their_neighbourhood_only() -> None:
    rows = corpus(5_000)
    before = set(shards(rows))
    chooser = random.Random(1)
    disturbed: Counter[int] = Counter()
    for number in range(300):
        at = chooser.randrange(len(rows))
        edited = list(rows)
        if number % 3 == 0:
            edited[at] = b"edited %d" % number
        elif number % 3 == 1:
            edited.insert(at, b"inserted %d" % number)
        else:
            del edited[at]
        disturbed[sum(shard not in before for shard in shards(edited))] += 1
    assert max(disturbed) <= 3
    assert disturbed[1] + disturbed[0] > 0.85 * 300


def test_appending_disturbs_the_end_only() -> None:
    rows = corpus(2_000)
    before = shards(rows)
    for more in (1, 10, 500):
        after = shards(rows + corpus(more, seed=more))
        assert after[: len(before) - 1] == before[:-1]


def test_equal_rows_are_cut_at_the_maximum() -> None:
    found = cuts([7] * 10_000, [100] * 10_000, TARGET)
    assert set(found[:-1]) == {4 * TARGET // 100}


def test_a_hard_cut_is_content_defined_too() -> None:
    hashes = [5] * 1000
    hashes[130] = 4  # a low one changes nothing, and no row is a strict maximum of 5s
    assert cuts(hashes, [100] * 1000, TARGET) == cuts([5] * 1000, [100] * 1000, TARGET)
    falling = list(range(1000, 0, -1))
    assert cuts(falling, [100] * 1000, TARGET)[0] == 4 * TARGET // 100 // 2 + 1


@pytest.mark.parametrize("size", [10 * TARGET, 100 * TARGET])
def test_a_huge_row_does_not_drag_others_along(size: int) -> None:
    rows = corpus(300)
    found = shards([*rows[:150], bytes(size), *rows[150:]])
    (holder,) = [shard for shard in found if bytes(size) in shard]
    assert sum(len(row) + 1 for row in holder if len(row) < size) <= 4 * TARGET
    assert [row for shard in found for row in shard] == [*rows[:150], bytes(size), *rows[150:]]


def test_nothing() -> None:
    assert cuts([], []) == []
    assert Chunker(10).push([], []) == []


def test_absurd_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="a shard of 1 bytes"):
        Chunker(1)
