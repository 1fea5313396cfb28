"""The benchmark corpus: JSONL of synthetic documents, the same bytes on every machine.

Document `i` of a seed is a pure function of (seed, i): a corpus of 60,000 documents is the beginning of one of
600,000. Everything random comes from splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014) in integer arithmetic, so neither numpy's generators nor libm's rounding can change a byte.

A row::

    {"id": "00000007", "text": "…", "meta": {"source": "forum", "lang": "en", "quality": 0.731,
     "tags": ["kora", "tesi"], "crawl": {"date": "2026-03-12", "host": "mora.example.org", "status": 200}}}

What is in it, in hundredths of the documents: 10 exact duplicates and 3 near duplicates of earlier ones; of the rest
20 with links, 10 with addresses, 6 with odd white space, 6 too short, 1 too long, 3 of one unbroken blob, 3 of symbols,
3 of repeated sentences, 1 in another script. Word frequencies follow Zipf's law; lengths are skewed as on the web.

Usage: ``python benchmarks/corpus.py OUT.jsonl --documents 60000``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

DOCUMENTS = 60_000
SEED = 7
VOCABULARY = 50_000

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_CONSONANTS = ("b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "st", "tr", "ch")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
_ACCENTED = ("é", "ü", "ñ", "ø", "ç")
_ODD_SPACES = ("\u00a0", "\u3000", "\t", "\u2003", "\u202f", "\r\n", "  ")
_SYMBOLS = "|+-=*/#<>[]{}~^%$@!?;:_&"
_BLOB = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_SOURCES = ("forum", "news", "wiki", "code", "book", "mail")

# Weight in hundredths, fewest and most words: skewed like web pages, mean about 210 words.
_LENGTHS = ((6, 4, 12), (31, 40, 120), (43, 120, 280), (16, 280, 560), (3, 560, 1100), (1, 2200, 4400))
# What a line of text may end a word with, and how often in 64: plain, comma, full stop, full stop and a new paragraph.
_ENDINGS = (" ", ", ", ". ", ".\n")

Words = npt.NDArray[np.object_]
Bits = npt.NDArray[np.uint64]


def mix(value: int) -> int:
    """Return splitmix64's output for one 64-bit state."""
    value = (value + _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def bits(seed: int, count: int) -> Bits:
    """Return `count` 64-bit random numbers that depend on `seed` alone."""
    with np.errstate(over="ignore"):
        state = np.uint64(mix(seed)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))


class Dice:
    """Small random choices for one document, drawn in order."""

    def __init__(self, seed: int) -> None:
        self.seed = mix(seed)
        self._drawn = 0

    def below(self, bound: int) -> int:
        """Return a whole number in [0, bound)."""
        self._drawn += 1
        return mix(self.seed + self._drawn) % bound

    def between(self, low: int, high: int) -> int:
        """Return a whole number in [low, high)."""
        return low + self.below(high - low)

    def pick(self, choices: tuple[str, ...] | str) -> str:
        """Return one of the choices."""
        return choices[self.below(len(choices))]


@cache
def vocabulary() -> tuple[str, ...]:
    """Return the words, most frequent first, all different."""
    words: dict[str, None] = {}
    dice = Dice(0xF0BEBA)
    while len(words) < VOCABULARY:
        rank = len(words)
        syllables = 1 if rank < 120 else 2 if rank < 4000 else 3
        word = "".join(dice.pick(_CONSONANTS) + dice.pick(_VOWELS) for _ in range(syllables))
        if dice.below(3) == 0:
            word += dice.pick("nrstl")
        if rank > 500 and dice.below(40) == 0:
            word += dice.pick(_ACCENTED)
        words[word] = None
    return tuple(words)


@cache
def _forms() -> Words:
    """Every word in every form: [ending, capital or not, rank], flattened in that order."""
    plain = vocabulary()
    capital = tuple(word.capitalize() for word in plain)
    return np.array([word + ending for ending in _ENDINGS for case in (plain, capital) for word in case], dtype=object)


