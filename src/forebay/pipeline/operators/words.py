"""Words: counting them, their repetition, removing them by length.

A word is a run of characters other than space, tab and newline. Refined, as Data-Juicer counts it, it is stripped of
special characters at both ends, and is no word if nothing is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from forebay.pipeline.operators import characters
from forebay.pipeline.operators.measured import MeasuredFilter, RatioFilter, share
from forebay.pipeline.operators.repetition import ngrams, repeated
from forebay.pipeline.operators.splice import changes, joined
from forebay.pipeline.operators.texts import Characters, Texts, in_rows, offsets_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import pyarrow as pa

    from forebay.pipeline.operators.texts import Bytes, Counts, Flags, Offsets


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
    inner = np.flatnonzero((classes[starts - 1] == 1) & ~np.isin(starts, firsts))
    if inner.size:
        solid = np.flatnonzero(classes != 1)
        before = np.searchsorted(solid, starts[inner]) - 1
        nearest = np.where(before >= 0, solid[before], -1)
        row = offsets[np.searchsorted(offsets, starts[inner], side="right") - 1]
        goes_on = (nearest >= row) & (classes[nearest] == 0)
        starts = np.delete(starts, inner[goes_on])
    return starts
