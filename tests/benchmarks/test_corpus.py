"""The corpus: the same bytes everywhere; a smaller one begins a larger one; what the operators look for is in it."""

from __future__ import annotations

import hashlib
import itertools
import json
import re

import pytest

from benchmarks import corpus

SAMPLE = 1500


@pytest.fixture(scope="module")
def rows():
    return [json.loads(line) for line in corpus.lines(SAMPLE)]


def test_the_bytes_never_change():
    digest = hashlib.sha256(b"".join(corpus.lines(300))).hexdigest()
    assert digest == "92d4271566d70c6ad2913946191a095d867b1c590ae514f20881b4c5d1d820b6"


def test_splitmix64_gives_the_published_sequence():
    # The reference implementation's first outputs for the seed 1234567.
    state, found = 1234567, []
    for _ in range(3):
        found.append(corpus.mix(state))
        state = (state + 0x9E3779B97F4A7C15) % 2**64
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_the_array_form_draws_what_the_scalar_form_draws():
    seed = 99
    drawn = corpus.bits(seed, 5).tolist()
    state = corpus.mix(seed)
    assert drawn == [corpus.mix((state + turn * 0x9E3779B97F4A7C15) % 2**64) for turn in range(5)]


def test_a_smaller_corpus_begins_a_larger_one():
    assert list(corpus.lines(20)) == list(itertools.islice(corpus.lines(500), 20))


def test_seeds_differ():
    assert corpus.text(5, seed=1) != corpus.text(5, seed=2)


def test_a_tenth_are_exact_duplicates_of_earlier_documents(rows):
    texts = [row["text"] for row in rows]
    assert 0.07 < 1 - len(set(texts)) / len(texts) < 0.14


def test_ids_are_unique_and_in_order(rows):
    assert [row["id"] for row in rows] == [f"{number:08d}" for number in range(SAMPLE)]


@pytest.mark.parametrize(
    ("name", "found", "low", "high"),
    [
        ("links", lambda text: re.search(r"https?://|www\.", text), 0.08, 0.3),
        ("addresses", lambda text: "@" in text and re.search(r"\w@\w", text), 0.04, 0.2),
        ("odd white space", lambda text: re.search("[\u00a0\u3000\u2003\u202f]", text), 0.02, 0.12),
        ("short", lambda text: len(text) < 100, 0.02, 0.12),
        ("unbroken", lambda text: len(text.split()) == 1, 0.01, 0.06),
        ("long", lambda text: len(text) > 12000, 0.002, 0.03),
        ("symbols", lambda text: sum(map(str.isalnum, text)) < 0.6 * len(text), 0.01, 0.06),
        ("line breaks", lambda text: "\n" in text, 0.5, 0.9),
    ],
)
def test_each_filter_and_mapper_finds_something_but_not_much(rows, name, found, low, high):
    share = sum(bool(found(row["text"])) for row in rows) / len(rows)
    assert low < share < high, name


def test_writing_is_done_once(tmp_path):
    path = tmp_path / "corpus.jsonl"
    size = corpus.write(path, 30)
    before = path.stat()
    assert corpus.write(path, 30) == size
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    path.write_bytes(b"torn")
    assert corpus.write(path, 30) == size
    assert path.read_bytes() == b"".join(corpus.lines(30))
