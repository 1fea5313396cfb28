"""Finding an installed program."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_harness import make

from forebay.errors import NotFoundError
from forebay.integrations import harness, lm_eval


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


@pytest.mark.parametrize("given", ["absent", "absent/bin/python"])
def test_what_is_not_there(tmp_path: Path, given: str) -> None:
    with pytest.raises(NotFoundError):
        lm_eval.find(tmp_path / given)


def test_nothing_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="--python"):
        harness.find("no_such_harness", ("no-such-harness",))
