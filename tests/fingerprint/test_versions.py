"""What differs between versions of Python, and what must not: syntax, bytecode, and how it is compiled.

Code in syntax that only newer versions know stands here as text, and is left out by those that do not.
"""

from __future__ import annotations

import ast
import datetime  # noqa: F401 - for what is evaluated
import decimal  # noqa: F401
import pathlib
import re  # noqa: F401
import sys
import textwrap

import pytest

from forebay.errors import UnhashableError
from forebay.fingerprint import KeyTree, concerns, differences, digest_bytes, tree
from forebay.fingerprint.syntax import function_text

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def digest(value):
    return tree(value).digest


def labels(value):
    return [child.label for child in tree(value).children if child.label != "python"]


def since(major, minor):
    return pytest.mark.skipif(sys.version_info < (major, minor), reason=f"syntax of Python {major}.{minor}")


# Digests made with Python 3.11: values of no class have the same keys everywhere.
PINNED = {
    "None": "a8aadd57ed79da0f",
    '"é\\ud800"': "a02f4a0827176c50",
    "[1, 1.5, -0.0, True, 2j, 10**30]": "ff30d724fdab6fa9",
    '{"a": [1, (2, b"3")], "b": {4, 5}}': "a56df2c572954383",
    "range(3)": "c885db91dcb77f53",
    "datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)": "920912de1b699d59",
    "datetime.timedelta(1, 2)": "3194870715333344",
    'decimal.Decimal("1.50")': "bf3601ea85743098",
    'pathlib.Path("a/b")': "431b216a0870b9a2",
    're.compile("a+", re.I)': "56bf0b4e0edb7697",
    "[[n] for n in range(100)]": "eef537f589005914",
    'slice(1, "a")': "a21df0ae6aa1b403",
}
TEXT = """
async def fn(a, b=1, *c, d, e=2, **f) -> int:
    "doc"
    x: int = {1, 2}; y: str
    async with a as b, c: await d
    for [i, *j] in (k async for k in x if k): del i[1:2, ...], j.k
    else: pass
    try: raise A from b
    except* (B, C) as e: y = lambda z, /, w=(yield): (f"{z!r:>{w}}" "é", rb"b")
    finally: global G; G += 1j; z = 1e300 if not x else -0.0
    match x:
        case {"a": [1, *_], **r} | P(q, k=None) if r: await [*a, {**b}], b"x" @ c << 3
    @deco(1)
    class C(D, metaclass=M):
        field: "int" = 3
        def m(self: "C", v: int = 4) -> None: return super().m(v), (n := 5), x < 1 <= 2 is not None
    import a.b as c; from ..d import e as f, g
    assert x, 10**40; print(x[a:b:c], sep="")
    while True: continue
"""


@pytest.mark.parametrize("value", PINNED)
def test_values_have_the_keys_that_the_first_version_gave_them(value):
    assert digest(eval(value))[:16] == PINNED[value]


def test_the_text_of_code_is_the_same_in_every_version():
    (node,) = ast.parse(TEXT).body
    assert (
        digest_bytes(function_text(node).encode()) == "1b2dc3d5f92ebdd7d395d12bdebb0a3ab150650a92360d489a9fd5bd7551aa62"
    )


def test_every_function_depends_on_the_version_of_python_after_the_first(load):
    """`sum` of floats and `str.isalpha` differ between versions, and no name in the code tells."""
    ops = load("def helper(x): return sum(x)\ndef fn(x): return helper(x)\nclass C:\n    def m(self): return 1\n")
    for value in (ops.fn, ops.helper, lambda x: x, ops.C().m):
        found = [part.detail for part in tree(value).walk() if part.label == "python"]
        assert set(found) == (set() if PYTHON == "3.11" else {f"python {PYTHON}"})
    assert not [part for part in tree([1, "a", {"b": 2.0}]).walk() if part.label == "python"]


@pytest.mark.parametrize(("old", "new"), [("3.11", "3.13"), ("3.13", "3.11"), ("3.13", "3.14")])
def test_another_version_of_python_is_told_once(load, old, new):
    def on(version):
        """What `fn` would have for a key there."""
        return _with_python(tree(load("def low(x): return x\ndef fn(x): return low(x)\n").fn, label="fn"), version)

    assert [difference.sentence for difference in differences(on(old), on(new))] == [f"python {old} -> {new}"]


