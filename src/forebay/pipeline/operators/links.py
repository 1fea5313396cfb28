"""Mappers that remove or replace what a pattern matches: links, e-mail addresses.

A link or an address holds no white space. So with the default patterns the words that can hold one are found by
numpy, from the few bytes that one must have (``://``, ``www``, ``@`` …), and the pattern runs on those words alone:
what stands around a word is white space or the row's end, which is all that the pattern could see of it.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.pipeline.operators.characters import expression
from forebay.pipeline.operators.rewriting import TextMapper
from forebay.pipeline.operators.splice import replace_rows, replace_spans
from forebay.pipeline.operators.texts import Texts

if TYPE_CHECKING:
    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Bytes

    Positions = npt.NDArray[np.int64]

_PART = r"(?:[^{space}()<>]|\((?:[^{space}()<>]|\([^{space}()<>]+\))*\))"
_ENDING = r"(?:\((?:[^{space}()<>]|\([^{space}()<>]+\))*\)|[^{space}`!()\[\]{{}};:'\".,<>?{quotes}])"
_SCHEME = r"[{letter}][{word}-]++:(?:/{{1,3}}|[{letter}0-9%])"
_HOST = r"[wW]{{3}}[{digit}]{{0,3}}[.]|[{letter}0-9.\-]+[.][{letter}]{{2,4}}/"
_LINK = rf"((?:{_SCHEME}|{_HOST}){_PART}+{_ENDING})"
"""A link: ``scheme:`` with one to three slashes or a letter, ``www.`` or ``host.tld/``, then anything but white space,
where round brackets must pair (two deep) and the last character is no closing punctuation. Each repetition can be taken
one way only, so that no text makes it backtrack without end."""

_LATIN = {"letter": "A-Za-z", "word": r"\w", "digit": "0-9", "space": r"\s", "quotes": ""}
_EMAIL = re.compile(rb"[A-Za-z0-9.\-+_]+@[a-z0-9.\-+_]+\.[a-z]+")

_BLANK = bytes(code in b"\t\n\v\f\r " for code in range(256))
_SCHEME_END = bytes(chr(code).isalnum() or code in b"_-" or code >= 0x80 for code in range(256))
_AFTER_COLON = bytes(chr(code).isalnum() or code in b"/%" or code >= 0x80 for code in range(256))
_HOST_END = bytes(chr(code).isalpha() or code >= 0x80 for code in range(256))
_BEFORE_AT = bytes((chr(code).isalnum() and code < 0x80) or code in b".-+_" for code in range(256))


@cache
def _ascii_link() -> re.Pattern[bytes]:
    return re.compile(rb"\b" + _LINK.format(**_LATIN).encode("ascii"), re.ASCII)


@cache
def _unicode_link() -> re.Pattern[str]:
    sets = {name: expression(name) for name in ("letter", "word", "digit", "space")}
    edge = r"(?:(?<![{word}])(?=[{word}])|(?<=[{word}])(?![{word}]))".format(**sets)
    return re.compile(edge + _LINK.format(**sets, quotes="«»“”‘’"))


@dataclass(frozen=True, kw_only=True)
class _PatternMapper(TextMapper):
    """Replaces what a pattern matches.

    With a pattern of the user's, every row is searched, by `regex` as in Data-Juicer; a dot matches any character.
    """

    pattern: str | None
    repl: str

    def rewrite(self, texts: Texts) -> Texts:
        """Replace what the default pattern matches, or the user's."""
        return self._by_default(texts) if self.pattern is None else self._by_pattern(texts)

    def _by_default(self, texts: Texts) -> Texts:
        data = texts.data
        starts, ends = words_around(texts, self.candidates(data))
        spans: list[tuple[int, int, bytes]] = []
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            word = data[start:end].tobytes()
            cleaned = self.clean(word)
            if cleaned != word:
                spans.append((start, end, cleaned))
        return replace_spans(texts, spans)

    def _by_pattern(self, texts: Texts) -> Texts:
        cleaned: dict[int, bytes] = {}
        for number, text in enumerate(texts.strings()):
            new = self._custom.sub(self.repl, text)
            if new != text:
                cleaned[number] = new.encode("utf-8")
        return replace_rows(texts, np.array(list(cleaned), np.int64), list(cleaned.values())) if cleaned else texts

    @cached_property
    def _custom(self) -> Any:
        import regex  # an optional dependency: the catalogue has seen to it that it is there

        return regex.compile(self.pattern or "", flags=regex.DOTALL)

    @cached_property
    def _replacement(self) -> bytes:
        return self.repl.encode("utf-8")

    @abstractmethod
    def candidates(self, data: Bytes) -> Positions:
        """Return the positions of bytes near which there may be a match of the default pattern."""

    @abstractmethod
    def clean(self, word: bytes) -> bytes:
        """Replace every match of the default pattern in one word."""


class CleanLinksMapper(_PatternMapper):
    """Removes or replaces links."""

    def candidates(self, data: Bytes) -> Positions:
        """Return where a scheme or a host may end, and where ``www`` stands."""
        colons = _between(data, np.flatnonzero(data == 0x3A), _SCHEME_END, _AFTER_COLON)
        slashes = _between(data, np.flatnonzero(data == 0x2F), _HOST_END, bytes([1]) * 256)
        double = (data[:-2] | 0x20) == 0x77
        double &= (data[1:-1] | 0x20) == 0x77
        double &= (data[2:] | 0x20) == 0x77
        return np.sort(np.concatenate([colons, slashes, np.flatnonzero(double)]))

    def clean(self, word: bytes) -> bytes:
        """Replace every link in one word."""
        if word.isascii():
            return _ascii_link().sub(self._replacement, word)
        return _unicode_link().sub(self.repl, word.decode("utf-8")).encode("utf-8")


class CleanEmailMapper(_PatternMapper):
    """Removes or replaces e-mail addresses."""

    def candidates(self, data: Bytes) -> Positions:
        """Return the signs that stand between a user and a host."""
        return _between(data, np.flatnonzero(data == 0x40), _BEFORE_AT, _BEFORE_AT)

    def clean(self, word: bytes) -> bytes:
        """Replace every address in one word."""
        return _EMAIL.sub(self._replacement, word)


def _between(data: Bytes, positions: Positions, before: bytes, after: bytes) -> Positions:
    """Keep the positions whose neighbours are in the given classes; the first and last byte have no two neighbours."""
    positions = positions[(positions > 0) & (positions < len(data) - 1)]
    fits = np.frombuffer(before, bool)[data[positions - 1]] & np.frombuffer(after, bool)[data[positions + 1]]
    return positions[fits]


def words_around(texts: Texts, positions: Positions) -> tuple[Positions, Positions]:
    """Return where the words around `positions` (ascending) begin and end, each once.

    A word ends at ASCII white space or the row's end. A position at white space has no word.
    """
    if positions.size == 0:
        return positions, positions
    blanks = np.flatnonzero(np.frombuffer(texts.data.tobytes().translate(_BLANK), bool))
    after = np.searchsorted(blanks, positions)
    row = np.searchsorted(texts.offsets, positions, side="right") - 1
    starts = np.maximum(np.append(blanks, -1)[after - 1] + 1, texts.offsets[row])
    starts[after == 0] = texts.offsets[row[after == 0]]
    ends = np.minimum(np.append(blanks, len(texts.data))[after], texts.offsets[row + 1])
    first = np.flatnonzero(np.diff(starts, prepend=-1))  # of equal ones, which follow each other
    starts, ends = starts[first], ends[first]
    return starts[ends > starts], ends[ends > starts]
