"""Mappers that put one character in the place of another: blanks, punctuation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from forebay.pipeline.operators import characters
from forebay.pipeline.operators.rewriting import TextMapper
from forebay.pipeline.operators.splice import crop, drop, edge_blanks
from forebay.pipeline.operators.texts import Texts, code_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Bytes

PUNCTUATION: Mapping[str, str] = {
    "，": ",", "。": ".", "、": ",", "„": '"', "”": '"', "“": '"', "«": '"', "»": '"', "１": '"', "」": '"',
    "「": '"', "《": '"', "》": '"', "´": "'", "∶": ":", "：": ":", "？": "?", "！": "!", "（": "(", "）": ")",
    "；": ";", "–": "-", "—": " - ", "．": ". ", "～": "~", "’": "'", "…": "...", "━": "-", "〈": "<", "〉": ">",
    "【": "[", "】": "]", "％": "%", "►": "-",
}  # fmt: skip
"""What punctuation_normalization_mapper replaces, the full-width digit one among it: so does Data-Juicer."""


@dataclass(frozen=True, kw_only=True)
class WhitespaceNormalizationMapper(TextMapper):
    """Trims both ends as `str.strip` does, then turns every kind of blank but line ends into a plain space."""

    def rewrite(self, texts: Texts) -> Texts:
        """See `TextMapper`."""
        flat = texts.data.tobytes()
        blank = np.frombuffer(flat.translate(characters.ASCII_BLANKS), bool)
        data = np.frombuffer(flat.translate(_TAB_TO_SPACE), np.uint8)
        dropped = np.zeros(0, np.int64)
        if not texts.ascii:
            leads = np.flatnonzero(np.frombuffer(flat.translate(_blank_leads()), bool))
            codes, widths = code_points(texts.data, leads)
            kinds = _blanks()[codes]
            blank, data = blank.copy(), data.copy()
            trimmed, spaced = kinds & 1 != 0, kinds & 2 != 0
            blank[leads[trimmed]] = True
            blank[followers(leads[trimmed], widths[trimmed])] = True
            data[leads[spaced]] = 0x20
            dropped = np.sort(followers(leads[spaced], widths[spaced]))
        starts, ends = edge_blanks(texts, blank)
        # A wide blank keeps its first byte, as the space; its other bytes go first, and the edges move along.
        starts -= np.searchsorted(dropped, starts)
        ends -= np.searchsorted(dropped, ends)
        return crop(drop(texts, dropped, data), starts, ends)


@dataclass(frozen=True, kw_only=True)
class PunctuationNormalizationMapper(TextMapper):
    """Turns Unicode punctuation into its ASCII counterpart."""

    def rewrite(self, texts: Texts) -> Texts:
        """See `TextMapper`."""
        if texts.ascii:
            return texts
        leads = np.flatnonzero(np.frombuffer(texts.data.tobytes().translate(_punctuation_leads()), bool))
        codes, widths = code_points(texts.data, leads)
        kinds = _punctuation_kinds()[codes]
        hits = kinds > 0
        if not hits.any():
            return texts
        leads, widths, kinds = leads[hits], widths[hits], kinds[hits]
        data = texts.data.copy()
        dropped: list[npt.NDArray[np.int64]] = []
        replacements = [value.encode("ascii") for value in PUNCTUATION.values()]
        for kind in np.flatnonzero(np.bincount(kinds)).tolist():
            places, new = leads[kinds == kind], replacements[kind - 1]
            for step, byte in enumerate(new):  # never longer than what it replaces
                data[places + step] = byte
            dropped += [places + step for step in range(len(new), int(widths[kinds == kind][0]))]
        return drop(texts, np.sort(np.concatenate([np.zeros(0, np.int64), *dropped])), data)


def followers(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the positions of all bytes but the first of characters of up to three bytes, in no order."""
    return np.concatenate([starts[lengths > step] + step for step in (1, 2)])


@cache
def _blanks() -> Bytes:
    """1: trimmed at the ends; 2: becomes a space; 3: both."""
    codes = np.zeros(characters.CODE_POINTS, np.uint8)
    codes[list(characters.PYTHON_BLANKS)] |= 1
    codes[list(characters.members("whitespaces"))] |= 2
    return codes


@cache
def _blank_leads() -> bytes:
    return _leads(np.flatnonzero(_blanks()).tolist())


@cache
def _punctuation_leads() -> bytes:
    return _leads([ord(character) for character in PUNCTUATION])


def _leads(codes: Iterable[int]) -> bytes:
    """Return a byte table of the first bytes of these characters' encodings, those beyond ASCII."""
    firsts = {chr(code).encode("utf-8")[0] for code in codes}
    return bytes(byte >= 0x80 and byte in firsts for byte in range(256))


@cache
def _punctuation_kinds() -> Bytes:
    codes = np.zeros(characters.CODE_POINTS, np.uint8)
    for kind, character in enumerate(PUNCTUATION, start=1):
        codes[ord(character)] = kind
    return codes


_TAB_TO_SPACE = bytes.maketrans(b"\t", b" ")
