"""Folders that are empty for each sample without anything being deleted between samples."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

ASIDE = ".aside"


def fresh(folder: Path) -> Path:
    """Make a folder anew. What was there is put aside beside it, not deleted: `drop` does that in the end.

    Some file systems (ext4 without a journal) make new files slowly for minutes after many were deleted, because an
    inode that was just freed must not be used again yet: the next sample would pay for the last one's clean-up.
    """
    put_aside(folder)
    folder.mkdir(parents=True)
    return folder


def put_aside(folder: Path) -> None:
    """Move a folder or file out of the way, if it is there."""
    if folder.exists():
        aside = folder.parent / ASIDE
        aside.mkdir(exist_ok=True)
        folder.rename(aside / f"{folder.name}-{time.monotonic_ns()}")


def drop(work: Path) -> None:
    """Delete what was put aside anywhere in a work folder; to be called when nothing more is measured."""
    shutil.rmtree(work / "scratch", ignore_errors=True)
    for aside in (work / ASIDE, *work.glob(f"*/{ASIDE}")):
        shutil.rmtree(aside, ignore_errors=True)
