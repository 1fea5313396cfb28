"""What all mappers of texts have in common: one column is rewritten, block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forebay.pipeline.operators.texts import Texts, offsets_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class TextMapper(ABC):
    """Rewrites the texts of one column, each by itself."""

    text_key: str

    def map(self, rows: pa.Table) -> Mapping[str, pa.Array | None]:
        """Return the text column where it changed.

        Raises:
            SourceError: there is no such column, or it is not text.
        """
        texts = Texts.of(rows, self.text_key)
        rewritten: list[Texts] = []
        touched = False
        for block in texts.blocks():
            rewritten.append(self.rewrite(block))
            touched |= rewritten[-1] is not block
        if not touched:
            return {}
        whole = _joined(rewritten, texts)
        if np.array_equal(texts.offsets, whole.offsets) and np.array_equal(texts.data, whole.data):
            return {}
        return {self.text_key: whole.to_arrow()}

    @abstractmethod
    def rewrite(self, texts: Texts) -> Texts:
        """Return the rewritten rows of a block; the block itself where it needs no change."""


def _joined(blocks: list[Texts], whole: Texts) -> Texts:
    """Put rewritten blocks of `whole` together again, in order."""
    lengths = np.concatenate([block.lengths for block in blocks])
    return Texts(np.concatenate([block.data for block in blocks]), offsets_of(lengths), whole.valid, whole.large)
