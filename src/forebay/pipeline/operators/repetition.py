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

_ODD = np.uint64(0x9E3779B97F4A7C15)
_OTHER_ODD = np.uint64(0xC2B2AE3D27D4EB4F)


@dataclass(frozen=True, kw_only=True)
class CharacterRepetitionFilter(RatioFilter):
    """Keeps texts by the share of their runs of `rep_len` characters that are among the most repeated ones.

    Of D different runs, R of them repeated, the min(floor(sqrt(D)), R) most frequent count, each as often as it occurs,
    over all runs.
    """

    rep_len: int

    statistic: ClassVar[str] = "char_rep_ratio"

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


def ngrams(hashes: Hashes, length: int) -> Hashes:
    """Hash every run of `length` items, given a number for each item; one for each place where a run begins.

    Runs are doubled (1, 2, 4 …) and then joined from the powers of two in `length`.
    """
    if len(hashes) < length:
        return np.zeros(0, np.uint64)
    if length == 1:
        return _join(hashes, hashes, 0)
    power, result, done = hashes, None, 0
    size = 1
    while True:
        if length & size:
            result = power if result is None else _join(result, power, done)
            done += size
        size *= 2
        if size > length:
            assert result is not None
            return result[: len(hashes) - length + 1]
        power = _join(power, power, size // 2)


def _join(left: Hashes, right: Hashes, gap: int) -> Hashes:
    """Hash runs `left` each followed by the run that begins `gap` items later."""
    mixed = left[: max(len(right) - gap, 0)] * _ODD
    mixed ^= mixed >> np.uint64(32)
    mixed += right[gap : gap + len(mixed)]
    mixed *= _OTHER_ODD
    mixed ^= mixed >> np.uint64(29)
    return mixed


def repeated(hashes: Hashes, offsets: Offsets, length: int) -> tuple[Counts, Counts, Counts]:
    """Count equal runs within rows.

    Args:
        hashes: one for each place where a run of `length` items begins, over all rows.
        offsets: where each row begins, in items.
        length: items in a run; those that reach into the next row are left out.

    Returns:
        (row, times) of each run that occurs at least twice, rows ascending; and how many different runs each row has.
    """
    begins = offsets[:-1]
    runs = np.maximum(np.diff(offsets) - length + 1, 0)
    total = int(runs.sum())
    bits = np.uint64(max(len(begins) - 1, 1).bit_length())
    keys = hashes >> bits
    if total < len(keys):
        keys = keys[np.repeat(begins - (np.cumsum(runs) - runs), runs) + np.arange(total)]
    keys |= np.repeat(np.arange(len(begins), dtype=np.uint64), runs) << (np.uint64(64) - bits)
    keys.sort()
    firsts = np.flatnonzero(_changes(keys))
    times = np.diff(np.append(firsts, total))
    distinct = in_rows(firsts, np.append(np.cumsum(runs) - runs, total))
    many = times > 1
    rows = (keys[firsts[many]] >> (np.uint64(64) - bits)).astype(np.int64)
    return rows, times[many], distinct


def _changes(keys: Hashes) -> Flags:
    changes = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=changes[1:])
    return changes