def _with_python(found, version):
    children = [_with_python(child, version) for child in found.children if child.label != "python"]
    if found.kind == "function" and version != "3.11":
        children.append(KeyTree("python", "package", tree(version).digest, detail=f"python {version}"))
    key = tree([found.own or found.digest, [child.digest for child in children]]).digest
    own = found.own or found.digest[:16]
    if not children:
        key, own = type(key)(own + key[16:]), ""
    return KeyTree(found.label, found.kind, key, own, found.detail, found.where, tuple(children))


def test_what_super_gives_is_read(load):
    source = """
        class Base:
            def go(self, x): return x
        def base(x): return x
        base.go = 1
        class C(Base):
            def go(self, x): return super().go(x), base
        fn = C().go
        """
    before = digest(load(source).fn)
    assert digest(load(source.replace("base.go = 1", "base.go = 2")).fn) != before


def test_a_seed_set_by_a_method_of_the_base(load):
    source = """
        import random
        class Base:
            def seed(self): random.seed(1)
        class C(Base):
            def __call__(self):
                super().seed()
                return random.random()
        fn = C()
        """
    assert tree(load(source).fn).cacheable
    swapped = source.replace("super().seed()", "y = random.random()").replace("return random.random()", "return y")
    assert not tree(load(swapped).fn).cacheable


def test_a_module_in_a_closure_counts_by_what_is_taken_from_it(load):
    source = "def fn(x):\n    import helper as h\n    def inner(): return h.one(x)\n    return [inner() for _ in x]\n"
    helper = "def one(x): return 1\ndef two(x): return 2\n"
    before = digest(load(source, helper=helper).fn)
    assert digest(load(source, helper=helper.replace("return 2", "return 3")).fn) == before
    assert digest(load(source, helper=helper.replace("return 1", "return 3")).fn) != before


def test_a_module_s_name_as_the_variable_of_a_comprehension(load):
    source = "def fn(x):\n    import helper as h\n    return h.one(x), [h for h in x]\n"
    helper = "def one(x): return 1\ndef two(x): return 2\n"
    before = digest(load(source, helper=helper).fn)
    assert digest(load(source, helper=helper.replace("return 1", "return 3")).fn) != before


@pytest.mark.parametrize(
    "comprehension", ["[{} for y in x]", "{{{} for y in x}}", "{{{}: 1 for y in x}}", "list({} for y in x)"]
)
def test_names_within_comprehensions(load, comprehension):
    source = f"""
        import helper
        K = 1
        def make(k):
            def fn(x): return {comprehension.format("(y, K, k, helper.one(y), [k for k in y], lambda: (y, K, k))")}
            return fn
        fn = make(1)
        """
    helper = "def one(x): return 1\ndef two(x): return 2\n"
    before = digest(load(source, helper=helper).fn)
    assert digest(load(source, helper=helper.replace("return 2", "return 3")).fn) == before
    seen = {before, digest(load(source, helper=helper.replace("return 1", "return 3")).fn)}
    seen.add(digest(load(source.replace("K = 1", "K = 2"), helper=helper).fn))
    seen.add(digest(load(source.replace("make(1)", "make(2)"), helper=helper).fn))
    assert len(seen) == 4


@pytest.mark.parametrize("source", ["exec", "file"])
def test_a_class_inside_a_function_may_move(load, source):
    """From Python 3.13 on a class's body notes the line where it stands."""
    code = "def fn(x):\n    class A:\n        k = {k}\n        def m(self): self.z = self.a = 1\n    return A\n"
    if source == "exec":
        keys = []
        for number, text in enumerate(("{}", "\n\n\n{}", "# a\n" * 300 + "{}", "{}")):
            names = {}
            exec(compile(text.format(code.format(k=1 if number < 3 else 2)), "<made>", "exec"), names)
            keys.append(digest(names["fn"]))
        assert keys[0] == keys[1] == keys[2] != keys[3]
        return
    ops = load(code.format(k=1))
    before = digest(ops.fn)
    again = load(code.format(k=1), name="again")
    pathlib.Path(again.__file__).write_text("import os\n\n\n" + code.format(k=1), "utf-8")
    assert digest(again.fn) == before
    assert tree(again.fn).where.endswith(":1")


