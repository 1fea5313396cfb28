"""Record what Data-Juicer's own operators answer, so that parity can be tested without it.

Run with an interpreter that has py-data-juicer 1.6.1, ftfy and scipy::

    python scripts/record_data_juicer.py tests/operators/data_juicer.json

The cases are in ``tests/operators/parity_cases.py``. A mapper's answer is the texts that changed, by row; a filter's,
its statistics and the rows it kept; a deduplicator's or selector's, the rows it kept, in dataset order.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

CASES = Path(__file__).parent.parent / "tests" / "operators" / "parity_cases.py"


def load_cases(path: Path = CASES) -> ModuleType:
    spec = spec_from_file_location("parity_cases", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(name: str, params: dict[str, Any]) -> Any:
    import data_juicer.ops  # noqa: F401 - registers every operator
    from data_juicer.ops.base_op import OPERATORS

    return OPERATORS.modules[name](**params)


def mapper(name: str, params: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    texts = [row["text"] for row in rows]
    after = make(name, params).process_batched({"text": list(texts)})["text"]
    pairs = enumerate(zip(texts, after, strict=True))
    return {"changed": {str(number): shorten(new) for number, (old, new) in pairs if old != new}}


def shorten(text: str) -> str:
    """Stand a digest in for a long text."""
    return text if len(text) <= 400 else "blake2b:" + hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()


def filtered(name: str, params: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    operator = make(name, params)
    if name in ("specified_field_filter", "suffix_filter"):
        samples = [operator.compute_stats_single({**row, "__dj__stats__": {}}) for row in rows]
        return {"stats": {}, "kept": [n for n, sample in enumerate(samples) if operator.process_single(sample)]}
    batch = {"text": [row["text"] for row in rows], "__dj__stats__": [{} for _ in rows]}
    stats = operator.compute_stats_batched(batch)["__dj__stats__"]
    kept = [number for number, keep in enumerate(operator.process_batched(batch)) if keep]
    return {"stats": {key: [row[key] for row in stats] for key in stats[0]}, "kept": kept}


def chosen(name: str, params: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    from data_juicer.core.data import NestedDataset

    operator = make(name, {**params, "num_proc": 1, "auto_op_parallelism": False})
    result = operator.run(NestedDataset.from_list([dict(row) for row in rows]))
    answer: dict[str, Any] = {"kept": sorted(result["id"])}
    if name == "document_minhash_deduplicator":
        hashed = [operator.compute_hash({"text": row["text"]})["__dj__minhash"] for row in rows]
        answer["signatures"] = [hashlib.sha256(b"".join(bands)).hexdigest()[:16] for bands in hashed]
        answer["bands"] = [operator.num_bands, operator.num_rows_per_band]
    return answer


def parameters(name: str) -> dict[str, Any]:
    """Return an operator's own parameters and their defaults."""
    import inspect

    import data_juicer.ops  # noqa: F401 - registers every operator
    from data_juicer.ops.base_op import OPERATORS

    listed = inspect.signature(OPERATORS.modules[name].__init__).parameters.values()
    return {p.name: p.default for p in listed if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"}


def record() -> dict[str, Any]:
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import optimal_param

    cases = load_cases()
    answers: list[dict[str, Any]] = []
    for group, ask in ((cases.MAPPERS, mapper), (cases.FILTERS, filtered), (cases.GLOBALS, chosen)):
        for name, params in group:
            answers.append({"operator": name, "params": params, **ask(name, params, cases.ROWS)})
    names = dict.fromkeys(answer["operator"] for answer in answers)
    texts = "\0".join(cases.TEXTS).encode("utf-8")
    return {
        "versions": {name: version(name) for name in ("py-data-juicer", "regex", "emoji", "ftfy", "numpy")},
        "python": sys.version.split()[0],
        "corpus": hashlib.sha256(texts).hexdigest(),
        "parameters": {name: parameters(name) for name in names},
        "answers": answers,
        "best_bands": [[*pair, *optimal_param(*pair)] for pair in cases.THRESHOLDS],
    }


def main(target: Path) -> None:
    answers = record()
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in answers.items() if key != "answers"]
    body = ",\n".join(json.dumps(answer) for answer in answers["answers"])
    target.write_text("{" + ",\n".join([*lines, f'"answers": [\n{body}\n]']) + "}\n", encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
