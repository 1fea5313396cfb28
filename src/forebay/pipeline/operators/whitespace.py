"""Mappers that put one character in the place of another: blanks, punctuation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from forebay.pipeline.operators import characters
from forebay.pipeline.operators.splice import changes, crop, drop, edge_blanks, joined
from forebay.pipeline.operators.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import pyarrow as pa

    from forebay.pipeline.operators.texts import Bytes

PUNCTUATION: Mapping[str, str] = {
    "，": ",", "。": ".", "、": ",", "„": '"', "”": '"', "“": '"', "«": '"', "»": '"', "１": '"', "」": '"', "「": '"',
    "《": '"', "》": '"', "´": "'", "∶": ":", "：": ":", "？": "?", "！": "!", "（": "(", "）": ")", "；": ";", "–": "-",
    "—": " - ", "．": ". ", "～": "~", "’": "'", "…": "...", "━": "-", "〈": "<", "〉": ">", "【": "[", "】": "]",
    "％": "%", "►": "-",
}  # fmt: skip
"""What punctuation_normalization_mapper replaces, the full-width digit one among it: so does Data-Juicer."""


@dataclass(frozen=True, kw_only=True)
class WhitespaceNormalizationMapper:
    """Trims both ends as `str.strip` does, then turns every kind of blank but line ends into a plain space."""

    text_key: str

    def map(self, rows: pa.Table) -> Mapping[str, pa.Array | None]:
        """Return the text column where it changed.

        Raises:
            SourceError: there is no such column, or it is not text.
        """
        texts = Texts.of(rows, self.text_key)
        return changes(self.text_key, texts, joined((self._block(block) for block in texts.blocks()), texts))

    def _block(self, texts: Texts) -> Texts:
        if texts.ascii:
            flat = texts.data.tobytes()
            blank = np.frombuffer(flat.translate(characters.ASCII_BLANKS), bool)
            trimmed = Texts(
                np.frombuffer(flat.translate(_TAB_TO_SPACE), np.uint8), texts.offsets, texts.valid, texts.large
            )
            return crop(trimmed, *edge_blanks(texts, blank))
        codes, starts, lengths = encoded(texts)
        flags = _blanks()[codes]
        trimmed = np.repeat((flags & 1) != 0, lengths)
        spaced = np.flatnonzero(flags & 2)
        data = texts.data.copy()
        data[starts[spaced]] = 0x20
        # A blank of several bytes keeps its first byte, as the space: the others go, after the trimming.
        kept = np.ones(len(data), bool)
        kept[followers(starts[spaced], lengths[spaced])] = False
        starts_of_rows, ends_of_rows = edge_blanks(texts, trimmed)
        cut = crop(Texts(data, texts.offsets, texts.valid, texts.large), starts_of_rows, ends_of_rows)
        kept = crop(Texts(kept.view(np.uint8), texts.offsets), starts_of_rows, ends_of_rows).data.view(bool)
        return drop(cut, np.flatnonzero(~kept))


@dataclass(frozen=True, kw_only=True)
class PunctuationNormalizationMapper:
    """Turns Unicode punctuation into its ASCII counterpart."""

    text_key: str

    def map(self, rows: pa.Table) -> Mapping[str, pa.Array | None]:
        """Return the text column where it changed.

        Raises:
            SourceError: there is no such column, or it is not text.
        """
        texts = Texts.of(rows, self.text_key)
        if texts.ascii:
            return {}
        return changes(self.text_key, texts, joined((self._block(block) for block in texts.blocks()), texts))

    def _block(self, texts: Texts) -> Texts:
        if texts.ascii:
            return texts
        codes, starts, lengths = encoded(texts)
        kinds = _punctuation_kinds()[codes]
        hits = np.flatnonzero(kinds)
        if hits.size == 0:
            return texts
        data = texts.data.copy()
        dropped: list[npt.NDArray[np.int64]] = []
        replacements = [value.encode("ascii") for value in PUNCTUATION.values()]
        for kind in np.unique(kinds[hits]).tolist():
            places, new = starts[hits][kinds[hits] == kind], replacements[kind - 1]
            width = int(lengths[hits][kinds[hits] == kind][0])
            for step, byte in enumerate(new):  # never longer than what it replaces
                data[places + step] = byte
            dropped += [places + step for step in range(len(new), width)]
        return drop(texts, np.sort(np.concatenate([np.zeros(0, np.int64), *dropped])), data)


def encoded(texts: Texts) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return each character's code point, where its bytes begin, and how many they are."""
    codes = texts.characters().codes.astype(np.uint32, copy=False)
    starts = np.flatnonzero((texts.data & 0xC0) != 0x80)
    return codes, starts, np.diff(np.append(starts, len(texts.data)))


def followers(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the positions of all bytes but the first of characters, in no order."""
    return np.concatenate([starts[lengths > step] + step for step in (1, 2, 3)])


@cache
def _blanks() -> Bytes:
    """1: trimmed at the ends; 2: becomes a space; 3: both."""
    codes = np.zeros(characters.CODE_POINTS, np.uint8)
    codes[list(characters.PYTHON_BLANKS)] |= 1
    codes[list(characters.members("whitespaces"))] |= 2
    return codes


@cache
def _punctuation_kinds() -> Bytes:
    codes = np.zeros(characters.CODE_POINTS, np.uint8)
    for kind, character in enumerate(PUNCTUATION, start=1):
        codes[ord(character)] = kind
    return codes


_TAB_TO_SPACE = bytes.maketrans(b"\t", b" ")
