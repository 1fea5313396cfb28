"""The key of some work, as a tree that can say why it is what it is.

A small worked example, the key of ``def keep(row, min_len=10): return len(clean(row)) > min_len``::

    KeyTree(label="keep", kind="function", digest="5d2c…", own="77aa…", detail="keep()",
    where="recipes/ops.py:20", children=(
        KeyTree(label="default min_len", kind="int", digest="0c1d…", detail="10"),
        KeyTree(label="clean", kind="function", digest="9f3a…", detail="clean()", where="recipes/ops.py:14"),
    ))

`digest` covers the node's kind, its own content and the (label, digest) pairs of what it depends on. It never covers
`detail` and `where`, which are for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

from blake3 import blake3

from forebay.types import JSON, Key

FORMAT = b"forebay-key-2"
"""Begins every digest: a change of the rules is a new name, so that old keys are never mistaken for new ones."""


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that a key cannot see: the clock, a file, the network, numbers drawn at random."""

    kind: str
    """``random``, ``environment``, ``clock``, ``file``, ``network``, ``process``, ``dynamic`` or ``state``."""
    name: str
    """What is named in the code: ``random.shuffle``."""
    where: str = ""
    """``file:line`` of the code that names it."""
    cacheable: bool = True
    """False where a result must not be cached."""
    text: str = ""
    """What to do about it."""

    @property
    def sentence(self) -> str:
        """One line for people."""
        place = f" ({self.where})" if self.where else ""
        return f"{self.name}{place}: {self.text}" if self.text else f"{self.name}{place}"


@dataclass(frozen=True, slots=True)
class KeyTree:
    """One part of a key and what it depends on."""

    label: str
    """What the part is to its parent: a parameter, ``default min_len``, a name in the code."""
    kind: str
    """What it is: ``int``, ``list``, ``function``, ``class``, ``package`` …"""
    digest: Key
    own: str = ""
    """First 16 digits of the digest of kind and own content alone; empty for a part without children."""
    detail: str = ""
    """A few readable words: the value, the function's name, the package's version."""
    where: str = ""
    """``file:line`` of code."""
    children: tuple[KeyTree, ...] = ()
    notes: tuple[Concern, ...] = ()
    """What this part reaches that a key cannot see; not covered by the digest."""

    @property
    def cacheable(self) -> bool:
        """Whether a result under this key may be kept."""
        return all(note.cacheable for note in concerns(self))

    @property
    def reason(self) -> str:
        """Why a result under this key may not be kept, or ""."""
        return next((note.sentence for note in concerns(self) if not note.cacheable), "")

    def walk(self) -> Iterator[KeyTree]:
        """Yield this part and all below it, parents first."""
        stack: list[KeyTree] = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.children))

    def relabel(self, label: str) -> KeyTree:
        """Return the same key as another label of its parent."""
        return replace(self, label=label)

    def to_json(self) -> JSON:
        """Return the tree as JSON; empty fields are left out."""
        out: dict[str, JSON] = {"label": self.label, "kind": self.kind, "digest": self.digest}
        for name in ("own", "detail", "where"):
            if text := getattr(self, name):
                out[name] = text
        if self.children:
            out["children"] = [child.to_json() for child in self.children]
        if self.notes:
            out["notes"] = [
                {"kind": n.kind, "name": n.name, "where": n.where, "cacheable": n.cacheable, "text": n.text}
                for n in self.notes
            ]
        return out

    @classmethod
    def from_json(cls, data: JSON) -> KeyTree:
        """Return the tree that `to_json` wrote.

        Raises:
            ValueError: `data` has another form.
        """
        if not isinstance(data, dict):
            raise ValueError(f"a key tree is a JSON object, not {type(data).__name__}")
        try:
            return cls._from_mapping(cast("Mapping[str, JSON]", data))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a key tree: {error}") from error

    @classmethod
    def _from_mapping(cls, data: Mapping[str, JSON]) -> KeyTree:
        children = cast("list[JSON]", data.get("children", []))
        notes = cast("list[dict[str, JSON]]", data.get("notes", []))
        return cls(
            label=str(data["label"]),
            kind=str(data["kind"]),
            digest=Key(str(data["digest"])),
            own=str(data.get("own", "")),
            detail=str(data.get("detail", "")),
            where=str(data.get("where", "")),
            children=tuple(cls.from_json(child) for child in children),
            notes=tuple(
                Concern(str(n["kind"]), str(n["name"]), str(n["where"]), bool(n["cacheable"]), str(n["text"]))
                for n in notes
            ),
        )


def concerns(tree: KeyTree) -> tuple[Concern, ...]:
    """Return what the code of a key reaches that the key cannot see, each once, in the order of the tree."""
    return tuple(dict.fromkeys(note for part in tree.walk() for note in part.notes))


def combine(label: str, kind: str, children: Iterable[KeyTree], detail: str = "") -> KeyTree:
    """Return the key of something that depends on all `children`, in this order.

    The digest covers `kind` and the children's labels and digests; not `label` and `detail`.
    """
    parts = tuple(children)
    own = own_digest(kind, b"")
    digest = tree_digest(
        own, [(part.label.encode("utf-8", "surrogatepass"), bytes.fromhex(part.digest)) for part in parts]
    )
    return KeyTree(label, kind, Key(digest.hex()), own=own.hex()[:16], detail=detail, children=parts)


def prefixed(data: bytes) -> bytes:
    """Return `data` behind its length, so that joined pieces cannot be mistaken for other pieces."""
    return len(data).to_bytes(8, "little") + data


def own_digest(kind: str, content: bytes) -> bytes:
    """Return the 32-byte digest of a part's kind and own content."""
    return blake3(FORMAT + prefixed(kind.encode()) + content).digest()


def tree_digest(own: bytes, edges: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the 32-byte digest of a part with children: its own digest, then label and digest of each child."""
    return blake3(own + b"".join([prefixed(label) + digest for label, digest in edges])).digest()