@cache
def _cumulative() -> npt.NDArray[np.uint64]:
    """Zipf's law in whole numbers: the weight of rank r is 10^9 / (r + 3)."""
    return np.cumsum([10**9 // (rank + 3) for rank in range(VOCABULARY)]).astype(np.uint64)


def prose(seed: int, words: int) -> str:
    """Return running text of this many words: sentences, commas, paragraphs."""
    random = bits(seed, words)
    table = _cumulative()
    ranks = np.searchsorted(table, (random >> np.uint64(8)) % table[-1], side="right")
    dots = random & np.uint64(63)
    ending = np.where(dots < 4, 2, np.where(dots < 5, 3, np.where(dots < 9, 1, 0)))
    ending[-1] = 2
    capital = np.empty(words, dtype=np.int64)
    capital[0] = 1
    capital[1:] = ending[:-1] >= 2
    return "".join(_forms()[(ending * 2 + capital) * VOCABULARY + ranks].tolist()).rstrip(" ")


def _length(dice: Dice) -> int:
    roll = dice.below(100)
    for weight, low, high in _LENGTHS:
        if roll < weight:
            return dice.between(low, high)
        roll -= weight
    raise AssertionError("the weights of _LENGTHS do not add up to 100")


def _insert(text: str, piece: str, dice: Dice) -> str:
    """Put a piece between two words, somewhere."""
    at = text.find(" ", dice.below(len(text)))
    return f"{text} {piece}" if at < 0 else f"{text[:at]} {piece}{text[at:]}"


def _link(dice: Dice) -> str:
    words = vocabulary()
    scheme = dice.pick(("https://", "http://", "https://www.", "www."))
    path = "/".join(words[dice.below(4000)] for _ in range(dice.between(1, 4)))
    return f"{scheme}{words[dice.below(9000)]}.example.org/{path}?page={dice.below(500)}"


def _address(dice: Dice) -> str:
    words = vocabulary()
    return f"{words[dice.below(3000)]}.{words[dice.below(3000)]}@{words[dice.below(900)]}.example.com"


def _blob(dice: Dice) -> str:
    """One unbroken line, as in data URLs and minified code."""
    random = bits(dice.seed ^ 0xB10B, dice.between(400, 3000))
    return "".join(_BLOB[int(number)] for number in random % np.uint64(len(_BLOB)))


def _symbols(dice: Dice) -> str:
    """A drawn table: mostly not letters."""
    rows = dice.between(8, 40)
    random = bits(dice.seed ^ 0x5E5, rows * 40)
    drawn = "".join(_SYMBOLS[int(number)] for number in random % np.uint64(len(_SYMBOLS)))
    return "\n".join(f"| {drawn[at : at + 40]} | {vocabulary()[dice.below(900)]} |" for at in range(0, rows * 40, 40))


def _repeated(dice: Dice) -> str:
    sentence = prose(dice.seed ^ 0x9E, dice.between(6, 14)).replace("\n", " ")
    return " ".join([sentence] * dice.between(12, 50))


def _other_script(dice: Dice) -> str:
    base, size, space = ((0x4E00, 2500, ""), (0x0430, 32, " "), (0x03B1, 25, " "))[dice.below(3)]
    random = bits(dice.seed ^ 0x5C, dice.between(60, 240))
    words = ["".join(chr(base + int(number >> shift) % size) for shift in (0, 12, 24)) for number in map(int, random)]
    return (space or "。").join(words)


def _spaced_oddly(text: str, dice: Dice) -> str:
    for _ in range(dice.between(2, 8)):
        text = _insert(text, dice.pick(_ODD_SPACES), dice)
    return dice.pick(("", "\n\n", " \t")) + text + dice.pick(("  \n", "\u00a0", ""))


def _fresh(number: int, seed: int) -> str:
    """The text of a document that duplicates no other."""
    dice = Dice(mix(seed) ^ (number * 0xD1B54A32D192ED03 & _MASK))
    kind = dice.below(100)
    for limit, make in ((3, _blob), (6, _symbols), (9, _repeated), (10, _other_script)):
        if kind < limit:
            return make(dice)
    text = prose(dice.seed, _length(dice))
    trait = dice.below(100)
    if trait < 20:
        for _ in range(dice.between(1, 4)):
            text = _insert(text, _link(dice), dice)
    if 15 <= trait < 25:
        text = _insert(text, _address(dice), dice)
    if 25 <= trait < 31:
        text = _spaced_oddly(text, dice)
    return text


def text(number: int, seed: int = SEED) -> str:
    """Return the text of document `number`."""
    dice = Dice(mix(seed ^ 0xDD) ^ number)
    roll = dice.below(100)
    if number == 0 or roll >= 13:
        return _fresh(number, seed)
    earlier = text(dice.below(number), seed)
    if roll < 10:
        return earlier
    # A near duplicate: one word replaced, or the same words with other white space at the end.
    if dice.below(2) == 0:
        return earlier + dice.pick(("\n", "  ", "\n\n"))
    return _insert(earlier, vocabulary()[dice.below(900)], dice)


def row(number: int, seed: int = SEED) -> dict[str, object]:
    """Return document `number` as a row."""
    dice = Dice(mix(seed ^ 0x3E7A) ^ number)
    words = vocabulary()
    return {
        "id": f"{number:08d}",
        "text": text(number, seed),
        "meta": {
            "source": dice.pick(_SOURCES),
            "lang": "en",
            "quality": dice.below(1000) / 1000,
            "tags": [words[200 + dice.below(800)] for _ in range(dice.between(1, 4))],
            "crawl": {
                "date": f"2026-{dice.between(1, 13):02d}-{dice.between(1, 29):02d}",
                "host": f"{words[dice.below(5000)]}.example.org",
                "status": 200 if dice.below(50) else None,
            },
        },
    }


def lines(documents: int, seed: int = SEED) -> Iterator[bytes]:
    """Yield the corpus line by line, each with its newline."""
    for number in range(documents):
        yield json.dumps(row(number, seed), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def write(path: Path, documents: int, seed: int = SEED) -> int:
    """Write the corpus unless a finished one is there; return its size in bytes."""
    done = path.with_name(f"{path.name}.{documents}-{seed}.done")
    if not (done.exists() and path.exists() and done.read_text() == str(path.stat().st_size)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.writelines(lines(documents, seed))
        done.write_text(str(path.stat().st_size))
    return path.stat().st_size


def main() -> None:
    """Write a corpus from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    size = write(arguments.out, arguments.documents, arguments.seed)
    print(f"{arguments.out}: {arguments.documents} documents, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
