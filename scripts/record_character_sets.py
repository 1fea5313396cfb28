"""Write the sets of characters that the native operators share with Data-Juicer, as facts.

Run with an interpreter that has the reference installed (py-data-juicer, regex, emoji)::

    python scripts/record_character_sets.py src/forebay/pipeline/operators/character_sets.txt

One set a line: ``name: ranges``, ranges in hexadecimal, ``a-b`` inclusive, in ascending order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from itertools import groupby
from pathlib import Path


def ranges(codes: Iterable[int]) -> str:
    """Write ascending code points as inclusive hexadecimal ranges."""
    text: list[str] = []
    for _, run in groupby(enumerate(sorted(codes)), key=lambda pair: pair[1] - pair[0]):
        members = [code for _, code in run]
        text.append(f"{members[0]:x}" if len(members) == 1 else f"{members[0]:x}-{members[-1]:x}")
    return " ".join(text)


def matching(pattern: str) -> Callable[[int], bool]:
    import regex

    compiled = regex.compile(pattern)
    return lambda code: compiled.match(chr(code)) is not None


def main(target: Path) -> None:
    from data_juicer.ops.common.special_characters import SPECIAL_CHARACTERS, VARIOUS_WHITESPACES

    everything = [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    regex_version = version("regex")
    juicer = f"py-data-juicer {version('py-data-juicer')}"
    sets = {
        "special": (f"{juicer}, emoji {version('emoji')}", [ord(c) for c in SPECIAL_CHARACTERS if len(c) == 1]),
        "whitespaces": (juicer, [ord(c) for c in VARIOUS_WHITESPACES]),
        "word": (rf"\w of regex {regex_version}", filter(matching(r"\w"), everything)),
        "space": (rf"\s of regex {regex_version}", filter(matching(r"\s"), everything)),
        "digit": (rf"\d of regex {regex_version}", filter(matching(r"\d"), everything)),
        "letter": (rf"(?i)[a-z] of regex {regex_version}", filter(matching(r"(?i)[a-z]"), everything)),
        "punctuation": (rf"\p{{P}} of regex {regex_version}", filter(matching(r"\p{P}"), everything)),
    }
    lines = [f"# {origin}\n{name}: {ranges(codes)}\n" for name, (origin, codes) in sets.items()]
    target.write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
