"""Record, for each native operator, its version, a fingerprint of its source and a digest of what it gives.

``tests/operators/test_versions.py`` fails while `tests/operators/versions.json` does not fit the code. Then either the
results changed: raise the operator's version in `listing.py`, so that nobody is served an old result; or only the code
did. In both cases renew the record::

    python scripts/record_operator_versions.py

It refuses to record other results under a version that has been recorded.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from forebay.pipeline import catalog
from forebay.pipeline.operator import OperatorKind

ROOT = Path(__file__).parent.parent
HOME = "forebay.pipeline.operators"
RECORD = ROOT / "tests" / "operators" / "versions.json"


def load(name: str) -> ModuleType:
    spec = spec_from_file_location(f"_versions_{name}", ROOT / "tests" / "operators" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def modules(name: str, seen: set[str]) -> Iterator[str]:
    """Yield a module of the operators and all of their modules that it needs, each once."""
    if name in seen:
        return
    seen.add(name)
    yield name
    for node in ast.walk(ast.parse(source(name))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(HOME):
            inner = [node.module or ""] if node.module != HOME else [f"{HOME}.{alias.name}" for alias in node.names]
            for module in inner:
                yield from modules(module, seen)


def source(module: str) -> str:
    return (ROOT / "src" / Path(*module.split("."))).with_suffix(".py").read_text("utf-8")


def fingerprint(target: str) -> str:
    """Digest the syntax, without comments, docstrings and layout, of an operator's module and of those it needs."""
    digest = hashlib.blake2b(digest_size=12)
    for module in sorted(modules(target.partition(":")[0], set())):
        tree = ast.parse(source(module))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]  # type: ignore[attr-defined]
        digest.update(f"{module}\0{_dump(tree)}\0".encode())
    digest.update((ROOT / "src" / Path(*HOME.split(".")) / "character_sets.txt").read_bytes())
    return digest.hexdigest()


def _dump(part: object) -> str:
    """Return a syntax tree as text that is the same for every version of Python, unlike `ast.dump`: nothing empty."""
    if isinstance(part, ast.AST):
        fields = ((name, getattr(part, name, None)) for name in part._fields)
        kept = [f"{name}={_dump(value)}" for name, value in fields if value is not None and value != []]
        return f"{type(part).__name__}({','.join(kept)})"
    return f"[{','.join(map(_dump, part))}]" if isinstance(part, list) else ascii(part)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def outputs(name: str, cases: ModuleType, support: ModuleType) -> str:
    """Digest what an operator gives on the golden corpus, over all cases."""
    digest = hashlib.blake2b(digest_size=12)
    rows = support.table(cases.ROWS)
    for case, params in [*cases.MAPPERS, *cases.FILTERS, *cases.GLOBALS]:
        if case != name:
            continue
        kind = catalog.find(name).kind
        answer: Any
        if kind is OperatorKind.MAPPER:
            answer = support.mapped(name, params, rows)
        elif kind is OperatorKind.FILTER:
            stats, keep = support.filtered(name, params, rows)
            answer = [stats, np.flatnonzero(keep).tolist()]
        else:
            answer = np.flatnonzero(support.selected(name, params, support.shards(rows, [40, 90]))).tolist()
            answer = [answer, support.signatures(params, rows)] if "minhash" in name else answer
        digest.update(json.dumps([params, answer], sort_keys=True).encode())
    return digest.hexdigest()


def facts() -> dict[str, dict[str, Any]]:
    """Return version, source and outputs of every native operator."""
    cases, support = load("parity_cases"), load("parity_support")
    return {
        name: {
            "version": catalog.find(name).version,
            "source": fingerprint(catalog.find(name).target),
            "outputs": outputs(name, cases, support),
        }
        for name in catalog.names()
    }


def stale(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> list[str]:
    """Return the operators that give other results under a version that has been recorded."""
    return [
        name
        for name, fact in new.items()
        if name in old and old[name]["version"] >= fact["version"] and old[name]["outputs"] != fact["outputs"]
    ]


def main() -> None:
    old = json.loads(RECORD.read_text("ascii")) if RECORD.exists() else {}
    new = facts()
    if changed := stale(old, new):
        sys.exit(f"results changed, so raise the version in listing.py first: {', '.join(changed)}")
    RECORD.write_text(json.dumps(new, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
