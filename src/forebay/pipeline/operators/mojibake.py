"""ftfy, line by line, with a way around it for lines that are not mojibake.

For a line in which ftfy sees no mojibake it replaces single characters (quotes, ligatures, wide forms, control
characters), normalises, and starts again until nothing changes. That much is done here, and ftfy asked only:

- where a character stands that its test for mojibake knows: the test is a regular expression without repetition,
  each alternative of at most six characters and with at least one beyond ASCII, so looking around these finds the same;
- to mend the line as a whole, where the test says so, or where the line holds what is no matter of single characters:
  HTML entities, terminal escapes, CR.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import ftfy
from ftfy import badness, chardata, fixes

_KNOWN = ("6.2", "6.3")
"""Versions of ftfy whose test for mojibake and whose fixes are as told above; any other mends every line itself."""
_REACH = 8
"""Characters around a suspect within which a match of the test that holds it must lie."""
_WHOLE = re.compile("[\r\x1b]")


@dataclass(frozen=True)
class LineFixer:
    """Mends lines as `ftfy.fix_text` mends a text.

    Attributes:
        normalization: NFC, NFKC, NFD or NFKD.
    """

    normalization: Literal["NFC", "NFKC", "NFD", "NFKD"]

    def fix(self, line: str, *, tagged: bool) -> str:
        """Mend one line.

        Args:
            line: up to and with its newline.
            tagged: whether a ``<`` stands in the same text before this line: then entities are left.
        """
        config = ftfy.TextFixerConfig(normalization=self.normalization, explain=False)
        if not ftfy.__version__.startswith(_KNOWN) or len(line) > config.max_decode_length:
            return ftfy.fix_text(line, config._replace(unescape_html=False) if tagged else config)
        entities = not tagged and "<" not in line
        text = line
        while not (_WHOLE.search(text) or (entities and "&" in text) or self._is_bad(text)):
            mended = unicodedata.normalize(self.normalization, self._single.sub(self._replace, text))
            if mended == text:
                return text
            text = mended
        return ftfy.fix_and_explain(text, config._replace(unescape_html=entities)).text

    def _is_bad(self, text: str) -> bool:
        search, done = badness.BADNESS_RE.search, 0
        for suspect in self._suspects.finditer(text):
            first, last = max(suspect.start() - _REACH, done, 0), suspect.end() + _REACH
            if search(text, first, last) is not None:
                return True
            done = suspect.start()
        return False

    @cached_property
    def _suspects(self) -> re.Pattern[str]:
        """Characters beyond ASCII that the test for mojibake names, by themselves or as ranges."""
        named = re.findall(r"[^\x00-\x7f](?:-[^\x00-\x7f])?", badness.BADNESS_RE.pattern)
        return re.compile(f"[{''.join(named)}]+")

    @cached_property
    def _replacements(self) -> dict[str, str]:
        """What becomes of each character that ftfy replaces by itself."""
        everything = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))
        quotes = chardata.SINGLE_QUOTE_RE.findall(everything) + chardata.DOUBLE_QUOTE_RE.findall(everything)
        tables = (chardata.LIGATURES, chardata.WIDTH_MAP, chardata.CONTROL_CHARS)
        characters = {chr(code) for table in tables for code in table} | set("\u2028\u2029")
        characters.update("".join(quotes))
        return {character: _mended(character) for character in characters if _mended(character) != character}

    @cached_property
    def _single(self) -> re.Pattern[str]:
        return re.compile(f"[{''.join(map(re.escape, self._replacements))}]")

    def _replace(self, match: re.Match[str]) -> str:
        return self._replacements[match[0]]


def _mended(character: str) -> str:
    for fix in (
        fixes.fix_latin_ligatures,
        fixes.fix_character_width,
        fixes.uncurl_quotes,
        fixes.fix_line_breaks,
        fixes.remove_control_chars,
    ):
        character = fix(character)
    return character
