"""Lower case, as `str.lower` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forebay.pipeline.operators.splice import replace_rows
from forebay.pipeline.operators.texts import Texts, totals

if TYPE_CHECKING:
    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Flags


def lowered(texts: Texts) -> Texts:
    """Return the texts as `str.lower` makes them."""
    data = np.frombuffer(texts.data.tobytes().lower(), np.uint8)
    low = Texts(data, texts.offsets, texts.valid, texts.large)
    if low.ascii:
        return low
    numbers = rows_of(low, data >= 0x80)
    rows = [texts.rows(number, number + 1).decode().lower().encode("utf-8") for number in numbers.tolist()]
    return replace_rows(low, numbers, rows)


def rows_of(texts: Texts, flags: Flags) -> npt.NDArray[np.int64]:
    """Return the numbers of rows in which any byte is flagged, ascending."""
    return np.flatnonzero(totals(flags, texts.offsets))
