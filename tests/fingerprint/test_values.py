"""Values: equal ones have equal digests, others do not, whatever their order, identity or size."""

from __future__ import annotations

import array
import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import itertools
import math
import operator
import pathlib
import random
import re
import struct
import sys
import threading
import types
import typing
import uuid
import weakref
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.errors import UnhashableError
from forebay.fingerprint import KeyTree, tree

ATOMS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text() | st.binary()
    | st.sampled_from([0, 1, 0.0, -0.0, 1.0, True, "1", b"1", "", b"", math.nan, ..., NotImplemented])
)  # fmt: skip
HASHABLE = st.recursive(ATOMS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=4)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner) | st.sets(HASHABLE, max_size=4)
        | st.dictionaries(HASHABLE, inner, max_size=4) | st.lists(st.integers(), min_size=31, max_size=34)
    ),
    max_leaves=8,
)  # fmt: skip


def digest(value):
    return tree(value).digest


def model(value):
    """The same question answered another way: a nested tuple that is equal exactly for values that should be."""
    kind = type(value).__name__
    if isinstance(value, float):
        return kind, "nan" if value != value else struct.pack(">d", value)
    if isinstance(value, complex):
        return kind, model(value.real), model(value.imag)
    if isinstance(value, list | tuple):
        return kind, tuple(model(item) for item in value)
    if isinstance(value, set | frozenset):
        return kind, tuple(sorted((model(item) for item in value), key=repr))
    if isinstance(value, dict):
        return kind, tuple(sorted(((model(key), model(item)) for key, item in value.items()), key=repr))
    return kind, value


def reordered(value, draw_random):
    """A deep copy, with sets and mappings filled in another order."""
    if isinstance(value, list | tuple):
        return type(value)(reordered(item, draw_random) for item in value)
    if isinstance(value, dict | set | frozenset):
        items = list(value.items() if isinstance(value, dict) else value)
        draw_random.shuffle(items)
        return type(value)(items) if not isinstance(value, dict) else {k: reordered(v, draw_random) for k, v in items}
    return copy.deepcopy(value)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.randoms(use_true_random=False))
def test_equal_values_have_equal_digests(value, draw_random):
    assert digest(value) == digest(reordered(value, draw_random))


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES)
def test_digests_are_equal_exactly_when_values_are(one, other):
    assert (digest(one) == digest(other)) == (model(one) == model(other))


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_json_round_trip_and_label_do_not_change_a_tree(value):
    found = tree(value)
    assert KeyTree.from_json(found.to_json()) == found
    assert tree(value, label="other").digest == found.digest


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2


class Bits(enum.Flag):
    A = 1
    B = 2


class Word(enum.StrEnum):
    A = "a"


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class OtherPoint:
    x: int
    y: list = dataclasses.field(default_factory=list)


Pair = collections.namedtuple("Pair", "a b")


class Typed(typing.NamedTuple):
    a: int = 1


class Text(str):
    __slots__ = ("note",)


class Slotted:
    __slots__ = ("__hidden", "shown")

    def __init__(self, shown, hidden):
        self.shown, self.__hidden = shown, hidden


def text(value, note):
    made = Text(value)
    made.note = note
    return made


def stepped(rng, draws):
    for _ in range(draws):
        rng.random()
    return rng


def buffer(content, position):
    made = io.StringIO(content)
    made.seek(position)
    return made


