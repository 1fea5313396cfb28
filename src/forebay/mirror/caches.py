"""A cache of the ``datasets`` library for one command: it shows all that the usual one has, and what is added stays.

The library finds prepared Arrow in its cache alone, and may write beside it. So a command under `forebay exec` gets a
folder of its own: links to the usual cache's folders, and real ones only for datasets that are laid there (`Shelf`).
Where two commands make the same Arrow, the library's lock lies beside it, behind the link, so they keep out of each
other's way as ever.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_SHARED = (
    "downloads", "arrow", "audiofolder", "csv", "generator", "imagefolder", "json", "parquet", "text", "webdataset",
)  # fmt: skip
"""Folders of the library's cache that hold no dataset of a hub: its downloads, and what its loaders made of files."""
_RESULTS = "cache-*"
"""What `map`, `filter` and the like keep beside the Arrow that they read."""

_OLDER = "older-datasets"
"""Folder of the library's cache for what versions before 4 make of a dataset that a later one has made there."""
_NEWER_FEATURES = re.compile(r'"_type":\s*"(List|Json)"')


def lay_links(folder: Path, kept: Path) -> None:
    """Let a cache show all that another one has, and put there what belongs to no dataset of a hub.

    Raises:
        OSError: the other one may not be written.
    """
    for name in _SHARED:
        (kept / name).mkdir(parents=True, exist_ok=True)
    for path in kept.iterdir():
        if path.is_dir() and path.name != _OLDER:
            (folder / path.name).symlink_to(path)


def home_of(kept: Path, name: str, version: str) -> Path:
    """Return where a version of the library keeps a dataset.

    Version 4 brought features that earlier ones do not know, and fail to read. Each dataset has one folder in the cache
    for all versions, so where that holds such features, earlier versions have another.
    """
    if version.partition(".")[0] not in ("2", "3"):
        return kept / name
    for info in (kept / name).glob("*/*/*/dataset_info.json"):
        try:
            if _NEWER_FEATURES.search(info.read_text("utf-8")):
                return kept / _OLDER / name
        except (OSError, UnicodeDecodeError):
            continue
    return kept / name


def lay_results(folder: Path, kept: Path, name: str) -> None:
    """Let what was computed of a dataset's rows be found beside its Arrow that was laid into `folder`."""
    for path in (kept / name).glob(f"*/*/*/{_RESULTS}"):
        shown = folder / path.relative_to(kept)
        if shown.parent.is_dir() and not shown.exists():
            shown.symlink_to(path)


def bring_home(folder: Path, kept: Path) -> None:
    """Move what a command has added to a cache of its own to the one that stays.

    What was computed of laid rows stays where that cache has these rows too: half a folder would be taken for all of
    it. Folders that no other one stands for are moved whole.

    Raises:
        OSError: it may not be written.
    """
    for root in folder.iterdir():
        if root.is_symlink() or not root.is_dir():
            continue
        if not (kept / root.name).exists():
            shutil.move(root, kept / root.name)
            continue
        for path in root.glob(f"*/*/*/{_RESULTS}"):
            home = kept / path.relative_to(folder)
            if not path.is_symlink() and home.parent.is_dir() and not home.exists():
                shutil.move(path, home)
