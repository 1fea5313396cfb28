"""Filters over the share of some kind of character."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from forebay.pipeline.operators import characters
from forebay.pipeline.operators.measured import RatioFilter, share
from forebay.pipeline.operators.texts import totals

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Texts


@dataclass(frozen=True, kw_only=True)
class AlphanumericFilter(RatioFilter):
    """Keeps texts by the share of their characters that are letters or digits (`str.isalnum`)."""

    statistic: ClassVar[str] = "alnum_ratio"

    def measure(self, texts: Texts) -> npt.NDArray[np.float64]:
        """Divide letters and digits by characters; 0.0 for an empty row."""
        return _share_of(characters.alphanumeric(), texts)


@dataclass(frozen=True, kw_only=True)
class SpecialCharactersFilter(RatioFilter):
    """Keeps texts by the share of their characters that are punctuation, digits, blanks, symbols or emoji."""

    statistic: ClassVar[str] = "special_char_ratio"

    def measure(self, texts: Texts) -> npt.NDArray[np.float64]:
        """Divide special characters by characters; 0.0 for an empty row."""
        return _share_of(characters.special(), texts)


def _share_of(table: characters.Table, texts: Texts) -> npt.NDArray[np.float64]:
    chars = texts.characters()
    return share(totals(table.classes(chars), chars.offsets), chars.lengths)
