"""Finding an installed program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from made_harness import make

from forebay.errors import NotFoundError
from forebay.integrations import checking, harness, lm_eval
from forebay.integrations.tasks import Closure


def test_by_environment_interpreter_and_folder(environment: Path) -> None:
    found = lm_eval.find(environment)
    assert (found.version, found.python) == ("0.4.99", environment / "bin" / "python")
    assert found.version_of("evaluate") == "0.4.6"
    assert found.version_of("nothing") == "unknown"
    assert lm_eval.find(environment / "bin" / "python") == found
    bare = lm_eval.find(found.folder)
    assert (bare.folder, bare.python) == (found.folder, None)


def test_by_the_command_on_path(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "lm_eval"
    command.write_text(f"#!{environment}/bin/python\nprint()\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert lm_eval.find().folder == lm_eval.find(environment).folder


def test_what_only_the_interpreter_knows(environment: Path, tmp_path: Path) -> None:
    """A package outside of the usual place, as an editable installation has it."""
    folder = tmp_path / "checkout"
    make(folder)
    (folder / "lm_eval").rename(folder / "elsewhere")
    packages = next(environment.glob("lib/python3*/site-packages"))
    (packages / "elsewhere.pth").write_text(f"{folder}\n")
    try:
        assert harness.find("elsewhere", ("x",), environment).folder == folder / "elsewhere"
    finally:
        (packages / "elsewhere.pth").unlink()


def other(folder: Path, version: str) -> Path:
    """Make the place of a Python's packages, with another version of the harness."""
    packages = folder / "lib" / version / "site-packages"
    make(packages)
    metadata = packages / "lm_eval-0.4.99.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("0.4.99", f"0.4.{version[-1]}"))
    return packages


def test_of_several_pythons_in_one_place_each_has_its_own(tmp_path: Path) -> None:
    """As in /usr/local, and in an environment that was made anew with a later Python."""
    mine = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for version in ("python3.1", "python3.99"):
        other(tmp_path, version)
    (tmp_path / "lib" / mine / "site-packages").mkdir(parents=True)
    (tmp_path / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    with pytest.raises(NotFoundError, match="has no lm_eval"):
        lm_eval.find(tmp_path)
    packages = other(tmp_path, mine)
    assert lm_eval.find(tmp_path).folder == packages / "lm_eval"


def test_what_a_user_has_installed_for_himself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pip install --user`; but not what lies in the working folder."""
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "mine"))
    base = Path(sys.executable).resolve()
    packages = other(tmp_path / "mine", f"python{sys.version_info.major}.{sys.version_info.minor}")
    (tmp_path / "here" / "made_up").mkdir(parents=True)
    (tmp_path / "here" / "made_up" / "__init__.py").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    found = lm_eval.find(base)
    assert found.folder == packages / "lm_eval"
    jobs = checking.command(checking.plan(Closure("lm-eval", "1", (), ())), found, tmp_path, 1)
    assert subprocess.run(jobs, check=False, capture_output=True).returncode == 0
    with pytest.raises(NotFoundError):
        harness.find("made_up", ("made-up",), base)


def test_a_link_to_a_command_that_starts_a_shell_first(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pip writes it where the interpreter's path is long or has spaces, and uv and pipx link to it."""
    (tmp_path / "an env").symlink_to(environment)
    command = tmp_path / "an env" / "bin" / "lm_eval"
    command.write_text(f"#!/bin/sh\n'''exec' \"{command.parent}/python\" \"$0\" \"$@\"\n' '''\nprint()\n")
    command.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "lm_eval").symlink_to(command)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    try:
        assert lm_eval.find().version == "0.4.99"
    finally:
        command.unlink()


@pytest.mark.parametrize("given", ["absent", "absent/bin/python"])
def test_what_is_not_there(tmp_path: Path, given: str) -> None:
    with pytest.raises(NotFoundError):
        lm_eval.find(tmp_path / given)


def test_nothing_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="--python"):
        harness.find("no_such_harness", ("no-such-harness",))
