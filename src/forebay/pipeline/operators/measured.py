"""Filters that measure one number a row and keep those within a range."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from forebay.pipeline.operators.texts import BLOCK_BYTES, Texts
from forebay.table.buffers import array_of, numbers_of, valid_bits

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Flags

    Measures = npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MeasuredFilter(ABC):
    """Measures each text, then keeps those within a range.

    A null text has no measure (null in the statistics), and is not kept whatever the range.
    """

    text_key: str
    min_closed_interval: bool
    """Whether the least value allowed is itself allowed."""
    max_closed_interval: bool
    reversed_range: bool
    """Keep what is outside the range instead; what is on a closed bound counts as outside then."""

    statistic: ClassVar[str]
    """Name of the statistics column, as Data-Juicer's."""
    dtype: ClassVar[type[np.int64] | type[np.float64]] = np.float64
    block_bytes: ClassVar[int] = BLOCK_BYTES

    @property
    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The range."""

    @abstractmethod
    def measure(self, texts: Texts) -> Measures:
        """Measure some rows: one number a row."""

    def stats(self, rows: pa.Table) -> Mapping[str, pa.Array]:
        """Return the measure of each row: int64 or float64, null where the text is.

        Raises:
            SourceError: there is no such column, or it is not text.
        """
        texts = Texts.of(rows, self.text_key)
        parts = [self.measure(block).astype(self.dtype, copy=False) for block in texts.blocks(self.block_bytes)]
        values = np.concatenate([np.zeros(0, self.dtype), *parts])
        return {self.statistic: array_of(values, None if texts.valid is None else ~texts.valid)}

    def keep(self, rows: pa.Table, stats: Mapping[str, pa.Array]) -> Flags:
        """Return one bool per row: is its measure within the range?"""
        column = stats[self.statistic]
        return valid_bits(column) & self._within(numbers_of(column))

    def _within(self, values: Measures) -> Flags:
        least, greatest = self.bounds
        above = values >= least if self.min_closed_interval != self.reversed_range else values > least
        below = values <= greatest if self.max_closed_interval != self.reversed_range else values < greatest
        return ~(above & below) if self.reversed_range else above & below


@dataclass(frozen=True, kw_only=True)
class LengthFilter(MeasuredFilter):
    """A measured filter whose range is called min_len and max_len."""

    min_len: int
    max_len: int

    @property
    def bounds(self) -> tuple[float, float]:
        """The range."""
        return self.min_len, self.max_len


@dataclass(frozen=True, kw_only=True)
class RatioFilter(MeasuredFilter):
    """A measured filter whose range is called min_ratio and max_ratio."""

    min_ratio: float
    max_ratio: float

    @property
    def bounds(self) -> tuple[float, float]:
        """The range."""
        return self.min_ratio, self.max_ratio


def share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Divide, with 0.0 where there is nothing to divide by; exact for counts below 2**53, as Python's division is."""
    return np.divide(part, whole, out=np.zeros(len(part), np.float64), where=whole != 0)
