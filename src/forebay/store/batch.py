"""Group commit: objects are staged one by one, published together, and then the entries that name them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from blake3 import blake3

from forebay import codec
from forebay.config import CodecName
from forebay.errors import ObjectMissingError, StoreError, StoreFullError
from forebay.io import Staged, Trouble, flush, link_staged, publish, stage
from forebay.store import entry as entries
from forebay.store.files import store_error
from forebay.store.intents import SLAB_BYTES, Intent, Published, Relied
from forebay.store.layout import check_hex, check_kind
from forebay.store.workshop import Waiting, Workshop
from forebay.types import Buffer, Digest, Entry, Key, ObjectRef

if TYPE_CHECKING:
    from forebay.store.allotment import Allotment

_MOST_OPEN = 48
"""So many staged files wait for the disk at most: each holds a descriptor."""
_THREADS_FROM = 16 * 2**20
_HASH_THREADS = 4  # a pool of its own: the library's shared one (AUTO) hangs in a process forked after its first use


class Batch:
    """Objects and entries that are published together, on leaving the ``with`` block without an error.

    When that is through, all of it survives a power cut. If anything fails, no entry is published, and what was
    staged is dropped. To be used from one thread.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._shop = workshop
        self._refs: dict[Digest, int] = {}  # what we may name: digest -> decoded size
        self._waiting: list[Waiting] = []
        self._relied: dict[Digest, Relied] = {}
        self._entries: dict[tuple[str, str], Entry] = {}
        self._numbers: list[int] = []
        self._instead_of: list[Intent] = []
        self._taken_over: dict[int, Intent] = {}
        self._open = False
        self._unflushed: list[Staged] = []
        self._staged_entries: list[Staged] = []
        self._published: list[tuple[Digest, CodecName]] = []
        self._published_entries: dict[tuple[str, Key], bytes] = {}

    def take_over(self, allotment: Allotment) -> None:
        """Let what is staged next have an allotment's room: it gathered there, and is moved or written anew now.

        If the store has it already, nothing is taken over; if the batch fails, the room is the allotment's again.
        """
        self._instead_of = list(allotment.intents)

    def put(self, role: str, data: Buffer | Iterable[Buffer]) -> ObjectRef:
        """Stage an object: encode it, reserve its room and write it to a temporary file.

        What is in the store already is not written again, and stays there until the batch ends.

        Args:
            role: what it is to the entry that will name it.
            data: its bytes, or pieces of them in order.

        Returns:
            How an entry names it.

        Raises:
            StoreFullError: no room for it.
            StoreError: it cannot be written.
        """
        self._check_open()
        try:
            if isinstance(data, (bytes, bytearray, memoryview)):
                whole = memoryview(data).cast("B")
                ref = _refer(role, whole)
                self._put_buffers([(ref, whole)])
                return ref
            return self._put_stream(role, data)
        except OSError as error:
            raise store_error(f"cannot write to {self._shop.layout.home}", error) from error

    def put_all(self, objects: Sequence[tuple[ObjectRef, Buffer]]) -> None:
        """Stage objects whose digests the caller has taken already, with one look at the books for all.

        Args:
            objects: how an entry names each, and its bytes.

        Raises:
            StoreFullError: no room for them.
            StoreError: they cannot be written.
        """
        self._check_open()
        try:
            self._put_buffers([(ref, memoryview(data).cast("B")) for ref, data in objects])
        except OSError as error:
            raise store_error(f"cannot write to {self._shop.layout.home}", error) from error

    def rely(self, refs: Iterable[ObjectRef]) -> list[ObjectRef]:
        """Rely on objects of the store without giving their bytes: from now on they stay there until the batch ends.

        Args:
            refs: how entries will name them; a raw file that has not its size is set aside and taken for absent.

        Returns:
            Those that are not in the store.
        """
        self._check_open()
        wanted = {ref.digest: ref for ref in refs if ref.digest not in self._refs}
        for digest in wanted:
            check_hex(digest, "digest")
        reader, mine = self._shop.reader, self._shop.mine
        there = [ref for ref in wanted.values() if reader.find(ref.digest) is not None]
        if not there:
            return list(wanted.values())
        intents = [Intent(mine.number(), 0, ref.digest) for ref in there]
        named = {intent.number: ref for intent, ref in zip(intents, there, strict=True)}
        sound = self._shop.ledger.rely(intents, lambda it: reader.sound(named[it.number].digest, named[it.number].size))
        for ref, intent, found in zip(there, intents, sound, strict=True):
            if found is not None:
                self._numbers.append(intent.number)
                self._relied[ref.digest] = found
                self._refs[ref.digest] = ref.size
        return [ref for digest, ref in wanted.items() if digest not in self._refs]

    def link(self, files: Sequence[tuple[ObjectRef, Path, CodecName]]) -> list[ObjectRef]:
        """Stage objects by giving their files second names, without copying a byte.

        The caller vouches that each file holds the object, is durable, belongs to this user and is written by nobody.
        From now on it is read-only.

        Args:
            files: how an entry names the object, a file that holds it at rest, and the codec under which it does.

        Returns:
            Those that cannot be linked: the file is on another file system, or somebody forbids it. `put` their bytes.

        Raises:
            StoreFullError: no room for them.
            StoreError: they cannot be written.
        """
        self._check_open()
        shop, instead_of = self._shop, self._instead_of
        try:
            sizes = [shop.fs.stat(path).size for _, path, _ in files]
            numbers = [shop.mine.number() for _ in files]
            named = zip(numbers, sizes, files, strict=True)
            self._note_intents([Intent(number, size, ref.digest, linked=True) for number, size, (ref, *_) in named])
            left: dict[int, ObjectRef] = {}
            for number, size, (ref, path, kept) in zip(numbers, sizes, files, strict=True):
                token, mode = f"{shop.mine.token}-{shop.mine.number()}", shop.files.object_mode
                staged = link_staged(shop.fs, path, shop.layout.tmp, token, mode=mode)
                if staged is None:
                    left[number] = ref
                    continue
                self._waiting.append(Waiting(ref.digest, kept, staged, size))
                self._refs[ref.digest] = ref.size
        except OSError as error:
            raise store_error(f"cannot write to {shop.layout.home}", error) from error
        if left:  # putting them reserves their room anew
            self._instead_of = instead_of if len(left) == len(files) else []
            shop.ledger.give_up(left, (), {}, self._instead_of)
        return list(left.values())

    def add(self, entry: Entry) -> None:
        """Add an entry, which may name objects of this batch and others in the store.

        `created` and `versions` are filled in on commit where they are empty.

        Raises:
            InputError: its kind or key has not the form of one.
            ObjectMissingError: an object that it names is neither staged here nor in the store.
        """
        self._check_open()
        check_kind(entry.kind)
        check_hex(entry.key, "key")
        for ref in self.rely(entry.objects):
            what = f"entry {entry.kind} {entry.key[:12]} names object {ref.digest[:12]}, which is not there"
            raise ObjectMissingError(what, subject=ref.digest, hint="put it into the batch first")
        self._entries[entry.kind, entry.key] = entry

    def committed(self, entry: Entry) -> Entry:
        """Return an entry of this batch as it was published, with `created` and `versions`."""
        return self._entries[entry.kind, entry.key]

    def __enter__(self) -> Batch:
        self._open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._open = False
        if kind is not None:
            self._drop()
            return
        try:
            self._commit()
        except OSError as failed:
            self._drop()
            raise store_error(f"cannot commit to {self._shop.layout.home}", failed) from failed
        except BaseException:
            self._drop()
            raise

    def _put_buffers(self, objects: Sequence[tuple[ObjectRef, memoryview]]) -> None:
        known = self._shop.ledger.known(ref.digest for ref, _ in objects)
        self.rely(ref for ref, _ in objects if ref.digest in known)
        new = {ref.digest: data for ref, data in objects if ref.digest not in self._refs}
        encoded = [(digest, *self._encode(data)) for digest, data in new.items()]
        self._reserve([(_total(pieces), digest) for digest, _, pieces in encoded])
        for digest, kept, pieces in encoded:
            size = _total(pieces)
            self._note(Waiting(digest, kept, self._twice(partial(self._write, pieces), size), size))
            self._refs[digest] = new[digest].nbytes

    def _encode(self, data: memoryview) -> tuple[CodecName, list[Buffer]]:
        kept, pieces = codec.encode(self._shop.codec, data)
        return kept, [data] if kept == "none" else list(pieces)

    def _put_stream(self, role: str, data: Iterable[Buffer]) -> ObjectRef:
        hasher, total = blake3(), 0

        def seen() -> Iterator[Buffer]:
            nonlocal total
            for piece in data:
                hasher.update(piece)
                total += memoryview(piece).nbytes
                yield piece

        kept, pieces = codec.encode(self._shop.codec, seen())
        room = sum(each.bytes for each in self._instead_of)
        numbers = self._reserve([(room, None)])
        staged = self._stage()
        try:
            for piece in pieces:
                if room < len(piece):
                    number, size = self._reserve_slab(len(piece))
                    numbers.append(number)
                    room += size
                staged.write(piece)
                room -= len(piece)
        except BaseException:
            staged.discard()
            raise
        ref = ObjectRef(role, Digest(hasher.hexdigest()), total)
        if not self.rely([ref]):
            staged.discard()
            self._shop.ledger.give_up(numbers, (), {})
        else:
            self._shop.ledger.amend(Intent(numbers[0], staged.size, ref.digest), drop=numbers[1:])
            self._note(Waiting(ref.digest, kept, staged, staged.size))
        self._refs[ref.digest] = ref.size
        return ref

    def _reserve(self, files: Sequence[tuple[int, Digest | None]]) -> list[int]:
        return self._note_intents([Intent(self._shop.mine.number(), size, digest) for size, digest in files])

    def _note_intents(self, intents: Sequence[Intent]) -> list[int]:
        if intents:
            self._shop.ledger.reserve(intents, self._instead_of)
            self._taken_over.update((each.number, each) for each in self._instead_of)
            self._instead_of = []
        numbers = [intent.number for intent in intents]
        self._numbers += numbers
        return numbers

    def _reserve_slab(self, least: int) -> tuple[int, int]:
        """Reserve room for a stream whose size nobody knows: a slab, or just `least` where room is scarce."""
        if least < SLAB_BYTES:
            try:
                return self._reserve([(SLAB_BYTES, None)])[0], SLAB_BYTES
            except StoreFullError:
                pass
        return self._reserve([(least, None)])[0], least

    def _twice(self, write: Callable[[], Staged], size: int) -> Staged:
        """Write, and where the disk is full make room and write once more."""
        try:
            return write()
        except OSError as error:
            if Trouble.of(error) is not Trouble.FULL or not self._shop.ledger.make_room(size):
                raise
        return write()

    def _write(self, pieces: Iterable[Buffer]) -> Staged:
        staged = self._stage()
        try:
            for piece in pieces:
                staged.write(piece)
        except BaseException:
            staged.discard()
            raise
        return staged

    def _stage(self) -> Staged:
        shop = self._shop
        return stage(shop.fs, shop.layout.tmp, f"{shop.mine.token}-{shop.mine.number()}", mode=shop.files.object_mode)

    def _note(self, waiting: Waiting) -> None:
        self._waiting.append(waiting)
        self._keep_few_open(waiting.staged)

    def _keep_few_open(self, staged: Staged) -> None:
        """Flush early what is many: each staged file holds a descriptor."""
        self._unflushed.append(staged)
        if len(self._unflushed) >= _MOST_OPEN:
            flush(self._shop.fs, self._unflushed)
            self._unflushed.clear()

    def _commit(self) -> None:
        shop = self._shop
        new = self._new_entries()
        self._reserve_entries(new)
        group = [(each.staged, shop.layout.object(each.digest, each.kept)) for each in self._waiting]
        self._published = [(each.digest, each.kept) for each in self._waiting]
        named = publish(shop.fs, group, dir_mode=shop.files.dir_mode)
        others = self._make_relied_durable()
        staged = [(self._stage_entry(data), shop.layout.entry(entry.kind, entry.key)) for entry, data in new]
        self._published_entries = {(entry.kind, entry.key): data for entry, data in new}
        publish(shop.fs, staged, replace=True, dir_mode=shop.files.dir_mode)
        published = [Published(entry, len(data)) for entry, data in new]
        done = list(zip(self._waiting, named, strict=True))
        others.extend((it.digest, it.kept) for it, ours in done if not ours)
        shop.ledger.settle(self._numbers, [it.fact for it, ours in done if ours], others, published)
        for entry, _ in new:
            shop.reader.learn(entry)

    def _new_entries(self) -> list[tuple[Entry, bytes]]:
        """Return the entries that the store does not hold already, whole and saying the same."""
        shop = self._shop
        new: list[tuple[Entry, bytes]] = []
        for place, entry in self._entries.items():
            there = shop.reader.entry(entry.kind, entry.key)
            if there is not None and entries.same_result(there, entry) and self._is_complete(there):
                shop.files.make_durable([shop.layout.entry(entry.kind, entry.key)])
                self._entries[place] = there
                continue
            made = replace(
                entry, created=entry.created or shop.fs.now(), versions=dict(entry.versions) or entries.versions()
            )
            self._entries[place] = made
            new.append((made, entries.encode(made)))
        return new

    def _is_complete(self, entry: Entry) -> bool:
        return all(self._shop.reader.find(ref.digest) is not None for ref in entry.objects)

    def _reserve_entries(self, new: list[tuple[Entry, bytes]]) -> None:
        mine = self._shop.mine
        intents = [Intent(mine.number(), len(data), None, entry.kind, entry.key) for entry, data in new]
        self._shop.ledger.reserve(intents)
        self._numbers.extend(intent.number for intent in intents)

    def _make_relied_durable(self) -> list[tuple[Digest, CodecName]]:
        """See that what we did not write is there, and survives a power cut; return what the books may not have."""
        shop = self._shop
        for digest in self._relied:
            if shop.reader.find(digest) is None:
                what = f"object {digest[:12]} vanished from {shop.layout.home} while it was relied on"
                raise StoreError(what, subject=digest, hint="try again")
        relied = self._relied.items()
        unsure: dict[Digest, CodecName] = {digest: found.kept for digest, found in relied if not found.durable}
        shop.files.make_durable(shop.layout.object(digest, kept) for digest, kept in unsure.items())
        return list(unsure.items())

    def _stage_entry(self, data: bytes) -> Staged:
        staged = self._twice(lambda: self._write([data]), len(data))
        self._staged_entries.append(staged)
        self._keep_few_open(staged)
        return staged

    def _drop(self) -> None:
        """Leave nothing behind; whatever cannot be removed now is found by the next who opens the store."""
        for staged in (*(each.staged for each in self._waiting), *self._staged_entries):
            staged.discard()
        try:
            digests = [digest for digest, _ in self._published]
            self._shop.ledger.give_up(self._numbers, digests, self._published_entries, self._taken_over.values())
        except (OSError, StoreError):
            pass  # the error that brought us here is the one to tell

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError("the batch is over", hint="use it inside its with block")


def _refer(role: str, data: memoryview) -> ObjectRef:
    threads = _HASH_THREADS if len(data) >= _THREADS_FROM else 1
    return ObjectRef(role, Digest(blake3(data, max_threads=threads).hexdigest()), len(data))


def _total(pieces: Iterable[Buffer]) -> int:
    return sum(memoryview(piece).nbytes for piece in pieces)
