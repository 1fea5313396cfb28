"""Views: what each program reads, laid out in a folder from what the store has.

::

    hf           DIR = HF_HOME            hub/datasets--NS--NAME/{blobs,refs,snapshots}; prepared Arrow below datasets/
    datasets     DIR = HF_DATASETS_CACHE  NS___NAME/CONFIGURATION/0.0.0/COMMIT/{dataset_info.json,NAME-SPLIT.arrow}
    modelscope   DIR = MODELSCOPE_CACHE   datasets/NS--NAME/snapshots/REVISION/…; models likewise
    evalscope    run it in DIR            NS/NAME/…: it takes a folder of that name for the dataset, before any hub

Nothing is asked of a network, and nothing is laid that the store does not hold; what is missing is told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from forebay.errors import InputError, ObjectDamagedError, ObjectMissingError
from forebay.hub.holdings import Held, chosen, narrowed
from forebay.hub.placing import Laid, Placer, Way
from forebay.hub.reference import Reference, parse
from forebay.hub.snapshot import FILE, SNAPSHOT, SnapshotFile, listed
from forebay.store import Store
from forebay.types import ObjectRef

Kind: TypeAlias = Literal["hf", "datasets", "modelscope", "evalscope"]

KINDS: tuple[Kind, ...] = get_args(Kind)

_Lay: TypeAlias = Callable[[Store, Placer, Path, Sequence[Held]], None]


def lay(
    store: Store, kind: Kind, folder: Path, references: Iterable[str | Reference] = (), *, way: Way = "auto"
) -> Laid:
    """Lay out what one program reads.

    Doing it again adds what is new and leaves the rest; two at the same time do no harm.

    Args:
        store: what there is.
        kind: see the module.
        folder: made where it is not there.
        references: of repositories; a configuration or a path chooses among their files; none: all that there is.
        way: how files are laid.

    Returns:
        What was laid, and what is missing.

    Raises:
        InputError: no such kind, or no such reference.
        NotFoundError: the store has nothing of a reference, or there is no such configuration.
        OSError: the folder may not be written.
    """
    references = [parse(reference) for reference in references]
    if kind == "datasets":
        from forebay.hub.arrowview import (
            lay_prepared,
        )  # it needs the datasets library where something is to be prepared

        laid = lay_prepared(store, folder, references, way=way)
        _told_models(laid, chosen(store, references) if references or not laid.files else [])
        _told_links(laid, way)
        return laid
    if kind not in _LAYOUTS:
        raise InputError(f"no view {kind!r}", subject=kind, hint=f"known: {', '.join(KINDS)}")
    placer = Placer(store, way)
    held = [narrowed(store, one, references) for one in chosen(store, references)]
    with ExitStack() as stack:
        for one in held:
            files = ((FILE, file.key) for file in one.snapshot.files)
            stack.enter_context(store.reading([(SNAPSHOT, one.snapshot.key), *files]))
        _LAYOUTS[kind](store, placer, folder.absolute(), held)
    if kind == "evalscope" and (references or not placer.laid.files):
        _told_models(placer.laid, held)
    _told_links(placer.laid, way)
    return placer.laid


def _hf(store: Store, placer: Placer, folder: Path, held: Sequence[Held]) -> None:
    for one in held:
        if one.snapshot.hub != "hf":
            continue
        for id in sorted(one.ids):  # noqa: A001 - the hubs' own word
            root = folder / "hub" / f"{one.snapshot.type}s--{id.replace('/', '--')}"
            _hf_snapshot(store, placer, root, one)
    from forebay.hub.arrowview import lay_present

    lay_present(store, placer, folder / "datasets", held)
    _told_foreign(placer, held, "hf")


def _hf_snapshot(store: Store, placer: Placer, root: Path, one: Held) -> None:
    snapshot = root / "snapshots" / one.snapshot.commit
    for file, ref in _held_files(store, placer, one):
        if not (snapshot / file.path).is_symlink() and not placer.takes_symlinks(root):  # as huggingface_hub does there
            placer.laid.note(f"{root.parent} takes no symbolic links: snapshots/ has the files themselves")
            _placed(placer, ref, snapshot / file.path, one, file)
            continue
        blob = blob_name(file)
        if not _placed(placer, ref, root / "blobs" / blob, one, file):
            continue
        up = "../" * (file.path.count("/") + 2)
        placer.link_to(f"{up}blobs/{blob}", snapshot / file.path)
    for revision in sorted(one.revisions):
        if _is_safe(revision):
            _named(placer, root / "refs", revision, one)


def _named(placer: Placer, refs: Path, revision: str, one: Held) -> None:
    """Say which commit a revision means, unless another one is in its way: a hub may have both v1 and v1/fixed."""
    try:
        placer.write(one.snapshot.commit.encode(), refs / revision)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        if not refs.is_dir():
            raise
        what = f"{one.snapshot.dataset}: revision {revision}: {error.filename2 or error.filename} is in its way"
        placer.laid.missing.append(what)


def blob_name(file: SnapshotFile) -> str:
    """Return what huggingface_hub calls a file's blob: the hub's ETag."""
    return file.lfs_sha256 or file.identity.partition(":")[2] or file.git_oid


def _modelscope(store: Store, placer: Placer, folder: Path, held: Sequence[Held]) -> None:
    for one in held:
        if one.snapshot.hub != "ms":
            continue
        for id in sorted(one.ids):  # noqa: A001
            root = folder / f"{one.snapshot.type}s" / id.replace("/", "--") / "snapshots"
            for revision in sorted(one.revisions) or [one.snapshot.commit]:
                if _is_safe(revision):
                    _plain(store, placer, root / revision, one)
    _told_foreign(placer, held, "ms")


def _evalscope(store: Store, placer: Placer, folder: Path, held: Sequence[Held]) -> None:
    found: dict[str, list[Held]] = {}
    for one in sorted(held, key=lambda one: (one.is_default, one.snapshot.hub == "ms", one.asked)):
        if one.snapshot.type == "dataset":
            for id in one.ids:  # noqa: A001
                found.setdefault(id, []).append(one)
    for id, several in sorted(found.items()):  # noqa: A001
        best = several[-1]
        if len(several) > 1:
            placer.laid.note(f"{id}: of several snapshots {best.snapshot.commit[:12]} is laid out")
        _plain(store, placer, folder / id, best)


def _plain(store: Store, placer: Placer, root: Path, one: Held) -> None:
    for file, ref in _held_files(store, placer, one):
        _placed(placer, ref, root / file.path, one, file)
    if not one.snapshot.partial:
        _tell_strangers(placer, root, one)


def _tell_strangers(placer: Placer, root: Path, one: Held) -> None:
    """Note what else is in a folder that is read as a whole: what an update took away, say. It may be anybody's."""
    strangers: list[str] = []
    for base, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(base, name).relative_to(root).as_posix() for name in names if not name.startswith("."))
        strangers += [path for path in paths if one.snapshot.get(path) is None]
    if strangers:
        more = f" and {len(strangers) - 1:,} more" if len(strangers) > 1 else ""
        what = (
            f"{root} holds {min(strangers)}{more}, which {one.snapshot.dataset} at {one.snapshot.commit[:12]} has not"
        )
        placer.laid.note(f"{what}; programs may read it as data: remove it, or choose another folder")


