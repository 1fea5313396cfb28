"""Room for a file that is to come: in the store's budget, and on its disk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

from forebay import text
from forebay.errors import StoreFullError
from forebay.hub.partial import InMemory, Sink
from forebay.hub.snapshot import SnapshotFile
from forebay.io import Reservation, Room, Trouble
from forebay.store import Store
from forebay.store.files import store_error
from forebay.store.intents import SLAB_BYTES
from forebay.types import Key

if TYPE_CHECKING:
    from forebay.store.allotment import Allotment

Taken = TypeVar("Taken")


def allot(store: Store, key: Key, file: SnapshotFile, sink: Sink, held: ExitStack) -> Allotment | None:
    """Set the budget's room apart: of all, or as it comes where no size is said. What lies there counts no more.

    Args:
        store: that is to keep the file.
        key: of the lease, which is ours.
        file: what is to come.
        sink: where it gathers.
        held: takes the room, and is to hold it until the partial has gone or is left for later.

    Returns:
        None where no room needs to be set apart.

    Raises:
        StoreFullError: there is none, even after eviction; or the file is larger than the whole budget.
    """
    size, limit = file.size or 0, store.settings.max_bytes
    if limit is not None and size > limit:
        what = f"{file.path} is {text.size(size)}, the budget of {store.home} is {text.size(limit)}"
        raise StoreFullError(what, subject=file.path, hint="raise max_bytes")
    if limit is None or isinstance(sink, InMemory) or not store.writable:
        return None
    return held.enter_context(store.allot(key, size, _told(file)))


def reserve(store: Store, room: Room, file: SnapshotFile, sink: Sink) -> Reservation:
    """Reserve room on the disk for what is to come, and for a copy where the partial cannot become the object.

    Raises:
        StoreFullError: there is none, even after eviction.
    """
    size = file.size or 0
    # What is encoded, or was begun by another process, is written anew when it is whole: see `Partial.seal`.
    linked = store.settings.codec == "none" and not sink.size()
    need = 0 if isinstance(sink, InMemory) else size * (1 if linked else 2) - sink.size()
    return _made(store, room, room.reserve, max(need, 0), _told(file))


def cover(store: Store, room: Room, reserved: Reservation, file: SnapshotFile, came: int, coming: int) -> None:
    """Reserve room on the disk for the next bytes where no size is said: a slab, or just theirs where it is scarce.

    Args:
        store: that is to keep the file.
        room: of its disk.
        reserved: is to hold the `coming` bytes, and where they are encoded when all are there, a copy of all.
        file: what comes.
        came: bytes so far, which are written.
        coming: bytes that are to be written next.

    Raises:
        StoreFullError: there is none, even after eviction.
    """
    copy = 0 if store.settings.codec == "none" else came + coming
    wanting = coming + copy - reserved.left
    if wanting <= 0:
        return
    told = f"cannot fetch {file.path}, of which {text.size(came)} have come"
    try:
        _made(store, room, reserved.grow, max(wanting, SLAB_BYTES), told)
    except StoreFullError:
        if wanting >= SLAB_BYTES:
            raise
        _made(store, room, reserved.grow, wanting, told)


def _told(file: SnapshotFile) -> str:
    return f"cannot fetch {file.path}" + (f" of {text.size(file.size)}" if file.size else "")


def _made(store: Store, room: Room, take: Callable[[int], Taken], size: int, told: str) -> Taken:
    """Take `size` bytes of the disk's room, evicting for them if need be; `told` is how an error begins."""
    try:
        return take(size)
    except OSError as error:
        if Trouble.of(error) is not Trouble.FULL or not store.writable:
            raise store_error(told, error) from error
    wanting = size - room.free()
    store.gc(max_bytes=max(store.bytes_at_rest() - wanting, 0))
    try:
        return take(size)
    except OSError as error:
        raise store_error(told, error) from error
