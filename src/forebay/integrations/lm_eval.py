"""lm-eval: from task names to what they load, by reading the installed harness; none of its code is run.

Follows the rules of its 0.4 line: groups (with overrides, nested and inline ones), tags, includes, patterns, paths of
YAML files, folders of one's own tasks (``--include_path``), Python classes as far as their text tells.

What was read once is looked up, and that should take no longer than to see that no file has changed: what reads
(`Tasks`, in a module of its own) is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from forebay.errors import NotFoundError
from forebay.integrations import harness as harnesses
from forebay.integrations.harness import Harness
from forebay.integrations.remembering import Remembered
from forebay.integrations.tasks import Closure
from forebay.integrations.trees import outside, state_of

if TYPE_CHECKING:
    from forebay.store import Store
    from forebay.types import JSON, Key

TOOL = "lm-eval"


def find(python: Path | None = None) -> Harness:
    """Find lm-eval: the interpreter (or environment, or package folder) given, else the `lm_eval` on PATH.

    Raises:
        NotFoundError: it is not installed there.
    """
    return harnesses.find("lm_eval", ("lm_eval", "lm-eval"), python)


def task_folders(folder: Path, include: Sequence[Path]) -> list[Path]:
    """Return the folders of tasks in the order in which later ones win."""
    return [folder / "tasks", *include]


def fingerprint(harness: Harness, include: Sequence[Path] = ()) -> str:
    """Return a hash of everything that a resolution depends on."""
    others = [harness.folder / "api" / "metrics.py", harness.folder / "config" / "group.py"]
    return state_of(task_folders(harness.folder, include), others)


def resolve(
    asked: Sequence[str], harness: Harness, store: Store | None = None, include: Sequence[Path] = ()
) -> Closure:
    """Return what tasks, groups, tags, patterns or YAML files need; what is known of this harness is looked up.

    Args:
        asked: as after ``lm_eval --tasks``.
        harness: see `find`.
        store: remembers the index of names, and each answer; None: nothing is remembered.
        include: folders of one's own tasks.

    Raises:
        NotFoundError: a name is none of these, or a folder is not there.
    """
    paths = tuple(path.absolute() for path in include)
    known = _known(harness, paths, store)
    roots = task_folders(harness.folder, paths)

    def read_names() -> JSON:
        from forebay.integrations import task_names

        files: set[Path] = set()
        index = task_names.build(roots, files)
        known.beside.update(outside(files, roots))
        return task_names.to_json(index, roots)

    def read_closure() -> JSON:
        from forebay.integrations import task_names
        from forebay.integrations.lm_tasks import Tasks

        index = task_names.from_json(known.get("names", read_names), roots)
        tasks = Tasks(harness, paths, index)
        closure = tasks.closure(asked)
        known.beside.update(outside(tasks.files, [*roots, harness.folder / "api", harness.folder / "config"]))
        return closure.to_json()

    if any(name.endswith((".yaml", ".yml")) for name in asked):  # a file that the fingerprint does not know
        return Closure.from_json(cast("Any", read_closure()))
    return Closure.from_json(cast("Any", known.get(["closure", *asked], read_closure)))


def remembered(asked: Sequence[str], harness: Harness, include: Sequence[Path] = ()) -> list[Key]:
    """Return the keys under which a store remembers what `resolve` read for the same arguments."""
    known = _known(harness, tuple(path.absolute() for path in include), None)
    return [known.key("names"), known.key(["closure", *asked])]


def _known(harness: Harness, include: Sequence[Path], store: Store | None) -> Remembered:
    for path in include:
        if not path.is_dir():
            what = f"{path} is no folder" if path.exists() else f"no folder {path}"
            hint = "--include-path takes folders of tasks; a task's YAML file is named with --lm-eval"
            raise NotFoundError(what, subject=path, hint=hint)
    return Remembered(store, TOOL, harness.version, fingerprint(harness, include))
