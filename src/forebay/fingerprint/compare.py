"""What differs between two keys, in words.

Two trees are walked together from the root. Where digests agree there is nothing to say; where a part's own content
differs, that is said; where something below differs, it is said there. So a change is told once, at the smallest part
that changed::

    operator 3 clean_mapper: helper clean() changed (recipes/ops.py:14)
    operator 5 text_length_filter: min_len: 10 -> 20
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from forebay.fingerprint.keytree import KeyTree
from forebay.fingerprint.origins import FIRST_PYTHON

_FUNCTIONS = frozenset({"function", "code", "builtin", "generator", "finished generator", "method"})
_CODE = _FUNCTIONS | {"class", "module"}
_VALUES = frozenset(
    """list tuple set frozenset dict item OrderedDict defaultdict deque object enum partial custom pattern property cell
    staticmethod classmethod cached_property singledispatchmethod StringIO BytesIO datetime time table array tensor
    model tokenizer dataframe series index column""".split()  # noqa: SIM905
) | {"random state", "open file", "context variable", "weak reference", "masked array"}
"""Kinds of values that have parts. A part of any other kind with children is a group, made by `combine`."""
_PYTHON = "python "
_SPOKEN = {"environment": "environment variable ", "file": "file ", "default": "default ", "closure": "closure "}


@dataclass(frozen=True, slots=True)
class Difference:
    """One part that differs.

    Attributes:
        sentence: what differs, in words.
        where: ``file:line`` of code, or "".
        path: labels from the root to the part, the root's left out.
        before: the old value in words; "" if it has been added.
        after: the new value in words; "" if it has been removed.
    """

    sentence: str
    where: str
    path: tuple[str, ...]
    before: str = ""
    after: str = ""


def differences(old: KeyTree, new: KeyTree) -> list[Difference]:
    """Return the smallest parts in which two keys differ, in the order of the new one; empty when they are equal."""
    found = list(_Comparison(old, new).compare(old, new, ()))
    if not found and old.digest != new.digest:  # only the way in which the parts of a cycle hang together
        found = [_say((new,), _changed(old, new), _told(old), _told(new))]
    unique: dict[str, Difference] = {}
    for difference in found:
        unique.setdefault(difference.sentence, difference)
    return list(unique.values())


class _Comparison:
    def __init__(self, old: KeyTree, new: KeyTree) -> None:
        # What is reached twice is unfolded once; elsewhere it is a leaf with the same digest.
        self._old = {part.digest: part for part in old.walk() if part.children}
        self._new = {part.digest: part for part in new.walk() if part.children}
        self._seen: set[tuple[str, str]] = set()

    def compare(self, old: KeyTree, new: KeyTree, path: tuple[KeyTree, ...]) -> Iterator[Difference]:
        if old.digest == new.digest or (old.digest, new.digest) in self._seen:
            return
        self._seen.add((old.digest, new.digest))
        if not old.children and old.digest in self._old:
            old = self._old[old.digest].relabel(old.label)
        if not new.children and new.digest in self._new:
            new = self._new[new.digest].relabel(new.label)
        place = (*path, new)
        if old.kind != new.kind:
            yield _say(place, f": {_told(old, kind=True)} -> {_told(new, kind=True)}", _told(old), _told(new))
            return
        if _own(old) != _own(new) or not (old.children or new.children):
            yield _say(place, _changed(old, new), _told(old), _told(new))
        yield from self._children(old, new, place)

    def _children(self, old: KeyTree, new: KeyTree, path: tuple[KeyTree, ...]) -> Iterator[Difference]:
        before, after = _by_label(old.children), _by_label(new.children)
        for label, parts in after.items():
            earlier = before.pop(label, [])
            same = {part.digest for part in parts} & {part.digest for part in earlier}
            left = [part for part in earlier if part.digest not in same]
            right = [part for part in parts if part.digest not in same]
            for old_part, new_part in zip(left, right, strict=False):
                yield from self.compare(old_part, new_part, path)
            yield from (_say((*path, part), _gone(part, "removed"), before=_told(part)) for part in left[len(right) :])
            yield from (_say((*path, part), _gone(part, "added"), after=_told(part)) for part in right[len(left) :])
        for parts in before.values():
            yield from (_say((*path, part), _gone(part, "removed"), before=_told(part)) for part in parts)


def _own(part: KeyTree) -> str:
    return part.own or part.digest[:16]  # a leaf's digest is its own


def _by_label(parts: Iterable[KeyTree]) -> dict[str, list[KeyTree]]:
    found: dict[str, list[KeyTree]] = {}
    for part in parts:
        found.setdefault(part.label, []).append(part)
    return found


def _say(place: tuple[KeyTree, ...], what: str, before: str = "", after: str = "") -> Difference:
    """Make the sentence about the last part of `place`, which is the path to it from the root on."""
    part = place[-1]
    where = f" ({part.where})" if part.where and part.kind in _CODE else ""
    words = _subject(place) + what + where
    groups = [group.label for group in place[1:-1] if _is_group(group)]
    sentence = ": ".join([*groups, words])
    return Difference(sentence, part.where, tuple(step.label for step in place[1:]), before, after)


def _is_group(part: KeyTree) -> bool:
    return bool(part.children) and part.kind not in _VALUES and part.kind not in _CODE


def _subject(place: tuple[KeyTree, ...]) -> str:
    """Return the words for the last part, from the nearest function, class or group above it on."""
    part = place[-1]
    if part.kind == "package":
        return f"package {part.detail.partition(' ')[0]}" if not part.detail.startswith(_PYTHON) else "python"
    begin = len(place) - 1
    while begin > 1 and place[begin - 1].kind in _VALUES:
        begin -= 1
    names = [step.label for step in place[begin:] if step.label not in ("class", "self", "function", "func")]
    name = ".".join(names) or part.label
    if part.kind in _CODE:
        return _code_subject(place, name)
    head, _, rest = name.partition(".")
    name = _SPOKEN[head] + rest if head in _SPOKEN and rest else name
    owner = place[begin - 1]
    if begin <= 1 or owner.kind not in _CODE or (owner.kind != "class" and not _has_outer(place[:begin])):
        return name  # it belongs to the work itself
    return f"{_code_subject(place[:begin], owner.label)}: {name}"


def _code_subject(place: tuple[KeyTree, ...], name: str) -> str:
    part = place[-1]
    called = part.detail or name
    if part.kind == "class":
        return f"class {called}"
    if part.kind == "module":
        return f"module {called}"
    if "." in called or part.kind == "method":
        return f"method {called}"
    return f"helper {called}" if _has_outer(place) else f"function {called}"


def _has_outer(place: tuple[KeyTree, ...]) -> bool:
    """Tell whether code is named by other code; if not, it is the work itself."""
    return any(step.kind in _CODE for step in place[:-1])


def _changed(old: KeyTree, new: KeyTree) -> str:
    if new.kind == "package":
        before, after = old.detail.partition(" ")[2], new.detail.partition(" ")[2]
        return f" {before} -> {after}" if before != after else f" {after}: its files changed"
    if new.kind in _CODE or _is_group(new) or new.kind == "file":
        return " changed"
    before, after = _told(old), _told(new)
    return f": {before} -> {after}" if before != after else f": changed ({after})" if after else ": changed"


def _gone(part: KeyTree, verb: str) -> str:
    if part.kind == "package" and part.label == "python":  # of a function, see `Names.describe`
        other = part.detail.removeprefix(_PYTHON)
        return f" {FIRST_PYTHON} -> {other}" if verb == "added" else f" {other} -> {FIRST_PYTHON}"
    told = f" ({part.detail})" if part.detail and part.kind not in _CODE and part.kind != "package" else ""
    return f" {verb}" if part.kind in _CODE or part.kind == "package" else f": {verb}{told}"


def _told(part: KeyTree, *, kind: bool = False) -> str:
    return f"{part.kind} {part.detail}".strip() if kind else part.detail
