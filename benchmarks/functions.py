"""The recipe's mappers and filters as a user would write them in Python, batch by batch.

Hugging Face `datasets` runs them through `peer_datasets.py`, Forebay through `recipe_functions.yaml`.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import regex

Batch = dict[str, list[Any]]

SPACES = frozenset(
    " \t\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u00a0\u202f\u205f\u3000\u200b\u200c\u200d"
    "\u2060\ufffc\x84"
)
SPACE_TABLE = {ord(space): " " for space in SPACES}
LINK = regex.compile(r"(?i)\b(?:(?:https?|ftp)://|www\.)[^\s()<>]*[^\s`!()\[\]{};:'\".,<>?]")
EMAIL = regex.compile(r"[A-Za-z0-9.\-+_]+@[a-z0-9.\-+_]+\.[a-z]+")


def normalise_whitespace(batch: Batch) -> Batch:
    return {"text": [text.strip().translate(SPACE_TABLE) for text in batch["text"]]}


def clean_links(batch: Batch) -> Batch:
    return {"text": [LINK.sub("", text) for text in batch["text"]]}


def clean_email(batch: Batch) -> Batch:
    return {"text": [EMAIL.sub("", text) for text in batch["text"]]}


def right_length(batch: Batch) -> list[bool]:
    return [100 <= len(text) <= 12000 for text in batch["text"]]


def enough_words(batch: Batch) -> list[bool]:
    return [len(text.split()) >= 20 for text in batch["text"]]


def alphanumeric(batch: Batch) -> list[bool]:
    return [sum(map(str.isalnum, text)) >= 0.6 * len(text) for text in batch["text"]]


def repetition(text: str, length: int = 10) -> float:
    counts = sorted(Counter(text[at : at + length] for at in range(len(text) - length + 1)).values(), reverse=True)
    if not counts:
        return 0.0
    repeated = min(math.isqrt(len(counts)), len(counts) - counts.count(1))
    return sum(counts[:repeated]) / sum(counts)


def little_repetition(batch: Batch) -> list[bool]:
    return [repetition(text) <= 0.08 for text in batch["text"]]
