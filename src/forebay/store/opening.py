"""Opening a store's folder, and leaving it tidy."""

from __future__ import annotations

import _thread
import stat
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from forebay.config import Settings
from forebay.errors import StoreError, StoreReadOnlyError
from forebay.events import Event, What
from forebay.io import Filesystem, Trouble, make_home
from forebay.store import schema
from forebay.store.ballast import Ballast
from forebay.store.files import GROUP_DIR_MODE, Files
from forebay.store.index import Index
from forebay.store.layout import FORMAT, Layout
from forebay.store.ledger import Ledger
from forebay.store.memo import IndexMemo
from forebay.store.recency import Recency
from forebay.store.session import Session, was_cut
from forebay.store.site import Site

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


def as_shared(settings: Settings) -> Settings:
    """Return the settings with `group` where the store that is there is a group's, as its folders' permissions say.

    Else a member who has not said so would leave files in it that the others can neither read nor evict.
    """
    try:
        mode = stat.S_IMODE(Layout(settings.home).objects.stat().st_mode)
    except OSError:
        return settings
    return replace(settings, group=True) if mode == GROUP_DIR_MODE else settings


def prepare(site: Site) -> bool:
    """Make a store's folder where there is none; tell whether this process may write to it.

    Raises:
        StoreError: there is none and none can be made, or it is of another format.
    """
    fs, layout = site.fs, site.layout
    _check_format(fs, layout, site.files)
    try:
        if not site.settings.read_only:
            _make(fs, layout, site.files)
            probe = layout.tmp / f"{site.mine.token}-{site.mine.number()}"
            fs.create(probe).close()
            fs.unlink(probe)
            return True
        fs.stat(layout.home)
        return False
    except OSError as error:
        return _despite(error, site)


def _despite(error: OSError, site: Site) -> bool:
    """Go on with what can be done after all: a full disk can be evicted from, a read-only one read."""
    trouble = Trouble.of(error)
    settings, fs, layout = site.settings, site.fs, site.layout
    if not _is_dir(fs, layout.home):
        verb = "read" if settings.read_only else "make"
        what = f"cannot {verb} a store in {layout.home}: {error} ({trouble})"
        raise StoreError(
            what, subject=layout.home, hint="set FOREBAY_HOME to a folder that you may write to"
        ) from error
    if trouble is Trouble.FULL and _exists(fs, layout):
        return True
    if not settings.read_only:
        why = f"{trouble} (read_only = true says so without this line)"
        why = why if trouble is Trouble.READ_ONLY else f"{error} ({trouble})"
        site.hook(Event(What.WARNING, f"the store in {layout.home} is used for reading only: {why}"))
    return False


def _is_dir(fs: Filesystem, path: Path) -> bool:
    try:
        return fs.stat(path).is_dir
    except OSError:
        return False


def _exists(fs: Filesystem, layout: Layout) -> bool:
    try:
        return all(fs.stat(folder).is_dir for folder in layout.folders())
    except OSError:
        return False


def _check_format(fs: Filesystem, layout: Layout, files: Files) -> None:
    try:
        found = files.load(layout.marker)
    except PermissionError as error:
        if not _is_dir(fs, layout.home):
            return
        hint = "ask whose it is, or set FOREBAY_HOME to a store of your own"
        raise StoreError(f"the store in {layout.home} may not be read", subject=layout.home, hint=hint) from error
    except OSError:  # what is tried next says what is wrong
        return
    if found is not None and found.get("format") != FORMAT:
        what = f"the store in {layout.home} is of format {found.get('format')!r}, this version knows {FORMAT}"
        raise StoreError(what, subject=layout.home, hint="use a newer Forebay, or another FOREBAY_HOME")


def _make(fs: Filesystem, layout: Layout, files: Files) -> None:
    try:
        fs.stat(layout.marker)
    except (FileNotFoundError, NotADirectoryError):
        make_home(fs, layout.home, mode=files.dir_mode)
        for folder in layout.folders():
            fs.make_dirs(folder, mode=files.dir_mode)
        files.replace(layout.marker, {"format": FORMAT})
        Ballast(fs, layout.ballast).load()
        return
    if not _exists(fs, layout):  # somebody removed a folder to free space
        for folder in layout.folders():
            fs.make_dirs(folder, mode=files.dir_mode)


def unwritable(home: Path, *, told: bool) -> StoreReadOnlyError:
    """Return the error of who would change a store that may not be written; `told`: as its settings say."""
    if told:
        why, hint = "it was opened for reading only", "leave out read_only (FOREBAY_READ_ONLY)"
    else:
        why, hint = "this process may not write there", "ask whose it is, or set FOREBAY_HOME to a store of your own"
    return StoreReadOnlyError(f"cannot change the store in {home}: {why}", subject=home, hint=hint)


def trusted(db: sqlite3.Connection) -> bool:
    """Tell whether the index's rows may be believed: no session of an earlier boot was left open in it."""
    return not any(was_cut(token) for (token,) in db.execute("SELECT token FROM sessions"))


def write_recency(index: Index, used: Mapping[tuple[str, str], float]) -> None:
    """Write down when entries were last used; not worth an error."""
    if not used:
        return
    update = "UPDATE entries SET rank = rank + (?1 - used) * ?2, used = ?1 WHERE kind = ?3 AND key = ?4 AND used < ?1"
    rows = [(at, schema.RANK_PER_SECOND, kind, key) for (kind, key), at in used.items()]
    try:
        index.write(lambda db: db.executemany(update, rows))
    except StoreError:
        pass


def finish(recency: Recency, memo: IndexMemo, ledger: Ledger, session: Session, index: Index, writable: bool) -> None:
    """Write down what is in memory, and take the session off the books."""
    try:
        if writable:
            recency.close()
            memo.flush()
            ledger.close()
    except (StoreError, OSError):
        pass  # recency and digests are hints; a session that stays on the books is found to be over
    session.end()
    index.close()


def finish_dropped(*kept: Any) -> None:
    """Do the same for a store that nobody closed, in a thread of its own unless the program ends.

    Garbage is collected anywhere, also in another store's transaction on the same index, which would wait for itself.
    """
    if threading.main_thread().is_alive():  # it is not any more where finalizers run at exit
        try:
            _thread.start_new_thread(finish, kept)  # `threading.Thread` takes locks, in which garbage is collected, too
        except RuntimeError:
            pass  # no more threads: a session that stays on the books is found to be over
        return
    finish(*kept)
