"""Filters over numbers of characters: of a text, of its longest line, of its lines on average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from forebay.pipeline.operators import characters
from forebay.pipeline.operators.measured import LengthFilter, share
from forebay.pipeline.operators.texts import in_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Characters, Counts, Texts


@dataclass(frozen=True, kw_only=True)
class TextLengthFilter(LengthFilter):
    """Keeps texts by their number of characters (code points)."""

    statistic: ClassVar[str] = "text_len"
    dtype = np.int64

    def measure(self, texts: Texts) -> Counts:
        """Count characters."""
        return np.diff(texts.characters_offsets())


@dataclass(frozen=True, kw_only=True)
class MaximumLineLengthFilter(LengthFilter):
    """Keeps texts by the characters in their longest line, its end not counted; lines as `str.splitlines` has them."""

    statistic: ClassVar[str] = "max_line_length"
    dtype = np.int64

    def measure(self, texts: Texts) -> Counts:
        """Find the longest line of each row; 0 for an empty row."""
        chars = texts.characters()
        cuts = _cuts(chars)
        # A CR LF leaves an empty line between its halves, a row's end one after its last cut: neither is longest.
        before = np.searchsorted(cuts, chars.offsets)
        starts = np.insert(cuts + 1, before[:-1], chars.offsets[:-1])
        ends = np.insert(cuts, before[1:], chars.offsets[1:])
        first = before[:-1] + np.arange(len(texts))
        return np.maximum.reduceat(ends - starts, first) if len(texts) else np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class AverageLineLengthFilter(LengthFilter):
    """Keeps texts by characters, line ends included, per line."""

    statistic: ClassVar[str] = "avg_line_length"

    def measure(self, texts: Texts) -> npt.NDArray[np.float64]:
        """Divide characters by lines; 0.0 for an empty row."""
        chars = texts.characters()
        cuts = _cuts(chars, pairs_once=True)
        filled = chars.lengths > 0
        closed = np.zeros(len(texts), bool)
        lasts = chars.offsets[1:][filled] - 1
        places = np.searchsorted(cuts, lasts)
        closed[filled] = np.append(cuts, -1)[places] == lasts
        lines = in_rows(cuts, chars.offsets) + (filled & ~closed)
        return share(chars.lengths, lines)


def _cuts(chars: Characters, *, pairs_once: bool = False) -> Counts:
    """Return the positions, ascending, of characters that cut lines; of a CR LF within a row only the LF if told so."""
    classes = characters.line_breaks().classes(chars)
    cuts = np.flatnonzero(classes != 0)
    if pairs_once and cuts.size:
        kinds = classes[cuts]
        paired = np.zeros(len(cuts), bool)
        paired[:-1] = (kinds[:-1] == 2) & (kinds[1:] == 3) & (np.diff(cuts) == 1)
        begins = np.zeros(len(classes) + 1, np.bool_)
        begins[chars.offsets] = True
        paired &= ~begins[cuts + 1]  # a CR that ends one row and the LF that begins the next are two
        cuts = cuts[~paired]
    return cuts
