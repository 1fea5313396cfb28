"""Temporaries outside a store: they bear their owner's name, so that what a killed process leaves is found and removed.

design/0002 tells which ones count as abandoned. Rarely needed and early imported: so modules are loaded in functions.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from forebay.io.process import ProcessName

_TOKEN = r"([0-9a-f]{8})([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]+)-([0-9a-f]+)-[0-9a-f]{8}"
"""Host and boot, namespace, pid, start, and what tells one process's temporaries apart."""
_UNTOUCHED_SECONDS = 7 * 86400.0


def owned_token() -> str:
    """Return a name that no other process or thread will choose, and that tells whose it is: see `is_abandoned`."""
    me = ProcessName.mine()
    return f"{_place(me)}-{me.pid:x}-{me.started:x}-{os.urandom(4).hex()}"


def is_abandoned(token: str, untouched_seconds: float) -> bool:
    """Tell whether the owner of a temporary has surely ended; False for what is not a token.

    Args:
        token: from `owned_token`.
        untouched_seconds: how long nobody has written to it.
    """
    parsed = re.fullmatch(_TOKEN, token)
    if parsed is None:
        return False
    me = ProcessName.mine()
    if me.place and token.startswith(f"{_place(me)}-"):
        return ProcessName(me.host, me.place, int(parsed[4], 16), int(parsed[5], 16)).is_gone()
    return parsed[1] == _short(me.host) and untouched_seconds > _UNTOUCHED_SECONDS


def temporary_folder(purpose: str) -> Path:
    """Make an empty folder for this process among the system's temporaries, and remove those that dead ones left.

    Args:
        purpose: one lower-case word; the folder is called ``forebay-<purpose>-<token>``.

    Raises:
        OSError: it cannot be made.
    """
    import shutil
    import tempfile

    parent = Path(tempfile.gettempdir())
    for folder in abandoned(parent, "forebay-[a-z]+-"):
        shutil.rmtree(folder, ignore_errors=True)
    folder = parent / f"forebay-{purpose}-{owned_token()}"
    folder.mkdir(0o700)
    return folder


@contextmanager
def temporary(purpose: str) -> Generator[Path]:
    """Give such a folder for a while, and remove it afterwards.

    Raises:
        OSError: see `temporary_folder`.
    """
    import shutil

    folder = temporary_folder(purpose)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def abandoned(parent: Path, before: str, after: str = "") -> list[Path]:
    """Return the temporaries in a folder that processes of this user left when they died.

    Args:
        parent: the folder; one that is not there or may not be listed has none.
        before: a regular expression: what precedes the token in their names.
        after: likewise, what follows it.
    """
    named = re.compile(f"{before}({_TOKEN}){after}")
    found: list[Path] = []
    try:
        matches = [(each, match) for each in os.scandir(parent) if (match := named.fullmatch(each.name))]
    except OSError:
        return found
    for each, match in matches:
        try:
            facts = each.stat(follow_symlinks=False)
        except OSError:
            continue  # somebody else was quicker
        if facts.st_uid == os.getuid() and is_abandoned(match[1], time.time() - facts.st_mtime):
            found.append(Path(each.path))
    return found


def _place(name: ProcessName) -> str:
    boot, _, namespace = name.place.partition("/")
    return f"{_short(name.host)}{_short(boot)}-{_short(namespace)[:4]}"


def _short(text: str) -> str:
    from blake3 import blake3

    return blake3(text.encode()).hexdigest(4)
