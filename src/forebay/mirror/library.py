"""Where a mirror's snapshots and bytes come from: the store, and the hub for what the store has not.

It keeps in memory what every request needs, asks the hub about a branch once in a while, and sees to it that nobody
gets bytes that the hub would not give to them.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from forebay.config import HubSettings
from forebay.errors import ForebayError, StoreError
from forebay.events import Event, Hook, What, ignore
from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot, SnapshotFile
from forebay.mirror.admission import Admission
from forebay.mirror.carrying import Carrying
from forebay.mirror.content import AtRest, Coming, Content, Held
from forebay.mirror.exchange import nobody
from forebay.mirror.listing import Listing
from forebay.mirror.recent import Recent
from forebay.mirror.trouble import Trouble, as_trouble
from forebay.store.layout import Layout
from forebay.types import JSON, Entry, Key

if TYPE_CHECKING:
    from forebay.hub import Hub

_MOST_PICTURES = 256
_MOST_ANSWERS = 8192
_ALL = "*"
"""Stands for whoever asks, where answers are kept by token; no mask of one."""
_OFFLINE_SECONDS = 2.0  # other processes may fetch meanwhile

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?")


@dataclass(frozen=True)
class Picture:
    """A snapshot with all that answers about it are made of.

    Attributes:
        snapshot: the files.
        info: what the hub itself said about the repository, without Xet; may be empty.
    """

    snapshot: Snapshot
    info: Mapping[str, JSON]

    @cached_property
    def listing(self) -> Listing:
        """Files and folders."""
        return Listing(self.snapshot)

    @property
    def number(self) -> int:
        """A number for a repository, the same on every mirror: ModelScope's clients ask by number."""
        return number_of(self.snapshot.id)

    @property
    def second(self) -> int:
        """When it was last changed, in seconds since the epoch, as far as the hub told."""
        told = self.info.get("LastUpdatedTime", self.info.get("GmtModified", 0))
        return told if isinstance(told, int) else 0

    @property
    def private(self) -> bool:
        """Whether even its existence is for some only; then not even its list of files is given to others."""
        return bool(self.info.get("private")) or self.info.get("Visibility") == 1


