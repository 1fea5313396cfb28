"""What a key cannot see, but can tell: files, modules and seeds that code names in ways less usual."""

from __future__ import annotations

import pytest

from forebay.fingerprint import concerns, tree

TOLD = [
    ("import os\ndef fn(x): return os.environ['APP_' + x]", "environment", "os.environ"),
    ("import os\ndef fn(x): return os.environ.get(f'APP_{x}', '')", "environment", "os.environ.get"),
    ("import os\nN = ['A']\ndef fn(x): return os.environ[N[0]]", "environment", "os.environ"),
    ("import os\nN = 'A'\ndef fn(x): return os.environ[(N)[0]]", "environment", "os.environ"),
    ("import os\nN = 'A'\ndef fn(x): return os.getenv(N.lower())", "environment", "os.getenv"),
    ("import os\ndef fn(x): return os.getenv('A' if x else 'B')", "environment", "os.getenv"),
    ("import os\nN = ''\ndef fn(x): return os.getenv(N or 'B')", "environment", "os.getenv"),
    ("import os\ndef fn(x): return (x or 'B') in os.environ", "environment", "os.environ"),
    ("import os\ndef fn(x): return x + 'A' in os.environ", "environment", "os.environ"),
    ("import os\ndef fn(x): os.environ['A' + x] += 'B'", "environment", "os.environ"),
    ("def fn(x): return open('./' + x).read()", "file", "open"),
    ("def fn(x): return open('a%s' % x).read()", "file", "open"),
    ("def fn(x): return open(f'a{x:>9}').read()", "file", "open"),
    ("def fn(x): return open('a' 'b'.join(x)).read()", "file", "open"),
    ("def fn(x): return open(x, 'r' if x else 'w').read()", "file", "open"),
    ("def fn(x): return open(mode='r', file=x).read()", "file", "open"),
    ("def fn(x): return open(*x).read()", "file", "open"),
    ("from pathlib import Path\ndef fn(x): return Path('words.txt').open().read()", "file", ".open()"),
    ("from pathlib import Path\ndef fn(x): return Path('words.txt').open('rb').read()", "file", ".open()"),
    ("import numpy as np\ndef fn(x): return np.genfromtxt('words.txt')", "file", "numpy.genfromtxt"),
    ("from numpy import genfromtxt\ndef fn(x): return genfromtxt('words.txt')", "file", "numpy.genfromtxt"),
    ("import pyarrow.csv\ndef fn(x): return pyarrow.csv.read_csv('a.csv')", "file", "pyarrow.csv.read_csv"),
    ("from pyarrow.csv import read_csv\ndef fn(x): return read_csv('a.csv')", "file", "pyarrow.csv.read_csv"),
    ("from pyarrow.json import read_json\ndef fn(x): return read_json('a')", "file", "pyarrow.json.read_json"),
    ("from pyarrow.parquet import read_table\ndef fn(x): return read_table('a')", "file", "pyarrow.parquet.read_table"),
    ("import pyarrow.parquet as p\ndef fn(x): return p.ParquetFile('a')", "file", "pyarrow.parquet.ParquetFile"),
    ("from pyarrow import feather\ndef fn(x): return feather.read_table('a')", "file", "pyarrow.feather.read_table"),
    ("import sqlite3\ndef fn(x): return sqlite3.connect('a.db')", "file", "sqlite3.connect"),
    ("from sqlite3 import connect\ndef fn(x): return connect('a.db')", "file", "sqlite3.connect"),
    ("import sys\ndef fn(x): return sys.modules['h'].g(x)", "dynamic", "sys.modules"),
    ("from sys import modules\ndef fn(x): return modules[x].g(x)", "dynamic", "sys.modules"),
    ("import threading\nT = threading.local()\nT.lock = object()\ndef fn(x): return T.lock", "state", "threading.local.lock"),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("source", "kind", "name"), TOLD, ids=[case[0].rpartition("\n")[2] for case in TOLD])
def test_what_is_named_is_told_once(load, source, kind, name):
    found = tree(load(source).fn)
    (concern,) = concerns(found)
    assert (concern.kind, concern.name, concern.cacheable) == (kind, name, True)
    assert concern.text


@pytest.mark.parametrize(
    "source",
    [
        "import os\nN = 'A'\ndef fn(x): return os.environ.get(N, x.lower()), (os\n  .environ\n  .get('B', x or N))",
        "import os\nN = 'A'\ndef fn(x): return os.environ[N + '_B'], os.getenv(f'{N}_B'), N + '_B'",
        "import os\ndef fn(x):\n    os.environ['A'] = x + x",
        "from pathlib import Path\ndef fn(x):\n    with Path(x).open('w') as f: f.write(x)",
        "def fn(x):\n    with open(x, 'w', encoding='ascii') as f: f.write(x)",
        "def fn(x):\n    with open(x, 'w') as f: f.write(x)",
        "def fn(x):\n    with open(x + '.txt', mode='a') as f: f.write(x)",
        "N = 'a'\ndef fn(x): return open(N + '.txt', encoding=x.lower()).read()",
        "import threading\nT = threading.local()\nT.n = [3]\ndef fn(x): return T.n",
    ],
)
def test_what_is_in_the_key_is_not_told(load, source):
    assert concerns(tree(load(source).fn)) == ()


