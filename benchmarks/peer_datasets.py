"""The benchmark's functions run by Hugging Face `datasets`, as its users write it: map, filter, to_json.

The deduplicator of the recipe has no counterpart in `datasets`, so it is left out.

Usage: ``python -m benchmarks.peer_datasets CORPUS EXPORT --np 2``
"""

from __future__ import annotations

import argparse

from datasets import load_dataset

from benchmarks import functions

MAPPERS = (functions.normalise_whitespace, functions.clean_links, functions.clean_email)
FILTERS = (functions.right_length, functions.enough_words, functions.alphanumeric, functions.little_repetition)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("export")
    parser.add_argument("--np", type=int, default=2)
    arguments = parser.parse_args()
    rows = load_dataset("json", data_files=arguments.corpus, split="train")
    for mapper in MAPPERS:
        rows = rows.map(mapper, batched=True, num_proc=arguments.np)
    for keep in FILTERS:
        rows = rows.filter(keep, batched=True, num_proc=arguments.np)
    rows.to_json(arguments.export, force_ascii=False, num_proc=arguments.np)
    print(f"{rows.num_rows} rows")


if __name__ == "__main__":
    main()