def number_of(id: str) -> int:  # noqa: A002 - the hubs' own word
    """Return the number that stands for a repository of ModelScope."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "big") | 1


@dataclass(slots=True)
class _Saved:
    """What need not be fetched: the seconds that files took when they were."""

    seconds: float = 0.0
    seen: set[Key] = field(default_factory=set[Key])

    def note(self, entry: Entry) -> None:
        if entry.key not in self.seen:
            self.seen.add(entry.key)
            self.seconds += entry.cost.seconds


class Library:
    """Pictures and bytes. Safe over threads.

    Args:
        hub: the store and the origins behind it.
        settings: what the hub was made with.
        serve_restricted: give gated and private repositories to everybody.
        private: the mirror is for one user, who may read the store: see `Admission`.
        hook: told WARNING when the store cannot keep what is fetched, and once why a hub does not answer.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        hub: Hub,
        settings: HubSettings,
        *,
        serve_restricted: bool = False,
        private: bool = False,
        hook: Hook = ignore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub, self._settings = hub, settings
        self._admission = Admission(
            hub, offline=settings.offline, serve_restricted=serve_restricted, private=private, clock=clock
        )
        self._clock, self._hook = clock, hook
        self._guard = threading.Lock()
        self._pictures: Recent[Picture] = Recent(_MOST_PICTURES)
        self._answers: Recent[Picture | Trouble] = Recent(_MOST_ANSWERS)
        self._carrying = Carrying(hub, hook)
        self._numbers: dict[int, str] = {}
        self._saved = _Saved()
        self._outages = set[str]()
        self._layout = Layout(hub.store.home)

    # What is there

    def picture(
        self, reference: Reference, token: str | None, owns: Callable[[], bool] = nobody, *, waits: bool = True
    ) -> Picture:
        """Return what a reference means now.

        Args:
            reference: of a repository.
            token: the client's for the hub; None: it showed none.
            owns: see `Request.owns`.
            waits: for other processes that ask the hub; False where the client may be one of them.

        Raises:
            Trouble: there is none, or not for this client.
        """
        if not _is_sound(reference):
            raise Trouble(404, "RepoNotFound", f"not a repository: {reference.id}")
        picture = self._answered(reference, _ALL) or self._answered(reference, self._admission.mask(token))
        if picture is None:
            picture = self._asked(reference, token, waits)
        if picture.private:
            self.admit(picture, token, owns)
        return picture

    def _answered(self, reference: Reference, mask: str) -> Picture | None:
        with self._guard:
            found = self._answers.get((reference, mask), self._clock())
        if isinstance(found, Trouble):
            raise found
        return found

    def _asked(self, reference: Reference, token: str | None, waits: bool) -> Picture:
        mask = self._admission.mask(token)
        try:
            snapshot = self._hub.resolve(
                reference,
                fresh_seconds=self._settings.fresh_seconds,
                offline=self._settings.offline,
                token=self._admission.shown(token),
                waits=waits,
            )
            picture = self._picture_of(snapshot)
        except ForebayError as error:
            trouble = as_trouble(error, reference, shown=token is not None)
            if not error.retryable:  # what the hub said, and not that it said nothing
                self._remember(reference, mask, trouble)
                self._outages.clear()
            elif str(error) not in self._outages:  # programs seldom show what a mirror's answer says
                self._outages.add(str(error))
                self._hook(Event(What.WARNING, str(error)))
            raise trouble from error
        self._outages.clear()
        self._remember(reference, mask if picture.snapshot.restricted else _ALL, picture)
        if reference.hub == "ms":
            self._numbers[picture.number] = picture.snapshot.id
        return picture

    def _remember(self, reference: Reference, mask: str, answer: Picture | Trouble) -> None:
        """Keep an answer as long as it holds; one about a public repository holds for all."""
        seconds = _OFFLINE_SECONDS if self._settings.offline else self._settings.fresh_seconds
        if isinstance(answer, Picture) and reference.commit:
            seconds = float("inf")
        with self._guard:
            self._answers.put((reference, mask), answer, self._clock() + seconds)

    def _picture_of(self, snapshot: Snapshot) -> Picture:
        with self._guard:
            found = self._pictures.get(snapshot.key, 0.0)
        if found is not None and found.snapshot.restricted == snapshot.restricted:
            return found
        picture = Picture(snapshot, self._hub.info(snapshot))
        with self._guard:
            self._pictures.put(snapshot.key, picture, float("inf"))
        return picture

    def revisions(self, picture: Picture) -> dict[str, str]:
        """Return the revisions of a repository that have been asked for: name -> commit."""
        snapshot = picture.snapshot
        default = snapshot.reference.default_revision
        return {default: snapshot.commit} | self._hub.revisions(snapshot, offline=self._settings.offline)

    def numbered(self, number: int) -> Reference | None:
        """Return the dataset of ModelScope that a number stands for, if it has ever been asked for."""
        if number not in self._numbers:
            names = self._hub.store.names.list("hub/ms/dataset/")
            ids = {"/".join(name.split("/")[3:5]) for name in names}
            self._numbers |= {number_of(id): id for id in ids}  # noqa: A001
        id = self._numbers.get(number)  # noqa: A001
        return None if id is None else Reference("ms", "dataset", id)

    # Who may have it

    def admit(self, picture: Picture, token: str | None, owns: Callable[[], bool] = nobody) -> None:
        """Return if a client may have the bytes of a snapshot.

        Args:
            picture: the snapshot.
            token: the client's for the hub.
            owns: see `Request.owns`.

        Raises:
            Trouble: it may not, or nobody can say.
        """
        self._admission.admit(picture.snapshot, token, owns, hidden=picture.private)

    # Bytes

    def opener(
        self, picture: Picture, file: SnapshotFile, token: str | None, *, waits: bool = True
    ) -> Callable[[int, int], Content]:
        """Return what opens bytes [start, end) of a file, fetching it where it is not there; it raises `Trouble`.

        Where another process fetches it its bytes are followed; not if `waits` is False, for that may be the client.
        """

        def opened(start: int, end: int) -> Content:
            try:
                held = self._held(picture, file, start, end)
                return held if held is not None else Coming(self._pieces(picture, file, token, start, end, waits))
            except ForebayError as error:
                raise as_trouble(error, picture.snapshot.reference, shown=token is not None) from error

        return opened

    def spoiled(self, file: SnapshotFile) -> bool:
        """Tell whether clients may hold wrong bytes of a file, which they must not go on from."""
        return self._hub.spoiled(file) > 0

    def _held(self, picture: Picture, file: SnapshotFile, start: int, end: int) -> Content | None:
        store, entry = self._hub.store, self._hub.file(picture.snapshot, file.path)
        if entry is None:
            return None
        ref = entry.objects[0]
        try:
            view = store.read(ref.digest)  # looks at the bytes the first time that this process gives them out
        except StoreError:
            return None  # gone or damaged: as if it had never been there
        with self._guard:
            self._saved.note(entry)
        path = self._layout.object(ref.digest)
        return Held(view[start:end], AtRest(path, start, end) if path.is_file() else None)

    def _pieces(
        self, picture: Picture, file: SnapshotFile, token: str | None, start: int, end: int, waits: bool
    ) -> Iterator[bytes]:
        if self._settings.offline:
            what = f"{file.path} of {picture.snapshot.dataset} is not in the store, and the mirror is offline"
            raise Trouble(404, "EntryNotFound", what)
        shown = self._admission.shown(token)
        if not waits and self._hub.fetched_by_another(picture.snapshot, file.path):
            return self._hub.through(picture.snapshot, file.path, start, end, token=shown)
        return self._carrying.stream(picture.snapshot, file.path, start, end, token=shown)

    def to_json(self) -> dict[str, JSON]:
        """Return what was saved, and how often the hub was asked."""
        return {"seconds_saved": round(self._saved.seconds, 3), "upstream_requests": self._hub.requests}


def _is_sound(reference: Reference) -> bool:
    """Tell whether it can be a repository's: what is no name must reach neither the store nor the hub."""
    revision = reference.revision
    fine = revision is None or (revision.isprintable() and ".." not in revision and 0 < len(revision) < 256)
    return fine and _ID.fullmatch(reference.id) is not None and ".." not in reference.id
