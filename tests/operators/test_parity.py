"""The same results as py-data-juicer 1.6.1, from its recorded answers, and live where it is installed."""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ANSWERS = json.loads((HERE / "data_juicer.json").read_text("ascii"))


def _module(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"_parity_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


cases = _module(HERE / "parity_cases.py")
support = _module(HERE / "parity_support.py")
recorder = _module(ROOT / "scripts" / "record_data_juicer.py")
ROWS = support.table(cases.ROWS)


def _label(answer: dict[str, Any]) -> str:
    return answer["operator"] + "".join(f"-{key}={value}" for key, value in answer["params"].items())


def _of(group: list[Any]) -> list[dict[str, Any]]:
    names = {name for name, _ in group}
    return [answer for answer in ANSWERS["answers"] if answer["operator"] in names]


def test_answers_are_of_this_corpus_and_of_these_cases() -> None:
    assert ANSWERS["corpus"] == hashlib.sha256("\0".join(cases.TEXTS).encode("utf-8")).hexdigest()
    asked = [[name, params] for name, params in [*cases.MAPPERS, *cases.FILTERS, *cases.GLOBALS]]
    assert asked == [[answer["operator"], answer["params"]] for answer in ANSWERS["answers"]]
    assert ANSWERS["versions"]["py-data-juicer"] == "1.6.1"


@pytest.mark.parametrize("answer", _of(cases.MAPPERS), ids=_label)
def test_mapper_changes_the_same_rows_the_same_way(answer: dict[str, Any]) -> None:
    after = support.mapped(answer["operator"], answer["params"], ROWS)
    pairs = enumerate(zip(cases.TEXTS, after, strict=True))
    changed = {str(number): recorder.shorten(new) for number, (old, new) in pairs if old != new}
    assert changed == answer["changed"]
    assert changed or answer["params"].get("max_len", 0) > 10**9


@pytest.mark.parametrize("answer", _of(cases.FILTERS), ids=_label)
def test_filter_measures_and_keeps_the_same(answer: dict[str, Any]) -> None:
    stats, keep = support.filtered(answer["operator"], answer["params"], ROWS)
    assert stats == answer["stats"]  # floats too: bit for bit
    assert np.flatnonzero(keep).tolist() == answer["kept"]


@pytest.mark.parametrize("answer", _of(cases.GLOBALS), ids=_label)
def test_deduplicator_or_selector_keeps_the_same_rows(answer: dict[str, Any]) -> None:
    keep = support.selected(answer["operator"], answer["params"], support.shards(ROWS, [3, 3, 100]))
    assert np.flatnonzero(keep).tolist() == answer["kept"]


@pytest.mark.parametrize("answer", [a for a in ANSWERS["answers"] if "signatures" in a], ids=_label)
def test_minhash_signatures_are_the_same(answer: dict[str, Any]) -> None:
    hashes, bands = support.signatures(answer["params"], ROWS)
    assert list(bands) == answer["bands"]
    assert hashes == answer["signatures"]


def test_best_bands_are_the_same() -> None:
    from forebay.pipeline.operators.bands import best_bands

    for threshold, functions, *expected in ANSWERS["best_bands"]:
        assert [*best_bands(threshold, functions)] == expected, (threshold, functions)


@pytest.mark.skipif(find_spec("data_juicer") is None, reason="py-data-juicer is not installed")
def test_recorded_answers_are_still_given() -> None:
    answers = json.loads(json.dumps(recorder.record()))
    assert answers["answers"] == ANSWERS["answers"]
    assert answers["best_bands"] == ANSWERS["best_bands"]
