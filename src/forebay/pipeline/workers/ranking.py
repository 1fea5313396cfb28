"""A user's selector: rows ranked by the numbers that a function gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from forebay.table.buffers import array_of, numbers_of
from forebay.table.building import INT64

if TYPE_CHECKING:
    import numpy.typing as npt

    from forebay.pipeline.operator import Mask


@dataclass(frozen=True)
class Ranking:
    """Keeps the rows with the greatest (or least) scores; among equals the first in dataset order, NaN last.

    Attributes:
        scores: calls the function for each row.
        refusal: makes the error of a row, by its number, whose score is no number.
        quota: `top` or `ratio`, and `largest`.
    """

    scores: Callable[[pa.Table], list[Any]]
    refusal: Callable[[int, BaseException], Exception]
    quota: Mapping[str, object]

    def summarise(self, rows: pa.Table) -> pa.Table:
        """Return ``score``, a float, and, where it does not hold each number, ``rest``: the integer that it lacks."""
        floats: list[float] = []
        rests: list[int] = []
        for number, score in enumerate(self.scores(rows)):
            try:
                floats.append(float(score))
            except (TypeError, ValueError, OverflowError) as error:
                raise self.refusal(number, error) from error
            rests.append(int(score) - int(floats[-1]) if isinstance(score, (int, np.integer)) else 0)
        columns = {"score": array_of(np.array(floats, np.float64))}
        if any(rests) and all(map(INT64.__contains__, rests)):
            columns["rest"] = array_of(np.array(rests, np.int64))
        return pa.table(columns)

    def select(self, summaries: Iterable[pa.Table]) -> Iterator[Mask]:
        """Return for each shard one bool per row: is it among the first?"""
        scores: list[npt.NDArray[np.float64]] = []
        rests: list[npt.NDArray[np.int64]] = []
        for summary in summaries:
            scores.append(numbers_of(summary.column("score")))
            has_rest = "rest" in summary.column_names
            rests.append(numbers_of(summary.column("rest")) if has_rest else np.zeros(summary.num_rows, np.int64))
        every, rest = (np.concatenate(parts) if parts else np.zeros(0) for parts in (scores, rests))
        top, ratio = self.quota["top"], self.quota["ratio"]
        count = int(cast("int", top)) if top is not None else round(len(every) * float(cast("float", ratio)))
        sign = -1 if self.quota["largest"] else 1
        mask = np.zeros(len(every), np.bool_)
        mask[np.lexsort((sign * rest, sign * every))[:count]] = True  # stable; rounding keeps the order of scores
        start = 0
        for part in scores:
            yield mask[start : start + len(part)]
            start += len(part)
