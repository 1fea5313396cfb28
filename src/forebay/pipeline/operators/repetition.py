"""Filters over repeated runs of characters.

Runs (n-grams) are told apart by 64-bit hashes, mixed step by step from shorter runs, and counted by sorting; the row's
number stands in the upper bits, so that one sort serves a block of rows. With at most a few hundred thousand runs in a
block at least 46 bits are left for the hash, and only runs of one row are compared, so the odds that two different runs
of a 100,000-character row are taken for one stay below one in ten thousand millions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from forebay.pipeline.operators.measured import RatioFilter, share
from forebay.pipeline.operators.texts import in_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Counts, Flags, Offsets, Texts

    Hashes = npt.NDArray[np.uint64]


def _splitmix64(count: int) -> Hashes:
    """Return pseudo-random numbers (Steele, Lea and Flood: Fast Splittable Pseudorandom Number Generators, 2014)."""
    with np.errstate(over="ignore"):
        mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


_ODD = np.uint64(0x9E3779B97F4A7C15)
_OTHER_ODD = np.uint64(0xC2B2AE3D27D4EB4F)
_MULTIPLIERS = _splitmix64(128) | np.uint64(3)
"""Of no simple relation to each other, or near runs would have the same hash."""


@dataclass(frozen=True, kw_only=True)
class CharacterRepetitionFilter(RatioFilter):
    """Keeps texts by the share of their runs of `rep_len` characters that are among the most repeated ones.

    Of D different runs, R of them repeated, the min(floor(sqrt(D)), R) most frequent count, each as often as it occurs,
    over all runs.
    """

    rep_len: int

    statistic: ClassVar[str] = "char_rep_ratio"
    block_bytes: ClassVar[int] = 1 << 16

    def measure(self, texts: Texts) -> npt.NDArray[np.float64]:
        """Divide the most repeated runs by all runs; 0.0 for a row shorter than a run."""
        chars = texts.characters()
        hashes = ngrams(chars.codes.astype(np.uint64), self.rep_len)
        rows, counts, distinct = repeated(hashes, chars.offsets, self.rep_len)
        runs = np.maximum(chars.lengths - self.rep_len + 1, 0)
        per_row = np.bincount(rows, minlength=len(texts))
        top = np.minimum(np.sqrt(distinct).astype(np.int64), per_row)
        # Most repeated first within each row, so that the first `top` of a row are its place among all.
        order = np.lexsort((-counts, rows))
        place = np.arange(len(rows)) - (np.cumsum(per_row) - per_row)[rows]
        taken = place < top[rows]
        return share(np.bincount(rows[taken], counts[order][taken], minlength=len(texts)).astype(np.int64), runs)


def ngrams(items: Hashes, length: int) -> Hashes:
    """Hash every run of `length` items, given a number for each item; one for each place where a run begins.

    Runs are doubled (1, 2, 4 …) and then joined from the powers of two in `length`. Each joining has a multiplier of
    its own, 3 mod 4, so that no long regular pattern cancels out mod 2^64.
    """
    power, result, done, size, step = items, None, 0, 1, 0
    while size <= length:
        if size > 1:
            power, step = _join(power, power, size // 2, step), step + 1
        if length & size:
            result, step = power if result is None else _join(result, power, done, step), step + 1
            done += size
        size *= 2
    assert result is not None
    hashes = result[: max(len(items) - length + 1, 0)]
    return (hashes ^ (hashes >> np.uint64(32))) * _ODD


def _join(left: Hashes, right: Hashes, gap: int, step: int) -> Hashes:
    """Hash runs `left` each followed by the run that begins `gap` items later."""
    joined = left[: max(len(right) - gap, 0)] * _MULTIPLIERS[step]
    joined += right[gap : gap + len(joined)]
    return joined


def repeated(hashes: Hashes, offsets: Offsets, length: int) -> tuple[Counts, Counts, Counts]:
    """Count equal runs within rows.

    Args:
        hashes: one for each place where a run of `length` items begins, over all rows.
        offsets: where each row begins, in items.
        length: items in a run; those that reach into the next row are left out.

    Returns:
        (row, times) of each run that occurs at least twice, rows ascending; and how many different runs each row has.
    """
    count = len(offsets) - 1
    shift = np.uint64(64 - max(count - 1, 1).bit_length())
    numbers = np.arange(count, dtype=np.uint64) << shift
    keys = hashes >> (np.uint64(64) - shift)
    keys |= np.repeat(numbers, np.diff(offsets))[: len(keys)]
    # Most runs occur once. Two coarse counts sort these out for a tenth of what sorting costs.
    keys = keys[_within_rows(offsets, length, len(keys)) & _shared(keys, _ODD)]
    keys = keys[_shared(keys, _OTHER_ODD)]
    keys.sort()
    new = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    firsts = np.flatnonzero(new)
    times = np.diff(np.append(firsts, len(keys)))
    bounds = np.append(np.searchsorted(keys, numbers), len(keys))
    distinct = np.maximum(np.diff(offsets) - length + 1, 0) - np.diff(bounds) + in_rows(firsts, bounds)
    many = times > 1
    return (keys[firsts[many]] >> shift).astype(np.int64), times[many], distinct


def _within_rows(offsets: Offsets, length: int, places: int) -> Flags:
    """Tell for each place whether a run that begins there ends in the same row."""
    within = np.ones(places, bool)
    tails = np.minimum(np.diff(offsets), length - 1)
    ends = np.cumsum(tails)
    beyond = np.repeat(offsets[1:] - ends, tails) + np.arange(ends[-1] if len(ends) else 0)
    within[beyond[beyond < places]] = False
    return within


def _shared(keys: Hashes, multiplier: np.uint64) -> Flags:
    """Tell which keys fall into a bucket with another: those that do not occur but once."""
    bits = max(len(keys), 128).bit_length() + 1
    buckets = ((keys * multiplier) >> np.uint64(64 - bits)).view(np.int64)
    return np.bincount(buckets, minlength=1 << bits)[buckets] > 1
