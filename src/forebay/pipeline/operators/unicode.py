"""The mapper that mends mojibake, by ftfy.

ftfy takes a text line by line, and leaves a line of plain ASCII as it is unless it holds a control character, an HTML
entity or a CR. So only the other lines are given to it. What carries over from one line to the next is whether a ``<``
was seen: from then on it takes ``&amp;`` and its like for HTML and leaves them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from forebay.pipeline.operators.rewriting import TextMapper
from forebay.pipeline.operators.splice import replace_spans
from forebay.pipeline.operators.texts import Texts

if TYPE_CHECKING:
    from forebay.pipeline.operators.mojibake import LineFixer
    from forebay.pipeline.operators.texts import Offsets

_PLAIN = bytes((0x20 <= code < 0x7F and code != 0x26) or code in b"\t\n" for code in range(256))
"""Bytes that ftfy leaves as they are: printable ASCII but ``&``, tab, newline."""


@dataclass(frozen=True, kw_only=True)
class FixUnicodeMapper(TextMapper):
    """Mends mojibake and brings text into one Unicode normal form, as `ftfy.fix_text` does."""

    normalization: Literal["NFC", "NFKC", "NFD", "NFKD"]

    @cached_property
    def _fixer(self) -> LineFixer:
        from forebay.pipeline.operators.mojibake import LineFixer  # imports ftfy, which is optional

        return LineFixer(self.normalization)

    def rewrite(self, texts: Texts) -> Texts:
        """See `TextMapper`."""
        odd = np.flatnonzero(~np.frombuffer(texts.data.tobytes().translate(_PLAIN), bool))
        if odd.size == 0:
            return texts
        newlines = np.flatnonzero(texts.data == 0x0A)
        row = np.searchsorted(texts.offsets, odd, side="right") - 1
        after = np.searchsorted(newlines, odd)
        starts = np.maximum(np.where(after > 0, np.append(newlines, -1)[after - 1] + 1, 0), texts.offsets[row])
        ends = np.minimum(np.append(newlines, len(texts.data) - 1)[after] + 1, texts.offsets[row + 1])
        first = np.flatnonzero(np.diff(starts, prepend=-1))  # of equal ones, which follow each other
        starts, ends, row = starts[first], ends[first], row[first]
        tag = _first_tags(texts)[row]
        spans: list[tuple[int, int, bytes]] = []
        for start, end, tagged in zip(starts.tolist(), ends.tolist(), (tag < starts).tolist(), strict=True):
            line = texts.data[start:end].tobytes()
            fixed = self._fixer.fix(line.decode("utf-8"), tagged=tagged).encode("utf-8")
            if fixed != line:
                spans.append((start, end, fixed))
        return replace_spans(texts, spans)


def _first_tags(texts: Texts) -> Offsets:
    """Return for each row where the first ``<`` from its beginning on stands, or beyond all bytes."""
    tags = np.append(np.flatnonzero(texts.data == 0x3C), len(texts.data))
    return tags[np.searchsorted(tags, texts.offsets[:-1])]