def test_one_of_two_variables(load, monkeypatch):
    """Where the compiler asks for each of them in a branch of its own, both are in the key."""
    source = "import os\ndef fn(x): return ('OPS_A' if x else 'OPS_B') in os.environ"
    before = tree(load(source).fn)
    for name in ("OPS_A", "OPS_B"):
        monkeypatch.setenv(name, "1")
        after = tree(load(source).fn)
        assert after.digest != before.digest or [told.name for told in concerns(after)] == ["os.environ"]
        before = after


def test_a_file_behind_an_expression_is_in_the_key(load, tmp_path):
    source = "N = 'words'\ndef fn(x): return open(N + '.txt').read()\n"
    keys = []
    for text in ("one", "two", "one"):
        (tmp_path / "words.txt").write_text(text, "utf-8")
        keys.append(tree(load(source).fn).digest)
    assert keys[0] == keys[2] != keys[1]


WORK = """
import random
class Work:
    def __init__(self):
        {made}
    def setup(self):
        {setup}
    def draw(self):
        {draw}
    def __call__(self, x):
        {call}
fn = Work()
"""
SEED = "random.seed(x)"
DRAW = "return random.random()"


@pytest.mark.parametrize(
    ("places", "cacheable"),
    [
        ({"made": "random.seed(1)", "call": DRAW}, False),
        ({"setup": "random.seed(1)", "call": DRAW}, False),
        ({"setup": "random.seed(1)", "call": f"self.setup(); {DRAW}"}, True),
        ({"setup": "random.seed(1)", "draw": DRAW, "call": "self.setup(); return self.draw()"}, True),
        ({"made": "random.seed(1)", "draw": DRAW, "call": "return self.draw()"}, False),
        ({"draw": DRAW, "call": f"{SEED}; return self.draw()"}, True),
        ({"draw": f"{SEED}; {DRAW}", "call": "return self.draw()"}, True),
        ({"call": f"{SEED}; {DRAW}"}, True),
        ({"call": f"y = random.random(); {SEED}; return y"}, False),
        ({"draw": DRAW, "call": f"y = self.draw(); {SEED}; return y"}, False),
        ({"draw": DRAW, "setup": SEED, "call": "y = self.draw(); self.setup(); return y"}, False),
        ({"call": f"{SEED}; return sorted(x, key=lambda _: random.random())"}, True),
        ({"call": f"{SEED}; return sorted(x, key=random.random)"}, True),
        ({"call": f"{SEED}; import numpy; return numpy.random.rand()"}, False),
    ],
)
def test_a_seed_counts_before_the_draw_and_in_the_same_call(load, places, cacheable):
    ops = load(WORK.format(**{"made": "pass", "setup": "pass", "draw": "pass", "call": "pass"} | places))
    found = tree(ops.fn)
    assert found.cacheable is cacheable
    assert bool(concerns(found)) is not cacheable


HELPERS = """
import random
from functools import wraps
def seed(): random.seed(1)
def draw(x): return random.random()
def both(x):
    seed()
    return draw(x)
def seeded(f):
    @wraps(f)
    def inner(x):
        random.seed(x)
        return f(x)
    return inner
DRAWS = [draw]
class Draws:
    def run(self, x): return draw(x)
"""


@pytest.mark.parametrize(
    ("code", "cacheable"),
    [
        ("def fn(x):\n    seed()\n    return draw(x)", True),
        ("def fn(x):\n    y = draw(x)\n    seed()\n    return y", False),
        ("def fn(x): return both(x)", True),
        ("def fn(x): return both(x) + draw(x)", True),
        ("def fn(x): return draw(x) + both(x)", False),
        ("fn = seeded(draw)", True),
        ("fn = seeded(lambda x: DRAWS[0](x))", True),
        ("@seeded\ndef fn(x): return Draws().run(x)", True),
        ("def fn(x): return Draws().run(x) if x else both(x)", False),
        ("def fn(x): return seeded", True),
        ("fn = Draws().run", False),
        ("fn = Draws", False),
    ],
)
def test_helpers_that_seed(load, code, cacheable):
    assert tree(load(HELPERS + code).fn).cacheable is cacheable


def test_logging_handler_with_a_socket_of_its_own_and_one_of_the_base(load):
    base = "import logging.handlers\nclass H(logging.handlers.SocketHandler): {}\nh = H('localhost', 9)\n"
    used = "import socket\nh.sock = socket.socket()\nh.sock.close()\n"
    source = "def fn(x): return h.clean(x)\n"
    keys = [
        tree(load(base.format(body) + more + source).fn).digest
        for body, more in (("clean = str", ""), ("clean = str", used), ("clean = repr", ""))
    ]
    assert keys[0] == keys[1] != keys[2]
