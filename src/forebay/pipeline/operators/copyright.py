"""The mapper that removes comments about copyright at the head of source files."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from forebay.pipeline.operators.rewriting import TextMapper
from forebay.pipeline.operators.splice import replace_rows
from forebay.pipeline.operators.texts import Texts

_WORD = re.compile(rb"copyr(?:i|\xc4\xb0)ght", re.IGNORECASE)
"""The word in any case; the dotted capital I counts as an i, as it does to `regex`."""
_LINE_COMMENTS = (b"//", b"#", b"--")


@dataclass(frozen=True, kw_only=True)
class CleanCopyrightMapper(TextMapper):
    """Cuts the first ``/* … */`` comment if it speaks of copyright.

    From a text without such a comment it cuts the leading lines that are empty or begin with ``//``, ``#`` or ``--``.
    """

    def rewrite(self, texts: Texts) -> Texts:
        """See `TextMapper`."""
        data, offsets = texts.data, texts.offsets
        opens = np.flatnonzero((data[:-1] == 0x2F) & (data[1:] == 0x2A))
        heads = np.flatnonzero(np.diff(offsets))
        comment_like = np.isin(data[offsets[heads]], np.frombuffer(b"/#-\n", np.uint8))
        with_comment = np.searchsorted(offsets, opens, side="right") - 1
        cleaned: dict[int, bytes] = {}
        for number in np.union1d(heads[comment_like], with_comment).tolist():
            text = data[offsets[number] : offsets[number + 1]].tobytes()
            new = _clean(text)
            if new != text:
                cleaned[number] = new
        return replace_rows(texts, np.array(list(cleaned), np.int64), list(cleaned.values())) if cleaned else texts


def _clean(text: bytes) -> bytes:
    start = text.find(b"/*")
    end = text.find(b"*/", start + 2) if start >= 0 else -1
    if end >= 0:
        about = _WORD.search(text, start, end + 2)
        return text[:start] + text[end + 2 :] if about else text
    place = 0
    while place < len(text):
        line_end = text.find(b"\n", place)
        if line_end != place and not text.startswith(_LINE_COMMENTS, place):
            return text[place:]
        if line_end < 0:
            break
        place = line_end + 1
    return b""
