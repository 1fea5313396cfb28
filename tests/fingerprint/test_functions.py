"""Functions: what of their code counts, and what it reaches."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

from forebay.errors import UnhashableError
from forebay.fingerprint import combine, concerns, tree


def digest(value):
    return tree(value).digest


def part(found, *labels):
    for label in labels:
        found = next(child for child in found.children if child.label == label)
    return found


def named(found):
    """What code names, without the version of Python that its functions depend on after 3.11."""
    return [child for child in found.children if child.label != "python"]


def test_the_tree_shows_what_a_function_depends_on(load, monkeypatch):
    monkeypatch.setenv("OPS_LANG", "en")
    monkeypatch.setenv("OPS_TOKEN", "very secret")
    ops = load(
        """
        import json, os, re
        SPACE = re.compile("[ ]+")
        LIMIT = 3
        def clean(text, mark="."):
            return SPACE.sub(" ", text) + mark
        def keep(row, min_len=10, *, lang=("en",)):
            os.environ["OPS_SET"] = "1"
            return len(clean(row)) > min_len + LIMIT and json.dumps(os.environ.get("OPS_LANG")), os.getenv("OPS_TOKEN")
        """
    )
    found = tree(ops.keep, label="keep")
    assert (found.label, found.kind, found.detail, found.where) == ("keep", "function", "keep()", "version0/ops.py:7")
    told = {child.label: (child.kind, child.detail) for child in named(found)}
    assert told == {
        "default.min_len": ("int", "10"),
        "default.lang": ("tuple", "1 item"),
        "clean": ("function", "clean()"),
        "LIMIT": ("int", "3"),
        "json": ("package", f"python {sys.version_info.major}.{sys.version_info.minor}"),
        "environment.OPS_LANG": ("environment", "'en'"),
        "environment.OPS_TOKEN": ("environment", "set"),
    }
    assert part(found, "clean").where == "version0/ops.py:5"
    assert "very secret" not in str(found.to_json())


def test_the_key_of_a_helper_is_its_own_wherever_it_is_reached_from(load):
    ops = load(
        """
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and third(n - 1)
        def third(n): return even(n) if n else lonely(n)
        def lonely(n): return n
        def fn(n): return odd(n)
        """
    )
    names = ("even", "odd", "third", "lonely", "fn")
    alone = {name: digest(getattr(ops, name)) for name in reversed(names)}
    assert len(set(alone.values())) == 5
    for name in names:
        for found in tree(getattr(ops, name)).walk():
            if found.label in alone:
                assert found.digest == alone[found.label]


def test_functions_that_no_call_can_tell_apart_have_one_key(load):
    """A function that calls itself, and two equal ones that call each other."""
    one = load("def step(n):\n    return go(n - 1) if n else 0\ngo = step\n")
    two = load(
        "import helper\ndef step(n):\n    return go(n - 1) if n else 0\ngo, helper.go = helper.step, step\n",
        helper="def step(n):\n    return go(n - 1) if n else 0\n",
    )
    assert digest(one.step) == digest(two.step) == digest(two.helper.step)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("def fn(x): return x + 1", "def gn(x):\n    'doc'\n    return (x + 1)", True),
        ("def fn(x): return x + 1", "def fn(y): return y + 1", False),
        ("def fn(x): return 1", "def fn(x): return 1.0", False),
        ("def fn(x): return 1", "def fn(x): return True", False),
        ("def fn(x): return 'a' 'b'", 'def fn(x): return "ab"', True),
        ("def fn(x): return {**x}", "def fn(x): return {'k': x}", False),
        ("def fn(x):\n    x: int\n    return x", "def fn(x): return x", True),
        ("def fn(x): return x", "async def fn(x): return x", False),
        ("def fn(x): return x", "def fn(*x): return x", False),
        ("def fn(x): return x", "def fn(*, x): return x", False),
        ("def fn(x, /): return x", "def fn(x): return x", False),
        ("def fn(x, y=1): return x", "def fn(x, *, y=1): return x", False),
        ("def fn(x):\n    def g(y=1): return y\n    return g", "def fn(x):\n    def g(y=2): return y\n    return g", False),  # noqa: E501
        ("def fn(x):\n    def g(y: int): return y\n    return g", "def fn(x):\n    def g(y): 'd'; return y\n    return g", True),  # noqa: E501
        (
            "from dataclasses import dataclass\ndef fn(x):\n    @dataclass\n    class A:\n        k: int = 1\n    return A()",  # noqa: E501
            "from dataclasses import dataclass\ndef fn(x):\n    @dataclass\n    class A:\n        k = 1\n    return A()",  # noqa: E501
            False,
        ),
        ("def fn(x): return f'{x!r:>3}'", "def fn(x): return f'{x!s:>3}'", False),
        ("def fn(x): return {1, 2}", "def fn(x): return {2, 1}", False),  # source order is kept
        ("fn = lambda x, *a, k=1, **kw: x", "def fn(x, *a, k=1, **kw): return x", True),
        ("fn = lambda: (yield)", "def fn(): return (yield)", True),
    ],
)  # fmt: skip
def test_what_of_the_source_counts(load, one, other, same):
    first = load(one).fn
    second_module = load(other)
    second = getattr(second_module, "fn", None) or second_module.gn
    assert (digest(first) == digest(second)) is same


def test_lambdas_on_one_line(load):
    ops = load(
        "a, b, c = (lambda x: x + 1), lambda x: x * 2, [lambda x: x - (lambda y: y)(3)][0]\nd = lambda x: x * 2\n"
    )
    assert len({digest(ops.a), digest(ops.b), digest(ops.c)}) == 3
    assert digest(ops.b) == digest(ops.d)
    assert tree(ops.a).where == "version0/ops.py:1"


def test_a_file_edited_after_import_does_not_lend_its_new_text_to_old_code(load):
    ops = load("def fn(x): return x + 1\n")
    other = load("def fn(x): return x + 2\n", name="other")
    old_file = ops.__file__
    Path(old_file).write_text("def fn(x): return x + 2\n")
    assert digest(ops.fn) != digest(other.fn)
    importlib.reload(ops)
    assert digest(ops.fn) == digest(other.fn)


def test_an_edit_above_moves_old_code_without_changing_its_key(load):
    ops = load("def fn(x): return x + 1\n")
    before = digest(ops.fn)
    again = load("def fn(x): return x + 1\n", name="again")
    Path(again.__file__).write_text("import os\n\n\ndef fn(x): return x + 1\n")
    assert digest(again.fn) == before


def test_changed_globals_are_seen_at_once(load):
    ops = load("K = 1\nTABLE = {}\ndef g(x): return x\ndef fn(x): return g(x) + K + TABLE[x]\n")
    seen = [digest(ops.fn)]
    ops.K = 2
    seen.append(digest(ops.fn))
    ops.TABLE["a"] = 1
    seen.append(digest(ops.fn))
    ops.g = lambda x: x * 2
    seen.append(digest(ops.fn))
    ops.fn.__defaults__ = (3,)
    seen.append(digest(ops.fn))
    assert len(set(seen)) == 5


def test_names_of_places_do_not_count(load):
    source = "def fn(x): return x, __name__, __file__\n"
    one, other = load(source), load(source, name="elsewhere")
    assert digest(one.fn) == digest(other.fn)
    assert [concern.name for concern in concerns(tree(one.fn))] == ["__file__"]


def test_module_handed_on_as_a_whole(load):
    source = "import helper\ndef use(m, x): return m.go(x)\ndef fn(x): return use(helper, x)\n"
    one = load(source, helper="K = 1\ndef go(x): return x + K\n").fn
    before = digest(one)
    assert digest(load(source, helper="K = 2\ndef go(x): return x + K\n").fn) != before
    assert digest(load(source, helper="# same\nK = 1\ndef go(x): return x + K\n").fn) == before


def test_missing_names_and_empty_cells(load):
    ops = load(
        """
        import os
        def fn(x): return missing(x), os.nothing
        def make():
            def inner(): return late
            result = inner
            if False: late = 1
            return result
        """
    )
    assert part(tree(ops.fn), "missing").kind == "absent"
    assert part(tree(ops.make()), "closure.late").kind == "empty cell"


def test_imports_inside_functions(load):
    source = """
        def fn(x):
            import helper as h, os.path as p, json
            from helper import two
            from . import nothing
            def inner(): return h.one(x)
            return inner(), two, p.sep, json
    """
    helper = "def one(x): return 1\ndef two(x): return 2\ndef three(x): return 3\n"
    before = digest(load(source, helper=helper).fn)
    assert digest(load(source, helper=helper.replace("return 3", "return 4")).fn) == before
    assert digest(load(source, helper=helper.replace("return 2", "return 4")).fn) != before
    assert digest(load(source, helper=helper.replace("return 1", "return 4")).fn) != before


def test_a_module_imported_inside_that_fails_or_is_missing(load):
    ops = load("def fn(x):\n    import broken, not_there\n    return broken.a, not_there.b\n", broken="1 / 0\n")
    assert {child.label: child.kind for child in named(tree(ops.fn))} == {"broken": "absent", "not_there": "absent"}


def test_function_attributes_count_where_they_are_read(load):
    source = "def helper(x): return x\nhelper.k = 1\nhelper.unread = 2\ndef fn(x): return helper.k\n"
    before = digest(load(source).fn)
    assert digest(load(source.replace("k = 1", "k = 3")).fn) != before
    assert digest(load(source.replace("unread = 2", "unread = 3")).fn) == before


@pytest.mark.parametrize(
    ("call", "counts"),
    [
        ("self.n += 1", False),
        ("self.n = self.n + 1", False),
        ("self.seen[x] = self.n; self.n += 1", True),
        ("self.n += 1; self.helper()", False),
        ("self.n += 1; self.report()", True),
        ("self.n += 1; print(self)", True),
        ("self.n += 1; other(self)", True),
        ("self.n += int(print(self.n) or 0)", True),
        ("self.n += 1\n        if self.n > 3: return 0", True),
        ("self.n += 1; GLOBAL.n", True),
    ],
)
def test_counters_count_only_where_they_can_be_seen(load, call, counts):
    ops = load(
        f"""
