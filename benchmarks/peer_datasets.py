"""The benchmark recipe written against Hugging Face `datasets`, as its users write it: map, filter, to_json.

Three mappers and four filters with the definitions of the recipe's operators; the deduplicator has no counterpart in
`datasets`, so it is left out (in this tool's favour).

Usage: ``python benchmarks/peer_datasets.py CORPUS EXPORT --np 2``
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from typing import Any

import regex
from datasets import load_dataset

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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("export")
    parser.add_argument("--np", type=int, default=2)
    arguments = parser.parse_args()
    rows = load_dataset("json", data_files=arguments.corpus, split="train")
    for mapper in (normalise_whitespace, clean_links, clean_email):
        rows = rows.map(mapper, batched=True, num_proc=arguments.np)
    for keep in (right_length, enough_words, alphanumeric, little_repetition):
        rows = rows.filter(keep, batched=True, num_proc=arguments.np)
    rows.to_json(arguments.export, force_ascii=False, num_proc=arguments.np)
    print(f"{rows.num_rows} rows")


if __name__ == "__main__":
    main()
