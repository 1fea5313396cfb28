"""No operator's code or results change without its version being raised, or its record being renewed, on purpose."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent


def _recorder() -> ModuleType:
    spec = spec_from_file_location("_record_versions", HERE.parent.parent / "scripts" / "record_operator_versions.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


recorder = _recorder()
RECORD = json.loads((HERE / "versions.json").read_text("ascii"))
FACTS = recorder.facts()


def test_results_are_those_of_the_recorded_versions() -> None:
    assert recorder.stale(RECORD, FACTS) == [], "raise these operators' versions in listing.py, then renew the record"


def test_record_fits_the_code() -> None:
    assert FACTS == RECORD, "run scripts/record_operator_versions.py: an operator's code changed"


def test_other_results_under_the_same_version_are_refused() -> None:
    name = "text_length_filter"
    other = {name: {**FACTS[name], "outputs": "else"}}
    assert recorder.stale(RECORD, other) == [name]
    raised = {name: {**other[name], "version": FACTS[name]["version"] + 1}}
    assert recorder.stale(RECORD, raised) == []


def test_a_helper_counts_as_source() -> None:
    reached = set(recorder.modules(f"{recorder.HOME}.minhash", set()))
    assert {f"{recorder.HOME}.{name}" for name in ("bands", "sha1", "shingles", "texts", "casing")} <= reached