class C:
    def __init__(self): self.n, self.seen = 0, {{}}
    def helper(self): return 1
    def report(self): return self.n
    def unused(self): return self.n
    def __call__(self, x):
        {call}
        return x
def other(c): return c.n
GLOBAL = C()
"""
    )
    before = digest(ops.GLOBAL)
    ops.GLOBAL.n += 5
    assert (digest(ops.GLOBAL) != before) is counts
    assert (digest(ops.GLOBAL.__call__) != before) or not counts


def test_adding_to_what_is_no_plain_counter_counts(load):
    source = "class Log(list):\n    def append(self, x): x.clear()\nlog = Log()\nplain = []\ndef fn(x):\n    LOG.append(x)\n    return x\n"  # noqa: E501
    assert digest(load(source + "LOG = plain\n").fn) == digest(load(source + "LOG = plain\nplain.append(1)\n").fn)
    assert digest(load(source + "LOG = log\n").fn) != digest(
        load(source.replace("x.clear()", "pass") + "LOG = log\n").fn
    )


CONCERNS = [
    ("import random\ndef fn(x): return random.shuffle(x)", "random", "random.shuffle", False),
    ("from random import shuffle\ndef fn(x): return shuffle(x)", "random", "random.shuffle", False),
    ("import random\nfn = random.shuffle", "random", "random.shuffle", False),
    ("import random\ndef fn(x): return random.Random()", "random", "random.Random", False),
    ("import random\ndef fn(x): return random.SystemRandom()", "random", "random.SystemRandom", False),
    ("import numpy as np\ndef fn(x): return np.random.rand()", "random", "numpy.random.rand", False),
    ("from numpy.random import rand\ndef fn(x): return rand()", "random", "numpy.random.rand", False),
    ("import numpy.random as r\ndef fn(x): return r.default_rng(None)", "random", "numpy.random.default_rng", False),
    ("import numpy.random as r\ndef fn(x): return r.RandomState(seed=None)", "random", "numpy.random.RandomState", False),  # noqa: E501
    ("def fn(x):\n    import torch\n    return torch.rand(3)", "random", "torch.rand", False),
    ("import os\ndef fn(x): return os.urandom(3)", "random", "os.urandom", False),
    ("import uuid\ndef fn(x): return uuid.uuid4()", "random", "uuid.uuid4", False),
    ("import secrets\ndef fn(x): return secrets.token_hex()", "random", "secrets.token_hex", False),
    ("import os\ndef fn(x): return os.environ[x]", "environment", "os.environ", True),
    ("import os\ndef fn(x): return dict(os.environ)", "environment", "os.environ", True),
    ("from os import getenv\ndef fn(x): return getenv(x)", "environment", "os.getenv", True),
    ("import time\ndef fn(x): return time.time()", "clock", "time.time", True),
    ("from datetime import datetime as d\ndef fn(x): return d.now()", "clock", "datetime.datetime.now", True),
    ("import datetime\ndef fn(x): return datetime.date.today()", "clock", "datetime.date.today", True),
    ("def fn(x): return open(x).read()", "file", "open", True),
    ("from pathlib import Path\ndef fn(x): return Path(x).read_text()", "file", ".read_text()", True),
    ("import os\ndef fn(x): return os.listdir(x)", "file", "os.listdir", True),
    ("def fn(x):\n    from urllib.request import urlopen\n    return urlopen(x)", "network", "urllib.request.urlopen", True),  # noqa: E501
    ("import os\ndef fn(x): return os.getpid()", "process", "os.getpid", True),
    ("def fn(x): return hash(x)", "process", "hash", True),
    ("def fn(x): return eval(x)", "dynamic", "eval", True),
    ("def gen(): yield 1; yield 2\ng = gen(); next(g)\ndef fn(x): return next(g)", "state", "generator gen", True),
]  # fmt: skip


@pytest.mark.parametrize(("source", "kind", "name", "cacheable"), CONCERNS, ids=[case[2] for case in CONCERNS])
def test_concerns_name_what_a_key_cannot_see(load, source, kind, name, cacheable):
    found = tree(load(f"\n\n{source}\n").fn)
    (concern,) = concerns(found)
    assert (concern.kind, concern.name, concern.cacheable) == (kind, name, cacheable)
    assert concern.where.startswith("version0/ops.py:") or source.endswith("fn = random.shuffle")
    assert found.cacheable is cacheable
    assert found.reason == ("" if cacheable else concern.sentence)
    assert concern.text
    assert concern.sentence.startswith(name)


@pytest.mark.parametrize(
    "source",
    [
        "import random\ndef fn(x):\n    random.seed(3)\n    return random.random()",
        "import random\ndef seed(): random.seed(3)\ndef fn(x):\n    seed()\n    return random.random()",
        "import random\ndef fn(x): return random.Random(3).random()",
        "import numpy as np\ndef fn(x): return np.random.default_rng(x).random()",
        "import numpy as np\ndef fn(x):\n    np.random.seed(1)\n    return np.random.rand()",
        "import os\ndef fn(x): return os.environ.get('HOME'), os.getenv('HOME', ''), 'HOME' in os.environ",
        "import os\ndef fn(x):\n    os.environ['OPS_X'] = x",
        "def fn(x, g):\n    import torch\n    return torch.rand(3, generator=g)",
        "def fn(x):\n    with open('out.txt', 'w') as f: f.write(x)",
        "import time\ndef fn(x): return time.strftime('%Y', time.gmtime(x))",
        "class R:\n    def random(self): return 4\nrandom = R()\ndef fn(x): return random.random()",
        "def open(x): return x\ndef fn(x): return open(x)",
    ],
)
def test_what_is_no_concern(load, source):
    found = tree(load(source).fn)
    assert concerns(found) == ()
    assert found.cacheable


def test_seeding_without_a_seed_or_elsewhere_does_not_help(load):
    for seeding in ("random.seed()", "pass"):
        ops = load(f"import random\nrandom.seed(3)\ndef fn(x):\n    {seeding}\n    return random.random()\n")
        assert not tree(ops.fn).cacheable


def test_concerns_are_told_once_and_pass_through_combine_and_json(load):
    ops = load("import random\ndef g(x): return random.random()\ndef fn(x): return g(x) + g(x) + random.random()\n")
    found = combine("run", "run", [combine("operator 1", "operator", [tree(ops.fn)]), tree(ops.g)])
    assert [concern.where for concern in concerns(found)] == ["version0/ops.py:3", "version0/ops.py:2"]
    assert concerns(type(found).from_json(found.to_json())) == concerns(found)
    assert not found.cacheable


def test_concerns_below_the_shown_depth_are_told(load):
    chain = "\n".join(f"def f{n}(x): return f{n + 1}(x)" for n in range(60))
    ops = load(f"import time\n{chain}\ndef f60(x): return time.time()\n")
    assert [concern.name for concern in concerns(tree(ops.f0))] == ["time.time"]


def test_unhashable_in_a_closure_names_the_path(load):
    ops = load(
        """
        import sqlite3
        class Model:
            def __init__(self): self.conn = sqlite3.connect(":memory:")
        def make(model):
            def fn(x): return model.conn.execute(x)
            return fn
        fn = make(Model())
        """
    )
    with pytest.raises(UnhashableError) as caught:
        tree(ops.fn, label="fn")
    ops.fn.__closure__[0].cell_contents.conn.close()
    assert caught.value.subject == "fn.closure.model.conn"
    assert str(caught.value).startswith("no key can be made of fn.closure.model.conn: Connection")


def test_environment_variables_by_a_named_constant(load, monkeypatch):
    ops = load("import os\nNAME = 'OPS_X'\ndef fn(x): return os.environ.get(NAME)\n")
    monkeypatch.setenv("OPS_X", "1")
    before = digest(ops.fn)
    monkeypatch.setenv("OPS_X", "2")
    assert digest(ops.fn) != before
    monkeypatch.delenv("OPS_X")
    assert part(tree(ops.fn), "environment.OPS_X").detail == "unset"


def test_without_source_without_columns(load):
    """Two lambdas on one line, compiled where no columns are kept, still differ."""
    ops = load("a, b = (lambda x: x + 1), (lambda x: x + 2)\n")
    bare = [f.__code__.replace(co_linetable=b"") for f in (ops.a, ops.b)]
    functions = [type(ops.a)(code, vars(ops)) for code in bare]
    assert digest(functions[0]) != digest(functions[1])


def test_a_key_without_a_home(load, monkeypatch):
    """Where code stands and who runs it are no part of its key."""
    ops = load("import os\ndef fn(x): return os.path.join('a', x)\n")
    before = digest(ops.fn)
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.chdir("/")
    assert digest(ops.fn) == before
    assert os.getcwd() == "/"