# Every two of these differ; each is made twice, and must then be the same.
DISTINCT = {
    "int": lambda: 1,
    "bool": lambda: True,
    "float": lambda: 1.0,
    "huge": lambda: 10**6000,
    "str": lambda: "1",
    "bytes": lambda: b"1",
    "bytearray": lambda: bytearray(b"1"),
    "list": lambda: [1],
    "tuple": lambda: (1,),
    "set": lambda: {1},
    "frozenset": lambda: frozenset({1}),
    "nested": lambda: [[1], [[1]]],
    "range": lambda: range(0, 5, 2),
    "slice": lambda: slice(0, 5, 2),
    "ordered": lambda: collections.OrderedDict(a=1, b=2),
    "ordered otherwise": lambda: collections.OrderedDict(b=2, a=1),
    "dict": lambda: {"a": 1, "b": 2},
    "dict of tuples": lambda: {(1, 2): "x", (2, 1): "y"},
    "dict of tuples otherwise": lambda: {(1, 2): "y", (2, 1): "x"},
    "defaultdict": lambda: collections.defaultdict(int, a=1, b=2),
    "defaultdict of lists": lambda: collections.defaultdict(list, a=1, b=2),
    "counter": lambda: collections.Counter("aab"),
    "deque": lambda: collections.deque([1]),
    "bounded deque": lambda: collections.deque([1], maxlen=3),
    "proxy": lambda: types.MappingProxyType({"a": 3}),
    "namespace": lambda: types.SimpleNamespace(a=1),
    "array": lambda: array.array("i", [1]),
    "array of doubles": lambda: array.array("d", [1]),
    "memoryview": lambda: memoryview(b"1"),
    "enum": lambda: Mode.FAST,
    "other member": lambda: Mode.SLOW,
    "enum class": lambda: Mode,
    "flag": lambda: Bits.A | Bits.B,
    "flag member": lambda: Bits.A,
    "str enum": lambda: Word.A,
    "dataclass": lambda: Point(1),
    "dataclass value": lambda: Point(2),
    "dataclass type": lambda: OtherPoint(1),
    "namedtuple": lambda: Pair(1, 2),
    "namedtuple swapped": lambda: Pair(2, 1),
    "typed namedtuple": lambda: Typed(1),
    "str subclass": lambda: text("1", "n"),
    "str subclass, attribute": lambda: text("1", "m"),
    "slots": lambda: Slotted(1, 2),
    "hidden slot": lambda: Slotted(1, 3),
    "decimal": lambda: decimal.Decimal("1.0"),
    "decimal places": lambda: decimal.Decimal("1.00"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "uuid": lambda: uuid.UUID(int=7),
    "date": lambda: datetime.date(2024, 1, 2),
    "datetime": lambda: datetime.datetime(2024, 1, 2),
    "datetime utc": lambda: datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
    "datetime zone": lambda: datetime.datetime(2024, 1, 2, tzinfo=zoneinfo.ZoneInfo("UTC")),
    "datetime fold": lambda: datetime.datetime(2024, 1, 2, fold=1),
    "time": lambda: datetime.time(1, 2),
    "timedelta": lambda: datetime.timedelta(1, 2, 3),
    "timezone": lambda: datetime.timezone(datetime.timedelta(hours=1)),
    "path": lambda: pathlib.PurePosixPath("a/b"),
    "other path": lambda: pathlib.PurePosixPath("a/c"),
    "pattern": lambda: re.compile("a"),
    "pattern flags": lambda: re.compile("a", re.IGNORECASE),
    "bytes pattern": lambda: re.compile(b"a"),
    "partial": lambda: functools.partial(print, 1),
    "partial keyword": lambda: functools.partial(print, end=1),
    "itemgetter": lambda: operator.itemgetter(1),
    "methodcaller": lambda: operator.methodcaller("strip", "x"),
    "count": lambda: itertools.count(3),
    "count from there": lambda: itertools.count(4),
    "count in steps": lambda: itertools.count(3, 2),
    "count of floats": lambda: itertools.count(3.0),
    "iterator": lambda: iter([1, 2]),
    "struct": lambda: struct.Struct("<i"),
    "other struct": lambda: struct.Struct(">i"),
    "random": lambda: random.Random(1),
    "random seed": lambda: random.Random(2),
    "random advanced": lambda: stepped(random.Random(1), 3),
    "stringio": lambda: buffer("ab", 0),
    "stringio position": lambda: buffer("ab", 1),
    "bytesio": lambda: io.BytesIO(b"ab"),
    "lock": threading.Lock,
    "rlock": threading.RLock,
    "event": threading.Event,
    "local": threading.local,
    "type": lambda: int,
    "other type": lambda: str,
    "alias": lambda: list[int],
    "other alias": lambda: list[str],
    "union": lambda: int | None,
    "module": lambda: math,
    "builtin": lambda: len,
    "bound builtin": lambda: "x".join,
    "other bound builtin": lambda: "y".join,
    "slot wrapper": lambda: str.lower,
    "exception": lambda: ValueError("x"),
    "exception text": lambda: ValueError("y"),
    "weak reference": lambda: weakref.ref(Mode),
    "dead reference": lambda: weakref.ref(Holder(1)),
}
if sys.version_info < (3, 14):  # later, they are the same, and iterators keep their state to themselves
    DISTINCT["optional"] = lambda: typing.Optional[int]  # noqa: UP045
    DISTINCT["advanced iterator"] = lambda: itertools.islice(iter([1, 2]), 1, None)


def test_every_kind_of_value_is_the_same_when_made_again_and_differs_from_all_others():
    seen = {}
    for name, make in DISTINCT.items():
        found = digest(make())
        assert found == digest(make()), name
        assert found not in seen, f"{name} has the key of {seen[found]}"
        seen[found] = name


def test_an_iterator_that_keeps_its_state_to_itself_has_no_key():
    made = {
        "islice": lambda: itertools.islice(iter([1, 2]), 1, None),
        "count": lambda: itertools.count(fractions.Fraction(1, 2)),
    }
    for name, make in made.items():
        if sys.version_info < (3, 14):
            assert digest(make()) == digest(make())
            continue
        with pytest.raises(UnhashableError, match=f"{name} does not give its state"):
            digest(make())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (range(0, 5, 2), range(0, 6, 2)),
        (range(3, 3), range(0)),
        (float("nan"), -float("nan")),
        (pathlib.PurePosixPath("a/b"), pathlib.Path("a//b")),
        ({"a": 1, "b": [2, {3, 4}]}, {"b": [2, {4, 3}], "a": 1}),
        (threading.Lock(), threading.Lock()),
    ],
)
def test_equal_in_another_guise(one, other):
    assert digest(one) == digest(other)


