"""Arrow's functions without `pyarrow.compute`, whose import takes long."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest

from forebay.table import compute

RUN = """
import sys
from pathlib import Path
import forebay
folder = Path(sys.argv[1])
steps = ["whitespace_normalization_mapper", "clean_links_mapper", {"text_length_filter": {"max_len": 9000}},
         {"words_num_filter": {"min_num": 1}}, {"character_repetition_filter": {"max_ratio": 0.9}},
         "document_deduplicator", "document_minhash_deduplicator"]
import json
recipe = {"dataset_path": str(folder / "in.jsonl"), "export_path": str(folder / "out.jsonl"), "np": 1,
          "process": [step if isinstance(step, dict) else {step: None} for step in steps]}
(folder / "recipe.yaml").write_text(json.dumps(recipe))
report = forebay.run(folder / "recipe.yaml", store=forebay.open(home=folder / "store"))
assert report.rows_out, report
print(*[name for name in ("pyarrow.compute", "pandas") if name in sys.modules])
"""


def test_a_run_of_the_catalogues_operators_does_not_import_it(tmp_path: Path) -> None:
    once = 'One "text" at http://x.org/1 .'
    rows = [{"text": text, "n": 1, "f": 0.5, "none": None} for text in (once, "Zwei Texte,\nzwei Zeilen.", once, "3")]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = subprocess.run([sys.executable, "-c", RUN, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_functions() -> None:
    table = pa.table({"a": [1, None, 3]})
    assert compute.take(table, pa.array([2, 0])).to_pydict() == {"a": [3, 1]}
    assert compute.take(table.column("a"), pa.array([None, 2])).to_pylist() == [None, 3]
    assert compute.cast(pa.array([1, None]), pa.string()).to_pylist() == ["1", None]
    with pytest.raises(pa.ArrowInvalid):
        compute.cast(pa.array([1.5]), pa.int64())
    encoded = compute.encode(pa.array(["b", None, "a", "b"]))
    assert encoded.indices.to_pylist() == [0, 1, 2, 0]
    assert encoded.dictionary.to_pylist() == ["b", None, "a"]


def test_where_arrow_keeps_them_elsewhere_the_public_module_does(monkeypatch: pytest.MonkeyPatch) -> None:
    load = importlib.import_module

    def without(name: str) -> ModuleType:
        if name == "pyarrow._compute":
            raise ModuleNotFoundError(name)
        return load(name)

    try:
        with monkeypatch.context() as patched:
            patched.setattr(importlib, "import_module", without)
            importlib.reload(compute)
        assert compute.cast(pa.array([1]), pa.string()).to_pylist() == ["1"]
        assert compute._arrow.__name__ == "pyarrow.compute"
    finally:
        importlib.reload(compute)
