"""Every key case, across two fresh processes with different PYTHONHASHSEED, the function in `__main__` and imported."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = tomllib.loads((HERE / "key_cases.toml").read_text("utf-8"))["case"]
NAMES = [case["name"] for case in CASES]
HOW = ("__main__", "imported")


def folder_name(number):
    return f"{number:03d}"


def replaced(text, changes):
    for old, new in changes:
        text = text.replace(old, new)
    return text


def write_case(folder, case, side):
    changes = case.get("b", []) if side == "b" else []
    if side == "b":
        touched = [
            old for old, _ in changes if old in case["program"] or any(old in t for t in case.get("files", {}).values())
        ]
        assert len(touched) == len(changes), f"{case['name']}: a replacement replaces nothing"
    program = replaced(case["program"], changes)
    if side == "b":
        program += case.get("only_b", "")
    files = {"ops.py": program, **{name: replaced(text, changes) for name, text in case.get("files", {}).items()}}
    if "after" in case:
        files["after"] = case["after"]
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    if "dist" in case:
        name, *versions = case["dist"]
        install(folder / "site-packages", name, versions[side == "b"])
    if side == "b" and "edited" in case:  # after it was installed
        for path in (folder / "site-packages").rglob("*.py"):
            path.write_text(replaced(path.read_text("utf-8"), case["edited"]), "utf-8")


def install(site, name, version):
    """Write the dist-info that pip would, for all files in `site`."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    lines = []
    for path in sorted(site.rglob("*.py")):
        content = path.read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{path.relative_to(site).as_posix()},sha256={digest},{len(content)}")
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    lines += [f"{info.name}/METADATA,,", f"{info.name}/RECORD,,", "../../bin/script,sha256=xx,1"]
    (info / "RECORD").write_text("\n".join(lines) + "\n", "utf-8")


def keys(folder, seed):
    path = os.pathsep.join([str(HERE.parents[1] / "src"), str(HERE / "fakes" / "site-packages")])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / "key_driver.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Keys of A, of A in another process and folder, and of B."""
    found = {}
    for name, side, seed in (("a", "a", "1"), ("again", "a", "77"), ("b", "b", "4242")):
        folder = tmp_path_factory.mktemp(name)
        for number, case in enumerate(CASES):
            write_case(folder / folder_name(number), case, side)
        found[name] = keys(folder, seed)
    return found


@pytest.fixture(scope="module")
def answers(found):
    """For each case and way of defining the function: does B find A's result?"""
    answers = {}
    for number, case in enumerate(CASES):
        for how in HOW:
            a, b = (found[side][folder_name(number)][how] for side in "ab")
            if "error" in a or "error" in b:
                answers[case["name"], how] = a.get("error") or b["error"]
                continue
            hit = a["digest"] == b["digest"] and a["cacheable"] and b["cacheable"]
            answers[case["name"], how] = "hit" if hit else "miss"
    return answers


def test_same_program_has_the_same_key_in_every_process(found):
    """So that no miss above comes from a key that is different every time."""
    for number, case in enumerate(CASES):
        assert found["a"][folder_name(number)] == found["again"][folder_name(number)], case["name"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_key_case(answers, case, how):
    assert answers[case["name"], how] == case["want"]


def test_no_false_hit_and_no_false_miss(answers):
    rows = [(case["name"], case["want"], *(answers[case["name"], how] for how in HOW)) for case in CASES]
    print(f"\n{'case':72} want  __main__  imported")
    for name, want, *got in rows:
        print(f"{name:72} {want:5} {got[0]:9} {got[1]:8} {'' if got == [want, want] else '<-- wrong'}")
    false_hits = sum(want == "miss" and answer != "miss" for _, want, *got in rows for answer in got)
    false_misses = sum(want == "hit" and answer != "hit" for _, want, *got in rows for answer in got)
    print(f"{len(rows)} cases x 2: {false_hits} false hits, {false_misses} false misses")
    assert (false_hits, false_misses) == (0, 0)


def test_every_measured_case_is_here():
    """The cases that were measured on other tools, by name."""
    assert len(set(NAMES)) == len(NAMES)
    assert {re.sub(r"\s+", " ", name) for name in MEASURED} <= set(NAMES)


MEASURED = """identical rerun|body changed|callee same module changed|callee other module changed
callee via module attr (import h; h.g)|global variable changed|unrelated global changed|closure value changed
default arg changed|comment only|docstring only|moved 5 lines down|file moved to other dir|lambda vs def same body
type annotation added|re.compile pattern changed|regex module pattern changed|set global, other PYTHONHASHSEED
set literal const in code, other PYTHONHASHSEED|dict insertion order differs|lock in closure (unpicklable)
generator in global (unpicklable)|torch module same weights|torch module other weights
torch module after a forward+grad|tokenizers.Tokenizer same|tokenizers.Tokenizer after 1 encode
tokenizers.Tokenizer after enable_truncation at call|tokenizers 300-vocab same, 2 processes
bound method state changed|class method body changed (bound)|class helper method changed
class in installed pkg: method changed|callable counter state mutates on call
package version upgraded (same API, other code)|partial arg changed|partial callee body changed|numpy array same
numpy array changed|numpy C vs F order, equal values|dataclass same|dataclass value changed
random op unseeded (must not be cached)|seeded RNG in global same seed|seeded RNG advanced by earlier draw
env var read changed|decorated (wraps) inner changed|pkg in site-packages upgraded
callee imported by name from site-packages""".replace("\n", "|").split("|")