def _held_files(store: Store, placer: Placer, one: Held) -> list[tuple[SnapshotFile, ObjectRef]]:
    """Return the files that the store holds; note the others. No path among them leads out of its folder."""
    listed(one.snapshot.files, one.snapshot.dataset)
    found: list[tuple[SnapshotFile, ObjectRef]] = []
    for file, ref in one.contents(store):
        if ref is None:
            _note_missing(placer, one, file)
        else:
            found.append((file, ref))
    return found


def _placed(placer: Placer, ref: ObjectRef, target: Path, one: Held, file: SnapshotFile) -> bool:
    try:
        placer.place(ref, target)
    except (ObjectMissingError, ObjectDamagedError):
        _note_missing(placer, one, file)
        return False
    return True


def _note_missing(placer: Placer, one: Held, file: SnapshotFile) -> None:
    placer.laid.lack(f"{one.snapshot.dataset}: {file.path}", one.snapshot.dataset)


def _told_foreign(placer: Placer, held: Sequence[Held], hub: str) -> None:
    others = sorted({one.snapshot.dataset for one in held if one.snapshot.hub != hub})
    if others:
        placer.laid.note(f"left out, being of another hub: {', '.join(others)}")


def _told_models(laid: Laid, held: Sequence[Held]) -> None:
    models = sorted({one.snapshot.dataset for one in held if one.snapshot.type == "model"})
    if models:
        laid.note(f"left out, being no dataset: {', '.join(models)}")


def _told_links(laid: Laid, way: Way) -> None:
    if way == "symlink" and laid.files:
        laid.note("the links point into the store: pin what they need, or eviction leaves them dangling")


def _is_safe(revision: str) -> bool:
    return all(part not in ("", ".", "..") for part in revision.split("/")) and "\0" not in revision


_LAYOUTS: dict[str, _Lay] = {"hf": _hf, "modelscope": _modelscope, "evalscope": _evalscope}
