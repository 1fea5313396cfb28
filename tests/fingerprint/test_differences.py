"""What differs between two keys, in words."""

from __future__ import annotations

import pytest

from forebay.fingerprint import KeyTree, combine, differences, tree

SOURCE = """
import math, os, re
TABLE = {"a": 1, "b": [1, 2]}
WORDS = re.compile("a+")
BIG = list(range(200))
def clean(text, mark="."):
    return text.strip() + mark
def middle(text):
    return clean(text)
class Scale:
    factor = 2
    def __init__(self):
        self.k = 1
    def go(self, x):
        return middle(x) * self.factor + self.k
def make(n):
    def inner(x):
        return x + n
    return inner
def keep(row, min_len=10):
    return len(middle(row)) > min_len, TABLE, WORDS, BIG, math.pi, os.environ.get("OPS_LANG")
scale = Scale()
inner = make(1)
"""


def sentences(old, new):
    return [difference.sentence for difference in differences(old, new)]


def run(function):
    """A run of one operator, as the pipeline puts it together."""
    operator = combine("operator 3 clean_mapper", "operator", [tree(3, label="version"), tree(function, label="fn")])
    return combine("run", "run", [operator])


@pytest.mark.parametrize(
    ("name", "old", "new", "wanted"),
    [
        ("keep", "text.strip()", "text.lstrip()", ["helper clean() changed (version1/ops.py:6)"]),
        ("keep", 'mark="."', 'mark="!"', ["helper clean(): default mark: '.' -> '!'"]),
        ("keep", "min_len=10", "min_len=20", ["default min_len: 10 -> 20"]),
        ("keep", "min_len=10", 'min_len="10"', ["default min_len: int 10 -> str '10'"]),
        ("keep", '"a": 1', '"a": 7', ["TABLE.a: 1 -> 7"]),
        ("keep", '"a": 1', '"A": 1', ["TABLE.A: added (1)", "TABLE.a: removed (1)"]),
        ("keep", "[1, 2]", "[1, 3]", ["TABLE.b.1: 2 -> 3"]),
        ("keep", "[1, 2]", "[1, 2, 3]", ["TABLE.b.2: added (3)"]),
        ("keep", '"a+"', '"b+"', ["WORDS: 'a+' with flags 32 -> 'b+' with flags 32"]),
        ("keep", "range(200)", "range(1, 201)", ["BIG: changed (200 items)"]),
        ("keep", "len(middle(row))", "2 * len(middle(row))", ["function keep() changed (version1/ops.py:20)"]),
        (
            "keep",
            "return clean(text)",
            "return text",
            ["helper middle() changed (version1/ops.py:8)", "helper clean() removed (version0/ops.py:6)"],
        ),
        ("keep", "OPS_LANG", "OPS_MODE", [
            "function keep() changed (version1/ops.py:20)",
            "environment variable OPS_MODE: added (unset)",
            "environment variable OPS_LANG: removed ('en')",
        ]),
        ("scale", "factor = 2", "factor = 3", ["class Scale: factor: 2 -> 3"]),
        ("scale", "* self.factor", "/ self.factor", ["method Scale.go() changed (version1/ops.py:14)"]),
        ("scale", "text.strip()", "text.lstrip()", ["helper clean() changed (version1/ops.py:6)"]),
        ("scale", "self.k = 1", "self.k = 5", [
            "method Scale.__init__() changed (version1/ops.py:12)",
            "fn.k: 1 -> 5",
        ]),
        ("inner", "make(1)", "make(2)", ["closure n: 1 -> 2"]),
        ("inner", "# nothing", "# nothing", []),
    ],
)  # fmt: skip
def test_sentences(load, monkeypatch, name, old, new, wanted):
    monkeypatch.setenv("OPS_LANG", "en")
    one, other = load(SOURCE), load(SOURCE.replace(old, new))
    found = sentences(run(getattr(one, name)), run(getattr(other, name)))
    assert found == [f"operator 3 clean_mapper: {sentence}" for sentence in wanted]


def test_environment_variables(load, monkeypatch):
    ops = load(SOURCE)
    monkeypatch.setenv("OPS_LANG", "en")
    before = tree(ops.keep)
    monkeypatch.setenv("OPS_LANG", "de")
    assert sentences(before, tree(ops.keep)) == ["environment variable OPS_LANG: 'en' -> 'de'"]


