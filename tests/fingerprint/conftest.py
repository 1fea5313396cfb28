"""Source text as modules."""

from __future__ import annotations

import importlib
import sys
import textwrap

import pytest


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write source text as a module and import it; the same name again is another version of it."""
    versions = []
    before = set(sys.modules)

    def load(source, name="ops", **others):
        folder = tmp_path / f"version{len(versions)}"
        versions.append(folder)
        folder.mkdir()
        for module, text in {name: source, **others}.items():
            (folder / f"{module}.py").write_text(textwrap.dedent(text), "utf-8")
            sys.modules.pop(module, None)
        monkeypatch.syspath_prepend(str(folder))
        return importlib.import_module(name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield load
    for name in set(sys.modules) - before:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
