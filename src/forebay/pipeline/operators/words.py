"""Words: counting them, their repetition, removing them by length.

A word is a run of characters other than space, tab and newline. Refined, as Data-Juicer counts it, it is stripped of
special characters at both ends, and is no word if nothing is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from forebay.pipeline.operators import characters
from forebay.pipeline.operators.casing import lowered
from forebay.pipeline.operators.measured import MeasuredFilter, RatioFilter, share
from forebay.pipeline.operators.repetition import ngrams, repeated
from forebay.pipeline.operators.rewriting import TextMapper
from forebay.pipeline.operators.texts import Texts, in_rows, offsets_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Bytes, Characters, Counts, Offsets


@dataclass(frozen=True, kw_only=True)
class WordsNumFilter(MeasuredFilter):
    """Keeps texts by their number of refined words."""

    min_num: int
    max_num: int

    statistic: ClassVar[str] = "num_words"
    dtype = np.int64

    @property
    def bounds(self) -> tuple[float, float]:
        """The range."""
        return self.min_num, self.max_num

    def measure(self, texts: Texts) -> Counts:
        """Count the words that hold anything but special characters."""
        chars = texts.characters()
        return in_rows(refined_starts(characters.words().classes(chars), chars.offsets), chars.offsets)


def refined_starts(classes: Bytes, offsets: Offsets) -> npt.NDArray[np.int64]:
    """Return where each refined word begins: a character of class 0 before which only specials stand in its word."""
    opens = classes == 0
    opens[1:] &= classes[:-1] != 0
    firsts = offsets[:-1][np.diff(offsets) > 0]
    opens[firsts] = classes[firsts] == 0
    starts = np.flatnonzero(opens)
    # Behind a special character, the word may have begun before it: look for the nearest that is none.
    first = np.zeros(len(classes), np.bool_)
    first[firsts] = True
    inner = np.flatnonzero((classes[starts - 1] == 1) & ~first[starts])
    if inner.size:
        solid = np.flatnonzero(classes != 1)
        before = np.searchsorted(solid, starts[inner]) - 1
        nearest = np.where(before >= 0, solid[before], -1)
        row = offsets[np.searchsorted(offsets, starts[inner], side="right") - 1]
        goes_on = (nearest >= row) & (classes[nearest] == 0)
        starts = np.delete(starts, inner[goes_on])
    return starts


@dataclass(frozen=True, kw_only=True)
class WordRepetitionFilter(RatioFilter):
    """Keeps texts by the share of their runs of `rep_len` refined words, in lower case, that occur more than once."""

    rep_len: int

    statistic: ClassVar[str] = "word_rep_ratio"

    def measure(self, texts: Texts) -> npt.NDArray[np.float64]:
        """Divide runs that occur again by all runs; 0.0 for a row of too few words."""
        hashes, offsets = _refined(texts)
        rows, times, _ = repeated(ngrams(hashes, self.rep_len), offsets, self.rep_len)
        runs = np.maximum(np.diff(offsets) - self.rep_len + 1, 0)
        return share(np.bincount(rows, times, minlength=len(texts)).astype(np.int64), runs)


def _refined(texts: Texts) -> tuple[npt.NDArray[np.uint64], Offsets]:
    """Hash each refined word, in lower case; and where each row's words begin among all."""
    # str.lower looks at the neighbours of a capital sigma, but never beyond a blank: word by word gives the same.
    chars = lowered(texts).characters()
    classes = characters.words().classes(chars)
    starts = refined_starts(classes, chars.offsets)
    offsets = np.searchsorted(starts, chars.offsets)
    if starts.size == 0:
        return np.zeros(0, np.uint64), offsets
    solid = np.flatnonzero(classes == 0)
    # A word ends behind its last character that is not special: the last such before the next word begins.
    lasts = solid[np.append(np.searchsorted(solid, starts[1:]), len(solid)) - 1]
    lengths = lasts + 1 - starts
    inner = offsets_of(lengths)
    place = np.arange(inner[-1]) - np.repeat(inner[:-1], lengths)
    taken = chars.codes[np.repeat(starts, lengths) + place].astype(np.uint64)
    taken += place.astype(np.uint64) << np.uint64(21)  # code points have 21 bits
    taken *= np.uint64(0x9E3779B97F4A7C15)
    taken ^= taken >> np.uint64(32)
    taken *= np.uint64(0xC2B2AE3D27D4EB4F)
    taken ^= taken >> np.uint64(29)
    return np.add.reduceat(taken, inner[:-1]), offsets


@dataclass(frozen=True, kw_only=True)
class RemoveLongWordsMapper(TextMapper):
    """Removes words by length, in characters; a word that is too long is measured once more without its specials.

    Between what stays, runs of spaces, tabs and newlines become one: lines and tabbed parts without a word go.
    """

    min_len: int
    max_len: int

    def rewrite(self, texts: Texts) -> Texts:
        """See `TextMapper`."""
        chars = texts.characters()
        classes = characters.words().classes(chars)
        starts, ends = _words(classes, chars)
        lengths = ends - starts
        kept = (lengths >= self.min_len) & (lengths <= self.max_len)
        long = np.flatnonzero(lengths > self.max_len)
        if long.size:
            solid = np.flatnonzero(classes == 0)
            low, high = np.searchsorted(solid, starts[long]), np.searchsorted(solid, ends[long])
            stripped = np.where(high > low, np.append(solid, 0)[high - 1] + 1 - np.append(solid, 0)[low], 0)
            kept[long] = (stripped >= self.min_len) & (stripped <= self.max_len)
        return _rejoined(texts, chars, starts[kept], ends[kept])


def _words(classes: Bytes, chars: Characters) -> tuple[Counts, Counts]:
    """Return where each word, not refined, begins and ends, in characters."""
    solid = classes != 2
    begins, ends = solid.copy(), solid.copy()
    begins[1:] &= ~solid[:-1]
    ends[:-1] &= ~solid[1:]
    filled = chars.lengths > 0
    firsts, lasts = chars.offsets[:-1][filled], chars.offsets[1:][filled] - 1
    begins[firsts], ends[lasts] = solid[firsts], solid[lasts]
    return np.flatnonzero(begins), np.flatnonzero(ends) + 1


def _rejoined(texts: Texts, chars: Characters, starts: Counts, ends: Counts) -> Texts:
    """Return the rows with these words only, parted by the strongest of newline, tab and space that stood between."""
    if not chars.ascii:
        places = np.append(np.flatnonzero((texts.data & 0xC0) != 0x80), len(texts.data))
        starts, ends = places[starts], places[ends]
    row = np.searchsorted(texts.offsets, starts, side="right") - 1
    inner = np.flatnonzero(row[1:] == row[:-1]) + 1
    data = texts.data.copy()
    before = starts[inner] - 1  # always a blank, and of one byte
    data[before] = 0x20
    for blank in (0x09, 0x0A):
        places = np.flatnonzero(texts.data == blank)
        between = np.searchsorted(places, starts[inner]) > np.searchsorted(places, ends[inner - 1])
        data[before[between]] = blank
    starts = starts.copy()
    starts[inner] -= 1
    steps = np.zeros(len(data) + 1, np.int8)
    np.add.at(steps, starts, 1)
    np.add.at(steps, ends, -1)
    kept = np.cumsum(steps[:-1], dtype=np.int8).view(bool)
    lengths = np.bincount(row, ends - starts, minlength=len(texts)).astype(np.int64)
    return Texts(data[kept], offsets_of(lengths), texts.valid, texts.large)
