"""Reading: an entry or an object is found by its name, checked, and returned. No index, no lock, no write."""

from __future__ import annotations

from pathlib import Path

from blake3 import blake3

from forebay import codec
from forebay.config import CodecName, VerifyPolicy
from forebay.errors import ObjectDamagedError, ObjectMissingError
from forebay.events import Event, Hook, What
from forebay.io import Filesystem, Trouble
from forebay.store import entry as entries
from forebay.store.aside import Quarantine
from forebay.store.layout import Layout
from forebay.types import Digest, Entry, Key

_MISSING = (FileNotFoundError, NotADirectoryError)
_MANY_THREADS_FROM = 16 * 2**20
_HASH_THREADS = 4  # a pool of its own: the library's shared one (AUTO) hangs in a process forked after its first use
_MOST_REMEMBERED = 1_000_000


class Reader:
    """Finds, checks and decodes what a store holds. Safe over threads and forks."""

    def __init__(self, fs: Filesystem, layout: Layout, *, policy: VerifyPolicy, aside: Quarantine, hook: Hook) -> None:
        self._fs = fs
        self._layout = layout
        self._policy: VerifyPolicy = policy
        self._aside = aside
        self._hook = hook
        self._told: set[str] = set()
        # Facts that cannot change: what was verified by this process, and decoded sizes that entries have told.
        self._verified: set[Digest] = set()
        self._sizes: dict[Digest, int] = {}

    def entry(self, kind: str, key: Key) -> Entry | None:
        """Return an entry, or None where there is none that can be read."""
        try:
            return self.sound_entry(kind, key)
        except (ObjectMissingError, ObjectDamagedError):
            return None

    def sound_entry(self, kind: str, key: Key) -> Entry:
        """Return an entry.

        Raises:
            ObjectMissingError: there is none.
            ObjectDamagedError: it cannot be read, which has been told; what is damaged has been set aside.
        """
        path = self._layout.entry(kind, key)
        try:
            data = self._fs.read(path)
        except _MISSING as error:
            raise ObjectMissingError(f"no entry {kind} {key[:12]}", subject=key) from error
        except OSError as error:
            self._warn(f"cannot read {path}: {error} ({Trouble.of(error)}); treated as a miss")
            raise ObjectDamagedError(f"cannot read {path}: {error}", subject=key) from error
        try:
            found = entries.decode(data)
            if found.kind != kind or found.key != key:
                raise ObjectDamagedError(f"it is the entry {found.kind} {found.key[:12]}")
        except ObjectDamagedError as error:
            self._entry_damaged(path, kind, key, data, error.what)
            raise
        self.learn(found)
        return found

    def learn(self, found: Entry) -> None:
        """Remember the sizes that an entry tells, so that decoding knows where to stop."""
        if len(self._sizes) > _MOST_REMEMBERED:
            self._sizes.clear()
        for ref in found.objects:
            self._sizes[ref.digest] = ref.size

    def object(self, digest: Digest) -> memoryview:
        """Return an object's decoded bytes.

        Raises:
            ObjectMissingError: it is not there, or cannot be read.
            ObjectDamagedError: its bytes are not what its name says; it has been set aside.
        """
        for kept in codec.SUFFIXES:
            path = self._layout.object(digest, kept)
            try:
                view = self._fs.map(path)
            except _MISSING:
                continue
            except OSError as error:
                what = f"cannot read object {digest[:12]} at {path}: {error} ({Trouble.of(error)})"
                raise ObjectMissingError(what, subject=digest, hint="treated as a miss") from error
            return self._checked(digest, kept, path, view)
        raise ObjectMissingError(
            f"object {digest[:12]} is not in {self._layout.home}", subject=digest, hint="treat it as a miss"
        )

    def find(self, digest: Digest) -> CodecName | None:
        """Return the codec that an object is kept under, raw first; None: it is not there."""
        for kept in codec.SUFFIXES:
            if self.size_at_rest(digest, kept) is not None:
                return kept
        return None

    def sound(self, digest: Digest, size: int | None) -> CodecName | None:
        """As `find`; but a raw object that has not `size` bytes, where that is known, is set aside."""
        kept = self.find(digest)
        if kept == "none" and size is not None and self.size_at_rest(digest, kept) not in (size, None):
            path = self._layout.object(digest, kept)
            self._aside.take(path, what=f"object {digest[:12]}", name=digest, why=f"it has not its {size} bytes")
            return self.find(digest)
        return kept

    def size_at_rest(self, digest: Digest, kept: CodecName) -> int | None:
        """Return the size of an object's file under a codec, in bytes; None: there is none."""
        try:
            return self._fs.stat(self._layout.object(digest, kept)).size
        except OSError:  # not there, or not to be reached: a miss either way
            return None

    def verify(self, digest: Digest, kept: CodecName) -> int:
        """Check an object's file in full, whatever the policy; return its decoded size in bytes.

        Raises:
            ObjectMissingError, ObjectDamagedError: as `object`.
        """
        path = self._layout.object(digest, kept)
        try:
            view = self._fs.map(path)
        except _MISSING:
            raise ObjectMissingError(f"object {digest[:12]} is not at {path}", subject=digest) from None
        except OSError as error:
            what = f"cannot read object {digest[:12]} at {path}: {error} ({Trouble.of(error)})"
            raise ObjectMissingError(what, subject=digest) from error
        return len(self._proven(digest, kept, path, view))

    def forget(self) -> None:
        """Forget what was verified: the next reads check again."""
        self._verified.clear()

    def _checked(self, digest: Digest, kept: CodecName, path: Path, view: memoryview) -> memoryview:
        if self._policy == "size" or (self._policy == "once" and digest in self._verified):
            try:
                return codec.decode(kept, view, self._sizes.get(digest))
            except ObjectDamagedError:
                pass  # looked at closely below
        decoded = self._proven(digest, kept, path, view)
        if len(self._verified) > _MOST_REMEMBERED:
            self._verified.clear()
        self._verified.add(digest)
        return decoded

    def _proven(self, digest: Digest, kept: CodecName, path: Path, view: memoryview) -> memoryview:
        try:
            return self._hashed(digest, kept, view)
        except ObjectDamagedError as error:
            why = error.what
        self._verified.discard(digest)
        try:
            # Somebody else may have set it aside and made it again since we mapped it: that one stays.
            return self._hashed(digest, kept, self._fs.map(path))
        except (ObjectDamagedError, OSError):
            pass
        self._aside.take(path, what=f"object {digest[:12]}", name=digest, why=why)
        raise ObjectDamagedError(
            f"object {digest[:12]} is damaged: {why}", subject=digest, hint="treat it as a miss; it will be made again"
        )

    def _hashed(self, digest: Digest, kept: CodecName, view: memoryview) -> memoryview:
        decoded = codec.decode(kept, view, self._sizes.get(digest))
        threads = _HASH_THREADS if len(decoded) >= _MANY_THREADS_FROM else 1
        if blake3(decoded, max_threads=threads).hexdigest() != digest:
            raise ObjectDamagedError("its bytes do not match its name")
        return decoded

    def _entry_damaged(self, path: Path, kind: str, key: Key, data: bytes, why: str) -> None:
        try:
            if self._fs.read(path) != data:
                return  # replaced by a good one meanwhile: a miss this time only
        except OSError:
            return
        self._aside.take(path, what=f"entry {kind} {key[:12]}", name=key, why=why, kind=kind)

    def _warn(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self._hook(Event(What.WARNING, message))
