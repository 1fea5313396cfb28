"""`make bench` as a whole: every section runs, one that fails or is skipped is told and costs no other its figures."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.bench import Bench, Options, Skipped
from benchmarks.folders import drop, fresh, put_aside
from benchmarks.kept import Kept

from benchmarks import report, run

ROOT = Path(__file__).parents[2]
CLIENTS = os.environ.get("FOREBAY_CLIENT_ENVS")  # read before the tests' own clean-up
NEEDS_CLIENTS = {"hub", "lm_eval", "evalscope"}
MACHINE = {
    "cpu": "one", "cores": 1, "memory_gib": 1, "file_system": "ext4", "kernel": "6", "python": "3", "versions": {},
}  # fmt: skip


def bench(tmp_path, *arguments, clients):
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}", "FOREBAY_CLIENT_ENVS": clients}
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--no-peers", "--work", tmp_path, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout, Kept(tmp_path / "quick" / "sections")


@pytest.mark.slow
def test_every_section_runs_or_says_why_not(tmp_path):
    page, kept = bench(tmp_path, clients=str(tmp_path / "none"))
    assert kept.taken().keys() == run.SECTIONS.keys() - NEEDS_CLIENTS
    assert {name: told["what"] for name, told in kept.troubles().items()} == dict.fromkeys(NEEDS_CLIENTS, "skipped")
    promised = page[page.index("## Promises") : page.index("## Side by side")]
    for what in ("warm rerun", "caching costs", "mirror, 20 MB, warm", "bundle create, text", "delta", "store hit"):
        assert what in promised
    assert "make test-clients CLIENTS=evalscope" in page
    assert not (tmp_path / "quick" / "scratch").exists()
    assert not list(tmp_path.rglob(".aside"))


@pytest.mark.clients
@pytest.mark.slow
@pytest.mark.parametrize("section", sorted(NEEDS_CLIENTS))
def test_sections_with_real_clients(section, tmp_path):
    if CLIENTS is None:
        pytest.skip("FOREBAY_CLIENT_ENVS names no environments (make test-clients)")
    page, kept = bench(tmp_path, "--only", section, clients=CLIENTS)
    if section in kept.troubles():
        pytest.skip(kept.troubles()[section]["why"])
    figures = kept.taken()[section]["figures"]
    if section == "evalscope":
        assert max(each["ms"] for each in figures["requests"]["forebay, cold"]) <= figures["files"] + 3
        assert figures["requests"]["forebay, warm"][0]["all"] == 0
    else:
        asked = figures["requests"]
        assert max(asked["forebay" if section == "lm_eval" else "forebay exec --offline"]) == 0
    assert "| kept |" in page


def answer(figures, _):
    if isinstance(figures, Exception):
        raise figures
    return figures


def section_that(figures):
    return functools.partial(answer, figures)  # it goes to another process


def test_a_failure_keeps_earlier_figures_and_is_told(tmp_path, monkeypatch):
    kept, made = Kept(tmp_path / "sections"), Bench(tmp_path, Options())
    monkeypatch.setitem(run.SECTIONS, "hits", section_that({"4096": {"median": 1e-4}, "4096 again": {"median": 1e-4}}))
    assert run.measure("hits", made, kept)
    monkeypatch.setitem(run.SECTIONS, "hits", section_that(RuntimeError("first line\nout of cheese")))
    assert not run.measure("hits", made, kept)
    monkeypatch.setitem(run.SECTIONS, "keys", section_that(Skipped("nobody is here")))
    assert run.measure("keys", made, kept)
    page = report.page(kept, MACHINE)
    assert "| store hit, 4 KB | 0.10 ms, verified; 0.10 ms again | ≤ 0.2 ms | kept |" in page
    assert "failed" in page
    assert "RuntimeError: out of cheese" in page
    assert "nobody is here" in page
    monkeypatch.setitem(run.SECTIONS, "hits", section_that({"4096": {"median": 1}, "4096 again": {"median": 1}}))
    assert run.measure("hits", made, kept)
    assert "cheese" not in report.page(kept, MACHINE)


def test_a_section_that_goes_on_with_another_one_waits_for_it(tmp_path):
    kept = Kept(tmp_path / "sections")
    assert run.measure("warm", Bench(tmp_path, Options()), kept)
    assert kept.troubles()["warm"]["what"] == "skipped"


def test_figures_that_are_being_written_are_never_half_there(tmp_path):
    kept = Kept(tmp_path)
    kept.add("hits", {"a": 1}, {}, 0.5)
    with pytest.raises(TypeError):
        kept.add("hits", {"a": object()}, {}, 0.5)
    assert kept.taken()["hits"]["figures"] == {"a": 1}
    assert json.loads((tmp_path / "hits.json").read_text())["load"] == 0.5


def test_fresh_folders_delete_nothing_before_the_end(tmp_path):
    for turn in range(3):
        folder = fresh(tmp_path / "forebay" / "main")
        assert list(folder.iterdir()) == []
        (folder / f"{turn}").touch()
    put_aside(tmp_path / "forebay" / "main")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["0", "1", "2"]
    drop(tmp_path)
    assert list((tmp_path / "forebay").iterdir()) == []