def test_arguments_that_are_small_numbers(load, tmp_path):
    source = "N = 'words'\ndef fn(x): return open(N + '.txt', 'r', 1).read()\n"
    keys = []
    for text in ("one", "two"):
        (tmp_path / "words.txt").write_text(text, "utf-8")
        keys.append(digest(load(source).fn))
    assert keys[0] != keys[1]
    assert concerns(tree(load("import random\ndef fn(x): return random.Random(0).random()\n").fn)) == ()
    assert not tree(load("import random\ndef fn(x): return random.Random().random()\n").fn).cacheable


def test_annotations_that_are_read_by_whatever_name(load):
    for importing, call in (
        ("import inspect", "inspect.get_annotations(helper)"),
        ("from inspect import get_annotations", "get_annotations(helper)"),
        ("import typing", "typing.get_type_hints(helper)"),
        ("", "helper.__annotations__"),
    ):
        source = f"{importing}\ndef helper(x: int): return x\ndef fn(x): return {call}\n"
        assert digest(load(source).fn) != digest(load(source.replace("x: int", "x: str")).fn), call
    source = "def helper(x: int): return x\ndef fn(x): return helper(x)\n"
    assert digest(load(source).fn) == digest(load(source.replace("x: int", "x: str")).fn)


def test_annotations_that_name_what_there_is_not(load):
    ops = load("def helper(x: 'Missing'): return x\ndef fn(x): return helper.__annotations__\n")
    assert digest(ops.fn) == digest(ops.fn)


@since(3, 14)
def test_annotations_are_not_run_unless_they_are_read(load):
    source = "def helper(x: missing.Type): return x\ndef fn(x): return helper(x)\n"
    assert labels(load(source).fn) == ["helper"]
    assert digest(load(source).fn) == digest(load(source.replace("missing.Type", "int")).fn)
    read = source.replace("return helper(x)", "return helper.__annotations__")
    assert digest(load(read).fn) == digest(load(read).fn)


@since(3, 12)
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("def fn[T](x: T) -> T: return x", "def fn(x): return x", True),
        ("def fn[T: int](x: T): return x", "def fn[U: str](x: U): return x", True),
        ("def fn[T](x): return T, x", "def fn(x): return x", False),
        ("def fn(x):\n    type A = list[int]\n    return A", "def fn(x):\n    type A = list[str]\n    return A", False),
        ("def fn(x):\n    type A[T] = list\n    return A", "def fn(x):\n    type A[*T] = list\n    return A", False),
        ("type A = list[int]\ndef fn(x): return A", "type A = list[str]\ndef fn(x): return A", False),
        ("type A[T] = list[T]\ndef fn(x): return A", "type A[T] = list[T]\n\ndef fn(x): 'd'; return A", True),
        ("type A = list[A]\ndef fn(x): return A", "type A = tuple[A]\ndef fn(x): return A", False),
        ("K = 1\ntype A = Literal[K]\nfrom typing import Literal\ndef fn(x): return A",
         "K = 2\ntype A = Literal[K]\nfrom typing import Literal\ndef fn(x): return A", False),
        ("class A[T]:\n    def m(self): return 1\nfn = A().m", "class A[U]:\n    def m(self): return 1\nfn = A().m", True),  # noqa: E501
        ("class A[T]:\n    def m(self): return 1\nfn = A().m", "class A[T]:\n    def m(self): return 2\nfn = A().m", False),  # noqa: E501
        ("def fn(x):\n    class A[T]: pass\n    return A", "def fn(x):\n    class A: pass\n    return A", False),
        ("def fn(x): return f'{x[\"a\"]}'", "def fn(x): return f\"{x['a']}\"", True),
        ("def fn(x): return f'{f'{x}'}'", "def fn(x): return f'{x}'", False),
        ("def fn(x): return f'{\n  x  # what\n}'", "def fn(x): return f'{x}'", True),
    ],
)  # fmt: skip
def test_syntax_of_3_12(load, one, other, same):
    assert (digest(load(one).fn) == digest(load(other).fn)) is same
    assert digest(load(one).fn) == digest(load(f"# moved\n\n{one}\n").fn)


