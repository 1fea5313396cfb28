"""What was read from a harness, kept in the store: entries of kind ``tasks``, keyed by its version and its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from forebay.errors import StoreError
from forebay.hub.snapshot import key_of
from forebay.integrations.trees import state_of
from forebay.types import JSON, Entry, Key

if TYPE_CHECKING:
    from forebay.store import Store

TASKS, ANSWER = "tasks", "answer"
"""The kind of the entries, and the role of their one object: JSON."""
_BESIDE, _STATE = "beside", "state"

READING = 3
"""To be raised when other things are read from the same files."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """Answers about one harness.

    Attributes:
        store: where they are kept; None: nowhere.
        tool, version: of the harness.
        fingerprint: of its files.
        beside: files that answers depend on and the fingerprint does not know; who makes an answer adds them.
    """

    store: Store | None
    tool: str
    version: str
    fingerprint: str
    beside: set[Path] = field(default_factory=set[Path])

    def key(self, question: JSON) -> Key:
        """Return the key under which the answer to a question is kept."""
        return key_of(f"forebay.tasks/{READING}", self.tool, self.version, self.fingerprint, question)

    def get(self, question: JSON, make: Callable[[], JSON]) -> JSON:
        """Return the answer to a question, made only where it is not known."""
        if self.store is None:
            return make()
        key = self.key(question)
        try:
            entry = self.store.get(TASKS, key)
            if entry is not None and self._holds(entry):
                return json.loads(bytes(self.store.read(entry.object(ANSWER).digest)))
        except (StoreError, KeyError, ValueError):
            pass  # gone or damaged: as if it had never been
        answer = make()
        parts: dict[str, JSON] = {"tool": self.tool, "version": self.version}
        parts |= {"files": self.fingerprint, "question": question}
        meta = {_BESIDE: [str(path) for path in sorted(self.beside)], _STATE: state_of([], sorted(self.beside))}
        dataset = f"{self.tool} {self.version}"
        entry = Entry(
            TASKS, key, meta=cast("dict[str, JSON]", meta) if self.beside else {}, parts=parts, dataset=dataset
        )
        try:
            if self.store.writable:
                self._keep(entry, answer)
        except StoreError:
            pass  # a store that cannot keep it costs time, no more
        return answer

    def _holds(self, entry: Entry) -> bool:
        """Tell whether the files beside are as they were when an answer was made, and take them over."""
        told = cast("list[Any]", entry.meta.get(_BESIDE, []))
        files = [Path(str(path)) for path in told]
        if files and state_of([], files) != entry.meta.get(_STATE):
            return False
        self.beside.update(files)
        return True

    def _keep(self, entry: Entry, answer: JSON) -> None:
        assert self.store is not None
        text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
        self.store.commit(entry, {ANSWER: text.encode("utf-8", "surrogatepass")})
