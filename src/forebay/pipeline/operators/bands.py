"""The arithmetic of MinHash: hash functions, their least values, bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forebay.pipeline.operators.texts import offsets_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Offsets

    Words = npt.NDArray[np.uint32]
    Longs = npt.NDArray[np.uint64]

_PRIME = (1 << 61) - 1
_EMPTY = 0xFFFFFFFF
"""Least value of a text without shingles."""
_BLOCK = 1 << 14
"""Shingles worked on at once."""
_TOGETHER = 1 << 18
"""Shingles times functions worked on at once: four bytes each stay in the second-level cache."""
_SIFTED = 8
"""Shingles of a text that are looked at closely for one function, on average at least."""
_FEW = 64
"""Texts of so few shingles are done one way, the others another."""
_SLACK = 8
"""How far a value mod 2^61 - 1 can be from the value mod 2^61: quotients of 64-bit numbers are 0 to 8."""


@dataclass(frozen=True)
class Permutations:
    """Hash functions x -> ((a x + b) mod 2^64) mod (2^61 - 1) mod 2^32."""

    a: Longs
    b: Longs

    @classmethod
    def draw(cls, count: int) -> Permutations:
        """Draw the functions that Data-Juicer draws: a and b in turn, from numpy's frozen legacy generator, seed 42."""
        generator = np.random.RandomState(42)
        a, b = np.empty(count, np.uint64), np.empty(count, np.uint64)
        for number in range(count):
            a[number] = generator.randint(1, _PRIME, dtype=np.uint64)
            b[number] = generator.randint(0, _PRIME, dtype=np.uint64)
        return cls(a, b)

    def least(self, hashes: Words, offsets: Offsets) -> Words:
        """Return the least value of each function over each text.

        Args:
            hashes: uint32, one a shingle.
            offsets: where each text's shingles begin; one more than texts.

        Returns:
            (texts, functions); 2^32 - 1 for a text without shingles.
        """
        hashes, offsets = _distinct(hashes, offsets)
        result = np.full((len(offsets) - 1, len(self.a)), _EMPTY, np.uint32)
        for texts, few in _groups(np.diff(offsets)):
            counts = np.diff(offsets)[texts]
            inner = offsets_of(counts)
            taken = hashes[np.repeat(offsets[:-1][texts] - inner[:-1], counts) + np.arange(inner[-1])]
            result[texts] = self._directly(taken, inner) if few else self._sifted(taken, inner)
        return result

    def _directly(self, hashes: Words, offsets: Offsets) -> Words:
        """Compute every value of every function."""
        result = np.empty((len(self.a), len(offsets) - 1), np.uint32)
        for number, (a, b) in enumerate(zip(self.a, self.b, strict=True)):
            result[number] = np.minimum.reduceat(_values(hashes, a, b), offsets[:-1])
        return result.T

    def _sifted(self, hashes: Words, offsets: Offsets) -> Words:
        """Compute the values that can be the least: those small mod 2^32 before the reduction mod 2^61 - 1.

        With q = floor((a x + b) / (2^61 - 1)), 0 <= q <= 8, a value is (a x + b + q) mod 2^32. So where
        y = (a x + b + 8) mod 2^32, which takes 32-bit arithmetic only, is at least some t > 8, the value is at least
        t - 8. Then values of the few with y < t decide, wherever they are below t - 8. t is chosen so that a text has
        some eight or more of them; where it happens to have none, all its values are computed.
        """
        size, count = len(hashes), len(offsets) - 1
        limit = np.uint32(min(_SIFTED * (1 << 32) // int(np.diff(offsets).min()), _EMPTY))
        result = np.full((len(self.a), count), _EMPTY, np.uint32)
        together = max(min(_TOGETHER // size, len(self.a)), 1)
        for first in range(0, len(self.a), together):
            a, b = self.a[first : first + together], self.b[first : first + together]
            sums = hashes * a.astype(np.uint32)[:, None]
            sums += (b + np.uint64(_SLACK)).astype(np.uint32)[:, None]
            places = np.flatnonzero(sums < limit)
            ends = np.searchsorted(places, np.arange(1, len(a) + 1) * size)
            function = np.repeat(np.arange(len(a)), np.diff(ends, prepend=0))
            shingle = places - function * size
            values = _values(hashes[shingle], a[function], b[function])
            bounds = np.searchsorted(places, np.add.outer(np.arange(len(a)) * size, offsets))
            found = bounds[:, 1:] > bounds[:, :-1]
            if values.size:
                result[first : first + len(a)][found] = np.minimum.reduceat(values, bounds[:, :-1][found])
        for function, text in np.argwhere(result >= limit - _SLACK).tolist():
            part = hashes[offsets[text] : offsets[text + 1]]
            result[function, text] = _values(part, self.a[function], self.b[function]).min()
        return result.T


def _values(hashes: Words, a: Longs | np.uint64, b: Longs | np.uint64) -> Words:
    """Compute functions of hashes, exactly."""
    x = hashes.astype(np.uint64) * a
    x += b
    # x mod (2^61 - 1), folded: at most 2^61 + 6, and where it is 2^61 - 1 or more, 2^61 - 1 is taken off once more
    folded = (x & np.uint64(_PRIME)) + (x >> np.uint64(61))
    folded += (folded >= np.uint64(_PRIME)).astype(np.uint64)
    return folded.astype(np.uint32)


def _distinct(hashes: Words, offsets: Offsets) -> tuple[Words, Offsets]:
    """Drop what occurs twice in one text: a least value is that of the set, and a text may repeat itself for long."""
    counts = np.diff(offsets)
    keys = np.repeat(np.arange(len(counts), dtype=np.uint64) << np.uint64(32), counts)
    keys |= hashes
    keys.sort()
    new = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    return keys[new].astype(np.uint32), offsets - np.searchsorted(np.flatnonzero(~new), offsets)


def _groups(counts: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], bool]]:
    """Yield runs of texts of like numbers of shingles, with whether these are few; none for texts without any."""
    order = np.argsort(counts, kind="stable")
    sizes = counts[order]
    first, last = int(np.searchsorted(sizes, 1)), len(order)
    ends = np.cumsum(sizes)
    while first < last:
        few = bool(sizes[first] <= _FEW)
        alike = _FEW if few else sizes[first] + sizes[first] // 2
        stop = int(np.searchsorted(sizes, alike, side="right"))
        full = int(np.searchsorted(ends, ends[first] - sizes[first] + _BLOCK, side="right"))
        stop = max(min(stop, full), first + 1)
        yield order[first:stop], few
        first = stop


def band_hashes(signatures: Words, bands: int, width: int) -> Longs:
    """Hash each band of `width` values into 64 bits; (bands, texts)."""
    result = np.empty((bands, len(signatures)), np.uint64)
    columns = np.ascontiguousarray(signatures.T).astype(np.uint64)
    for band in range(bands):
        mixed = np.full(len(signatures), 0x9E3779B97F4A7C15, np.uint64)
        for value in columns[band * width : (band + 1) * width]:
            mixed ^= value
            mixed *= np.uint64(0xC2B2AE3D27D4EB4F)
            mixed ^= mixed >> np.uint64(32)
        mixed *= np.uint64(0x165667B19E3779F9)
        result[band] = mixed ^ (mixed >> np.uint64(29))
    return result


def best_bands(threshold: float, functions: int) -> tuple[int, int]:
    """Choose bands and values in each so that the S-curve 1 - (1 - s^r)^b errs least about the threshold.

    The error is half the area of false positives below the threshold plus half that of false negatives above it; the
    first of equals in order of bands, then rows. The areas are computed by Gauss-Legendre quadrature.
    """
    nodes, weights = np.polynomial.legendre.leggauss(functions // 2 + 1)  # exact for polynomials of this degree
    below, above = (nodes + 1) * threshold / 2, threshold + (nodes + 1) * (1 - threshold) / 2
    best, least = (0, 0), np.inf
    for bands in range(1, functions + 1):
        rows = np.arange(1, functions // bands + 1)[:, None]
        positive = ((1 - (1 - below**rows) ** bands) @ weights) * threshold / 2
        negative = (((1 - above**rows) ** bands) @ weights) * (1 - threshold) / 2
        errors = 0.5 * positive + 0.5 * negative
        place = int(np.argmin(errors))
        if errors[place] < least:
            best, least = (bands, place + 1), float(errors[place])
    return best
