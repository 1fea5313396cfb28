"""Installed code: by distribution, version and what is really in its files."""

from __future__ import annotations

import base64
import hashlib
import os
import sys

import pytest

from forebay.fingerprint import origins

CODE = {"pkg/__init__.py": "", "pkg/core.py": "def go(x): return x + 1\n", "pkg/data.json": "{}"}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    for name in ("_by_file", "_packages", "_distributions"):
        monkeypatch.setattr(origins, name, {})


def line(path, content):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}"


def install(root, files=CODE, *, name="pkg", version="1.0", extra=(), record=True, at=1_000_000_000):
    """Write what pip would: the files, and a dist-info whose RECORD is written last."""
    site = root / "lib" / "site-packages"
    for path, content in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(content)
        os.utime(site / path, (at, at))
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    if record:
        (info / "RECORD").write_text("\n".join([*(line(*item) for item in files.items()), *extra]) + "\n")
        os.utime(info / "RECORD", (at, at))
    return site


def origin(site, path="pkg/core.py"):
    for known in (origins._by_file, origins._packages, origins._distributions):
        known.clear()
    return origins.origin_of_file(str(site / path))


def test_version_and_files_make_the_content(tmp_path):
    base = origin(install(tmp_path / "a"))
    assert (base.kind, base.detail) == ("package", "pkg 1.0")
    assert origin(install(tmp_path / "b")) == base
    assert origin(install(tmp_path / "c", version="1.1")).content != base.content
    changed = CODE | {"pkg/core.py": "def go(x): return x + 2\n"}
    assert origin(install(tmp_path / "d", changed)).content != base.content
    assert origin(install(tmp_path / "e", CODE | {"pkg/data.json": "[]"})).content != base.content


def test_what_the_machine_or_installer_adds_does_not_count(tmp_path):
    base = origin(install(tmp_path / "a"))
    extra = [
        "../../bin/tool,sha256=abc,1",
        "pkg/__pycache__/core.cpython-311.pyc,,",
        "pkg-1.0.dist-info/INSTALLER,,",
        "/abs/x,,",
    ]
    assert origin(install(tmp_path / "b", extra=extra)) == base


def test_a_file_edited_in_place_counts_and_a_touched_one_does_not(tmp_path):
    site = install(tmp_path)
    base = origin(site)
    os.utime(site / "pkg/core.py", (2_000_000_000, 2_000_000_000))
    assert origin(site) == base
    (site / "pkg/core.py").write_text("def go(x): return x + 3\n")  # the same size
    edited = origin(site)
    assert edited.content != base.content
    (site / "pkg/core.py").write_text("def go(x): return x + 1\n")
    assert origin(site) == base
    (site / "pkg/core.py").unlink()
    assert origin(site, "pkg/__init__.py").content not in (base.content, edited.content)


def test_a_file_put_into_a_package_counts_by_its_content(tmp_path):
    site = install(tmp_path)
    base = origin(site)
    (site / "pkg/mine.py").write_text("K = 1\n")
    mine = origin(site, "pkg/mine.py")
    assert mine.content != base.content
    (site / "pkg/mine.py").write_text("K = 2\n")
    assert origin(site, "pkg/mine.py").content != mine.content
    assert origin(site) == base


def test_distribution_with_another_name(tmp_path):
    site = install(tmp_path, name="Some_Other.Name", version="3.2")
    assert origin(site).detail == "some-other-name 3.2"


def test_namespace_package_of_two_distributions(tmp_path):
    site = install(tmp_path, {"space/one/a.py": "a = 1\n"}, name="space_one", version="1")
    install(tmp_path, {"space/two/b.py": "b = 1\n"}, name="space_two", version="2")
    assert origin(site, "space/one/a.py").detail == "space-one 1"
    assert origin(site, "space/two/b.py").detail == "space-two 2"


@pytest.mark.parametrize("files", [CODE, {"single.py": "K = 1\n"}])
def test_no_record_and_no_distribution_at_all(tmp_path, files):
    path = list(files)[-2 if len(files) > 1 else -1]
    bare = install(tmp_path / "a", files, record=False)
    first = origin(bare, path)
    assert origin(install(tmp_path / "b", files, record=False), path) == first
    (bare / path).write_text("def go(x): return x + 9\n")
    assert origin(bare, path).content != first.content
    stray = install(tmp_path / "c", files)
    next(stray.glob("*.dist-info/RECORD")).unlink()
    next(stray.glob("*.dist-info")).rmdir()
    alone = origin(stray, path)
    assert alone.kind == "package"
    (stray / path).write_text("def go(x): return x + 9\n")
    assert origin(stray, path).content != alone.content


def test_user_and_standard_library(tmp_path):
    assert origins.origin_of_file(str(tmp_path / "ops.py")).is_user
    assert origins.origin_of_file(os.__file__) == origins.STDLIB
    assert origins.origin_of_module("__main__").is_user
    for name in ("sys", "builtins", "_frozen_importlib", "json.decoder", "tomllib", "colorsys"):
        assert origins.origin_of_module(name) == origins.STDLIB, name
    assert origins.origin_of_module("not_there_at_all.sub").is_user
    assert origins.origin_of_module("numpy.random").detail.startswith("numpy ")
    assert origins.origin_of_module("yaml").detail.startswith("pyyaml ")


def test_looking_at_a_module_does_not_import_it():
    for name in ("polars", "colorsys"):
        if name not in sys.modules:
            origins.origin_of_module(f"{name}.sub")
            assert name not in sys.modules


def test_editable_installs_are_the_users_code(tmp_path):
    install(tmp_path, {"__editable__.pkg.pth": str(tmp_path / "src")}, extra=["pkg-1.0.dist-info/direct_url.json,,"])
    source = tmp_path / "src" / "pkg" / "core.py"
    assert origins.origin_of_file(str(source)).is_user
