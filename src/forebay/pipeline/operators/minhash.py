"""Near-duplicate removal by MinHash and locality-sensitive hashing (Broder, 1997; Indyk and Motwani, 1998).

A text is the set of its shingles, runs of `window_size` tokens. Each of `num_permutations` hash functions

    h_i(x) = ((a_i x + b_i) mod 2^64) mod (2^61 - 1) mod 2^32        x = first 32 bits of SHA-1 of the shingle

takes its least value over the set; texts that agree in a whole band of these values are near-duplicates, and so is
what is joined by a chain of such texts. All numbers are Data-Juicer's, so clusters and the row kept of each are too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forebay.pipeline.operators.bands import Permutations, band_hashes, best_bands
from forebay.pipeline.operators.casing import lowered
from forebay.pipeline.operators.clusters import first_of_clusters
from forebay.pipeline.operators.sha1 import first_words
from forebay.pipeline.operators.shingles import by_characters, by_punctuation, by_spaces
from forebay.pipeline.operators.splice import replace_rows
from forebay.pipeline.operators.texts import Texts
from forebay.table.buffers import array_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Flags

_TOKENS = {"space": by_spaces, "punctuation": by_punctuation, "character": by_characters}
_BLOCK_BYTES = 1 << 20
"""Bytes of text worked on at once; a shingle of five words takes about 30 times its text's bytes on the way."""


@dataclass(frozen=True, kw_only=True)
class DocumentMinhashDeduplicator:
    """Keeps the first of each cluster of near-duplicate texts.

    The summary is one 64-bit hash a band, null for a null text; a null text is near no other, so it is always kept.
    Texts with too few tokens for a shingle are near-duplicates of each other, as in Data-Juicer. The global half
    reads the summaries where they lie, 8 bytes a row and band, and takes about 50 bytes a row besides, band after band.
    """

    text_key: str
    tokenization: str
    window_size: int
    lowercase: bool
    ignore_pattern: str | None
    num_permutations: int
    jaccard_threshold: float
    num_bands: int | None
    num_rows_per_band: int | None

    @cached_property
    def bands(self) -> tuple[int, int]:
        """Bands, and hash values in each."""
        if self.num_bands is not None and self.num_rows_per_band is not None:
            return self.num_bands, self.num_rows_per_band
        return best_bands(self.jaccard_threshold, self.num_permutations)

    @cached_property
    def _permutations(self) -> Permutations:
        return Permutations.draw(self.num_permutations)

    @cached_property
    def _ignored(self) -> Any:
        import regex  # an optional dependency: the catalogue has seen to it that it is there

        return regex.compile(self.ignore_pattern or "")

    def summarise(self, rows: pa.Table) -> pa.Table:
        """Return uint64 columns ``band_0`` and so on: texts that agree in one are near-duplicates.

        Raises:
            SourceError: there is no such column, or it is not text.
        """
        texts = Texts.of(rows, self.text_key)
        bands, width = self.bands
        hashes = np.empty((bands, len(texts)), np.uint64)
        done = 0
        for block in texts.blocks(_BLOCK_BYTES):
            hashes[:, done : done + len(block)] = band_hashes(self.signatures(block), bands, width)
            done += len(block)
        missing = None if texts.valid is None else ~texts.valid
        return pa.table({f"band_{band}": array_of(hashes[band], missing) for band in range(bands)})

    def select(self, summaries: Iterable[pa.Table]) -> Iterator[Flags]:
        """Return for each shard one bool per row: is it the first of its cluster, or null?"""
        tables = list(summaries)
        keep = first_of_clusters([[table.column(band) for table in tables] for band in range(self.bands[0])])
        yield from np.split(keep, np.cumsum([table.num_rows for table in tables])[:-1]) if tables else ()

    def signatures(self, texts: Texts) -> npt.NDArray[np.uint32]:
        """Return the least value of each hash function over each text's shingles, (rows, permutations)."""
        if self.lowercase:
            texts = lowered(texts)
        if self.ignore_pattern is not None:
            kept = [self._ignored.sub("", text).encode("utf-8") for text in texts.strings()]
            texts = replace_rows(texts, np.arange(len(texts)), kept)
        shingles = _TOKENS[self.tokenization](texts).shingles(self.window_size)
        hashes = first_words(shingles.data, shingles.starts, shingles.lengths)
        return self._permutations.least(hashes, shingles.offsets)