@since(3, 12)
def test_a_generic_function_depends_on_what_it_names(load):
    source = """
        K = 1
        def helper[T](x: T) -> T: return x, K
        class Base[T]:
            def go[U](self, x: T, y: U = K) -> U: return helper(x), [K for _ in y]
        class C(Base[int]):
            def go(self, x): return super().go(x)
        fn = C().go
        """
    before = digest(load(source).fn)
    assert digest(load(source).fn) == before
    assert digest(load(source.replace("K = 1", "K = 2")).fn) != before
    assert digest(load(source.replace("return x, K", "return K, x")).fn) != before


@since(3, 12)
def test_an_alias_of_what_there_is_not(load):
    ops = load("type A = missing\ndef fn(x): return A\n")
    with pytest.raises(UnhashableError, match=r"fn\.A: what it stands for cannot be told"):
        tree(ops.fn, label="fn")


@since(3, 13)
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("def fn(x):\n    type A[T = int] = list[T]\n    return A", "def fn(x):\n    type A[T = str] = list[T]\n    return A", False),  # noqa: E501
        ("def fn[T = int](x: T): return x", "def fn(x): return x", True),
    ],
)  # fmt: skip
def test_syntax_of_3_13(load, one, other, same):
    assert (digest(load(one).fn) == digest(load(other).fn)) is same


@since(3, 14)
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("def fn(x): return t'{x}'", "def fn(x): return f'{x}'", False),
        ("def fn(x): return t'{x}'", "def fn(x): return t'{x!r}'", False),
        ("def fn(x): return t'a{x:>3}'", "def fn(x): return t'a{x:>4}'", False),
        ("def fn(x): return t'a{x}'", "def fn(x): return (t'a{x}')  # the same", True),
        ("K = 1\ndef fn(x): return t'{K}'", "K = 2\ndef fn(x): return t'{K}'", False),
        ("K = 1\nT = t'a{K}'\ndef fn(x): return T", "K = 2\nT = t'a{K}'\ndef fn(x): return T", False),
        ("T = t'a{1}'\ndef fn(x): return T", "T = t'a{1:>3}'\ndef fn(x): return T", False),
        ("T = t'a{1}'\ndef fn(x): return T", "T = t'a{1}'\n\ndef fn(x): return (T)", True),
        ("def fn(x):\n    try: return x()\n    except A, B: return 1", "def fn(x):\n    try: return x()\n    except (A, B): return 1", True),  # noqa: E501
        ("def fn(x): return x[1:2]", "def fn(x): return x[1:3]", False),
    ],
)  # fmt: skip
def test_syntax_of_3_14(load, one, other, same):
    assert (digest(load(one).fn) == digest(load(other).fn)) is same


@since(3, 14)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_returning_from_finally_is_warned_of_once(load, recwarn):
    source = textwrap.dedent("""
        def fn(x):
            try: return x
            finally: return 1
        """)
    ops = load(source)
    recwarn.clear()
    assert tree(ops.fn).where.endswith("ops.py:2")
    assert not recwarn.list


@since(3, 14)
@pytest.mark.parametrize("index", ["1:2", "1:True", ":", "None:'a'", "::2"])
def test_slices_among_the_constants_of_code_without_source(index):
    def made(text):
        names = {}
        exec(compile(f"def fn(x): return x[{text}]", "<made>", "exec"), names)
        return digest(names["fn"])

    assert made(index) == made(index)
    assert made(index) != made("1:1")


@since(3, 14)
def test_a_partial_with_a_gap(load):
    source = "from functools import partial, Placeholder\ndef g(x, y): return x\nfn = partial(g, Placeholder, 1)\n"
    assert digest(load(source).fn) == digest(load(source).fn)
    assert digest(load(source).fn) != digest(load(source.replace("Placeholder, 1", "0, 1")).fn)


@since(3, 14)
@pytest.mark.parametrize("name", ["uuid6", "uuid7", "uuid8"])
def test_identifiers_of_chance(load, name):
    assert not tree(load(f"import uuid\ndef fn(x): return uuid.{name}()\n").fn).cacheable