def test_values_that_contain_themselves():
    def ring(size, label):
        first = last = [label]
        for _ in range(size - 1):
            last.append([label])
            last = last[-1]
        last.append(first)
        return first

    assert digest(ring(1, "a")) == digest(ring(1, "a"))
    assert digest(ring(1, "a")) == digest(ring(3, "a"))  # unfolded, they are the same endless list
    assert digest(ring(2, "a")) != digest(ring(2, "b"))
    assert digest(ring(1, "a")) != digest(["a", ["a", "a"]])


def test_deep_values_need_no_recursion():
    def deep(depth, inner):
        value = inner
        for _ in range(depth):
            value = [value]
        return value

    assert digest(deep(5000, 1)) == digest(deep(5000, 1))
    assert digest(deep(5000, 1)) != digest(deep(5000, 2))
    assert digest(deep(5000, 1)) != digest(deep(4999, 1))


def test_shared_parts_are_equal_to_copies():
    part = [1, 2]
    assert digest([part, part]) == digest([[1, 2], [1, 2]])


def test_large_containers_are_one_part():
    assert tree(list(range(1000))).children == ()
    assert len(tree(list(range(10))).children) == 10
    assert digest(list(range(1000))) != digest([*range(999), 0])
    assert digest([Mode.FAST] * 1000) != digest([Mode.FAST] * 999 + [Mode.SLOW])


class Speaks:
    def __init__(self, said):
        self.said = said

    def __forebay_key__(self):
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def test_forebay_key_speaks_for_an_object():
    assert digest(Speaks([1])) == digest(Speaks([1]))
    assert digest(Speaks([1])) != digest(Speaks([2]))
    with pytest.raises(UnhashableError, match=r"value: its __forebay_key__\(\) raised ValueError: no"):
        tree(Speaks(ValueError("no")))


class Holder:
    def __init__(self, item):
        self.item = item


@pytest.mark.parametrize(
    "make",
    [
        lambda: threading.Thread(target=print),
        lambda: (lambda: (yield))().__next__.__self__.gi_frame,
        lambda: __import__("sqlite3").connect(":memory:"),
        lambda: __import__("queue").Queue(),
    ],
)
def test_unhashable_names_the_path_and_what_to_do(make):
    item = make()
    try:
        with pytest.raises(UnhashableError, match=r"version=.*cache=False") as caught:
            tree({"models": [Holder(item)]}, label="fn")
        assert caught.value.subject == "fn.models.0.item"
        assert "fn.models.0.item" in str(caught.value)
        assert "\n" not in str(caught.value)
    finally:
        if hasattr(item, "close"):
            item.close()