def test_values():
    assert sentences(tree({"min_len": 10, "x": 1}), tree({"min_len": 20, "y": 2})) == [
        "min_len: 10 -> 20",
        "y: added (2)",
        "x: removed (1)",
    ]
    assert sentences(tree(1), tree("1")) == ["value: int 1 -> str '1'"]
    assert sentences(tree({1, 2}), tree({1, 3})) == ["3: added (3)", "2: removed (2)"]
    assert sentences(tree([1]), tree([1])) == []


def test_a_difference_says_where_and_what(load):
    one, other = load(SOURCE), load(SOURCE.replace("strip()", "lstrip()").replace("min_len=10", "min_len=20"))
    first, second = differences(run(one.keep), run(other.keep))
    assert first.path == ("operator 3 clean_mapper", "fn", "default.min_len")
    assert (first.before, first.after, first.where) == ("10", "20", "")
    assert second.path == ("operator 3 clean_mapper", "fn", "middle", "clean")
    assert second.where == "version1/ops.py:6"


def test_operators_added_removed_and_changed():
    def operators(*names):
        return combine("run", "run", [combine(name, "operator", [tree(name, label="name")]) for name in names])

    assert sentences(operators("operator 1 a", "operator 2 b"), operators("operator 1 a", "operator 2 c")) == [
        "operator 2 c: added",
        "operator 2 b: removed",
    ]


def test_packages():
    def package(detail, content):
        leaf = tree(content)
        part = KeyTree("numpy", "package", leaf.digest, detail=detail)
        return combine("run", "run", [combine("operator 1 a", "operator", [part])])

    assert sentences(package("numpy 1.0", 1), package("numpy 2.0", 2)) == ["operator 1 a: package numpy 1.0 -> 2.0"]
    assert sentences(package("numpy 1.0", 1), package("numpy 1.0", 2)) == [
        "operator 1 a: package numpy 1.0: its files changed"
    ]
    assert sentences(package("python 3.11", 1), package("python 3.12", 2)) == ["operator 1 a: python 3.11 -> 3.12"]


def test_a_change_reached_twice_is_told_once(load):
    source = (
        "def low(x): return x + 1\ndef a(x): return low(x)\ndef b(x): return low(x)\ndef fn(x): return a(x) + b(x)\n"
    )
    found = sentences(tree(load(source).fn), tree(load(source.replace("+ 1", "+ 2")).fn))
    assert found == ["helper low() changed (version1/ops.py:1)"]


def test_changes_within_a_cycle(load):
    source = "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\ndef fn(n): return even(n)\n"  # noqa: E501
    found = sentences(tree(load(source).fn), tree(load(source.replace("n != 0", "n > 0")).fn))
    assert found == ["helper odd() changed (version1/ops.py:2)"]


def test_only_the_shape_of_a_cycle_differs():
    def ring(*labels):
        parts = [[label] for label in labels]
        for part, following in zip(parts, parts[1:] + parts[:1], strict=True):
            part.append(following)
        return parts[0]

    old, new = tree(ring("a", "b")), tree(ring("a", "a", "b"))
    assert old.digest != new.digest
    assert sentences(old, new) != []


def test_trees_read_from_json_compare_alike(load):
    one, other = run(load(SOURCE).keep), run(load(SOURCE.replace("strip()", "lstrip()")).keep)
    assert differences(KeyTree.from_json(one.to_json()), other) == differences(one, other)


@pytest.mark.parametrize(
    "data", [None, [], "x", {"label": "a"}, {"label": "a", "kind": "b", "digest": "c", "children": [1]}]
)
def test_what_is_no_tree(data):
    with pytest.raises(ValueError, match="key tree"):
        KeyTree.from_json(data)


def test_combine_covers_kind_labels_and_order_but_no_words():
    a, b = tree(1, label="a"), tree(2, label="b")
    base = combine("x", "run", [a, b])
    assert combine("other", "run", [a, b], detail="more").digest == base.digest
    for other in (
        combine("x", "stage", [a, b]),
        combine("x", "run", [b, a]),
        combine("x", "run", [a]),
        combine("x", "run", [a, b.relabel("c")]),
        combine("x", "run", [a, tree(3, label="b")]),
    ):
        assert other.digest != base.digest
