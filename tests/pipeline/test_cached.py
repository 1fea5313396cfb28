"""`@cached`: every kind of value comes back as it was, once over all processes, keyed by code and arguments."""

from __future__ import annotations

import functools
import pickle
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import forebay
from forebay.errors import CacheRequiredError, InputError, StoreError
from forebay.pipeline import values
from forebay.pipeline.cached import used_store
from forebay.types import Digest, ObjectRef

CALLS: list[object] = []
CONNECTION: Any = queue.Queue()
"""Something that no key can be made of."""


@forebay.cached
def doubled(number: int) -> int:
    return 2 * number


class Sum:
    def __init__(self, first: int) -> None:
        self.first = first

    @forebay.cached
    def plus(self, second: int) -> int:
        return self.first + second


@pytest.fixture
def store(tmp_path: Path) -> Iterator[forebay.Store]:
    CALLS.clear()
    with forebay.open(home=tmp_path / "store") as opened:
        yield opened


def roundtrip(value: Any) -> Any:
    objects: dict[Digest, bytes] = {}

    def put(role: str, data: Any) -> ObjectRef:
        digest = Digest(f"{len(objects):064x}")
        objects[digest] = bytes(data)
        return ObjectRef(role, digest, len(objects[digest]))

    data, refs = values.encode(value, put)
    return values.decode(data, refs, lambda digest: memoryview(objects[digest]))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.booleans()), inner)
    ),
    max_leaves=12,
)


class TestValues:
    @given(PLAIN)
    def test_plain_values_come_back_with_their_types(self, value: Any) -> None:
        found = roundtrip(value)
        assert found == value
        assert repr(found) == repr(value)

    @pytest.mark.parametrize(
        "value",
        [
            np.arange(12).reshape(3, 4), np.zeros((0, 3)), np.array(7), np.array(["a", "bcd"]), np.array([1 + 2j]),
            np.array(["2026-01-01"], "datetime64[D]"), np.float32(1.5), np.arange(10)[::3],
            np.asfortranarray(np.eye(3)), np.array([True, False]), np.str_(""), np.bytes_(b"ab"), np.bytes_(b""),
        ],
    )  # fmt: skip
    def test_arrays(self, value: Any) -> None:
        found = roundtrip(value)
        assert type(found) is type(value)
        assert (found.dtype, found.shape) == (value.dtype, value.shape)
        assert np.array_equal(found, value)

    def test_tables_frames_and_nesting(self) -> None:
        table = pa.table({"a": [1, None], "b": ["x", "y"]})
        found = roundtrip({"table": table, "parts": (table.to_batches()[0], [float("inf")]), "$": 1})
        assert found["table"].equals(table)
        assert found["parts"][0].equals(table.to_batches()[0])
        assert found["parts"][1] == [float("inf")]
        assert found["$"] == 1
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"a": [1, 2]}, index=["x", "y"])
        pandas.testing.assert_frame_equal(roundtrip(frame), frame)

    def test_tables_whose_chunks_have_dictionaries_of_their_own(self) -> None:
        chunks = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", "b"]).dictionary_encode()]
        nested = [pa.StructArray.from_arrays([chunk], ["x"]) for chunk in chunks]
        table = pa.table({"plain": pa.chunked_array(chunks), "nested": pa.chunked_array(nested)})
        found = roundtrip(table)
        assert found.schema == table.schema
        assert found.to_pylist() == table.to_pylist()

    @pytest.mark.parametrize("deep", [600, -1])
    def test_what_is_nested_without_end_is_not_kept(
        self, store: forebay.Store, deep: int, recwarn: pytest.WarningsRecorder
    ) -> None:
        @forebay.cached(store=store)
        def nested(deep: int) -> list[Any]:
            inner: list[Any] = []
            if deep < 0:
                inner.append(inner)
            for _ in range(deep):
                inner = [inner]
            return inner

        assert isinstance(nested(deep)[0], list)
        told = str(recwarn.pop(RuntimeWarning).message)  # how deep a call goes, Python's versions see differently
        assert re.search("nested is not kept: (result is nested too deeply|.*nested more than 500 levels deep)", told)

    def test_dicts_keep_their_order_at_rest(self, store: forebay.Store) -> None:
        @forebay.cached(store=store)
        def columns() -> dict[str, Any]:
            return {"text": 1, "id": {"b": 1, "a": 2}}

        for _ in range(2):  # made, then found
            found = columns()
            assert list(found) == ["text", "id"]
            assert list(found["id"]) == ["b", "a"]

    @pytest.mark.parametrize(("columns", "values"), [(["a", "a"], [[1, 2]]), (["a"], [[1], ["x"]])])
    def test_frames_that_arrow_cannot_hold(self, columns: list[str], values: list[list[Any]]) -> None:
        pandas = pytest.importorskip("pandas")
        with pytest.raises(InputError, match=r"result is a frame that Arrow cannot hold: .*; make each column one"):
            roundtrip(pandas.DataFrame(values, columns=columns))

    @pytest.mark.parametrize("value", [{1, 2}, object(), np.array([object()]), [{"a": lambda: 0}]])
    def test_what_cannot_be_kept_says_where(self, value: Any) -> None:
        with pytest.raises(InputError, match=r"result.* cannot be kept"):
            roundtrip(value)


class TestCached:
    def test_computes_once_and_one_call_has_one_key(self, store: forebay.Store) -> None:
        @forebay.cached(store=store)
        def square(x: int, power: int = 2) -> list[int]:
            CALLS.append(x)
            return [x**power]

        assert square(3) == square(x=3) == square(3, 2) == square(3, power=2) == [9]
        assert CALLS == [3]
        assert square.key(3) == square.key(x=3, power=2) != square.key(4)
        assert square.__name__ == "square"

    def test_forget(self, store: forebay.Store) -> None:
        @forebay.cached(store=store)
        def one() -> int:
            CALLS.append(1)
            return 1

        assert one() == 1
        assert one.forget()
        assert not one.forget()
        assert one() == 1
        assert len(CALLS) == 2

    def test_a_version_and_the_code(self, store: forebay.Store) -> None:
        def make(factor: int, version: str | None) -> Any:
            @forebay.cached(store=store, version=version)
            def scaled(x: int) -> int:
                return x * factor

            return scaled

        assert make(2, None)(5) == 10
        assert make(3, None)(5) == 15
        assert make(2, "a")(5) == 10
        assert make(3, "a")(5) == 10
        assert make(3, "b")(5) == 15

    def test_methods_are_keyed_by_their_instance(self, store: forebay.Store) -> None:
        class Scale:
            def __init__(self, factor: int) -> None:
                self.factor = factor

            @forebay.cached(store=store)
            def of(self, x: int) -> int:
                CALLS.append(x)
                return x * self.factor

        assert (Scale(2).of(5), Scale(3).of(5), Scale(2).of(5)) == (10, 15, 10)
        assert CALLS == [5, 5]

    def test_a_version_stands_for_the_code_of_a_method_not_for_its_instance(self, store: forebay.Store) -> None:
        class Scale:
            def __init__(self, factor: int) -> None:
                self.factor = factor

            @functools.cached_property
            def double(self) -> int:
                return self.factor * 2

            @forebay.cached(store=store, version="1")
            def of(self, x: int) -> int:
                CALLS.append(x)
                return x * self.double // 2

            def unseen(self) -> object:
                return CONNECTION.get()

            @classmethod
            @forebay.cached(store=store, version="1")
            def name(cls) -> str:
                return cls.__name__

        class Other(Scale):
            pass

        assert (Scale(2).of(5), Scale(3).of(5), Scale(2).of(5)) == (10, 15, 10)
        assert CALLS == [5, 5]
        twice = Scale(2)
        assert (twice.of(6), twice.of(6)) == (12, 12)
        assert CALLS == [5, 5, 6]
        assert (Scale.name(), Other.name()) == ("Scale", "Other")

        class Row(list[int]):
            @forebay.cached(store=store, version="1")
            def total(self) -> int:
                return sum(self)

        assert (Row([1, 2]).total(), Row([3]).total()) == (3, 3)
        assert (Row([1, 2]).total(), Row([1, 3]).total()) == (3, 4)

    def test_arrays_are_read_only_views(self, store: forebay.Store) -> None:
        @forebay.cached(store=store)
        def big() -> Any:
            return np.arange(1000)

        first = big()
        assert not first.flags.writeable
        assert np.array_equal(first, big())

    def test_an_error_is_the_functions_own_and_not_kept(self, store: forebay.Store) -> None:
        @forebay.cached(store=store)
        def fails() -> int:
            CALLS.append(1)
            raise KeyError("x")

        for _ in range(2):
            with pytest.raises(KeyError, match="x"):
                fails()
        assert len(CALLS) == 2

    def test_a_store_error_of_the_function_is_its_own(self, store: forebay.Store) -> None:
        @forebay.cached(store=store)
        def fails() -> int:
            CALLS.append(1)
            raise StoreError("of another store")

        with pytest.raises(StoreError, match="of another store"):
            fails()
        assert CALLS == [1]

    def test_a_damaged_result_is_computed_again_and_kept(
        self, tmp_path: Path, recwarn: pytest.WarningsRecorder
    ) -> None:
        def big() -> bytes:
            CALLS.append(1)
            return b"x" * 5000

        def damage() -> None:
            (path,) = (path for path in (tmp_path / "store" / "objects-v1").rglob("*") if path.is_file())
            path.chmod(0o644)
            path.write_bytes(b"y" * 5000)

        CALLS.clear()
        home = tmp_path / "store"
        with forebay.open(home=home) as first:
            assert forebay.cached(store=first)(big)() == b"x" * 5000
        damage()
        with forebay.open(home=home) as second:
            again = forebay.cached(store=second)(big)
            assert again() == again() == b"x" * 5000
        assert len(CALLS) == 2
        assert "big is computed again: object " in str(recwarn.pop(RuntimeWarning).message)
        assert not recwarn
        damage()
        with (
            forebay.open(home=home, require_cache=True) as strict,
            pytest.raises(
                CacheRequiredError, match=r"big of these arguments is not in the store: object .* is damaged"
            ),
        ):
            forebay.cached(store=strict)(big)()
        assert len(CALLS) == 2

    def test_a_store_that_cannot_take_it_costs_nothing_and_is_told_once(
        self, tmp_path: Path, recwarn: pytest.WarningsRecorder
    ) -> None:
        CALLS.clear()
        with forebay.open(home=tmp_path / "full", max_bytes=1) as full:

            @forebay.cached(store=full)
            def big(size: int = 10**6) -> bytes:
                CALLS.append(1)
                return b"x" * size

            assert big() == b"x" * 10**6
            assert len(CALLS) == 1
            assert big(2 * 10**6) == b"x" * 2 * 10**6
            assert "big is not kept: " in str(recwarn.pop(RuntimeWarning).message)
            assert not recwarn
            with pytest.raises(StoreError):
                full.commit(forebay.store.entry.Entry("value", big.key()), {"x": b"x" * 10**6})  # type: ignore[attr-defined]

    def test_what_is_never_kept_is_called_each_time_and_told_once(
        self, store: forebay.Store, recwarn: pytest.WarningsRecorder
    ) -> None:
        import random

        @forebay.cached(store=store)
        def draw() -> float:
            CALLS.append(1)
            return random.random()

        assert draw() != draw()
        assert len(CALLS) == 2
        message = str(recwarn.pop(RuntimeWarning).message)
        assert message.startswith(f"{__name__}.TestCached.")
        assert "draw is computed each time: random.random (" in message
        assert "\n" not in message
        assert not recwarn

    def test_what_a_key_cannot_see_is_told_once_for_all_instances(
        self, store: forebay.Store, tmp_path: Path, recwarn: pytest.WarningsRecorder
    ) -> None:
        class Reader:
            def __init__(self, name: str) -> None:
                self.name = name

            @forebay.cached(store=store)
            def read(self) -> str:
                return (tmp_path / self.name).read_text()

            @forebay.cached(store=store, version="1")
            def trusted(self) -> str:
                return (tmp_path / self.name).read_text()

        (tmp_path / "a").write_text("A")
        (tmp_path / "b").write_text("B")
        assert [Reader(name).read() for name in "abab"] == ["A", "B", "A", "B"]
        assert Reader("a").trusted() == "A"
        told = recwarn.pop(RuntimeWarning)
        assert "Reader.read: " in str(told.message)
        assert "pass FileContent(path)" in str(told.message)
        assert told.filename == __file__
        assert not recwarn

    @pytest.mark.filterwarnings("ignore:.*is computed each time")
    def test_strict_mode_computes_nothing(self, tmp_path: Path) -> None:
        def square(x: int) -> int:
            CALLS.append(x)
            return x * x

        def draw() -> float:
            import random

            return random.random()

        CALLS.clear()
        with forebay.open(home=tmp_path / "store") as usual:
            assert forebay.cached(store=usual)(square)(3) == 9
        with forebay.open(home=tmp_path / "store", require_cache=True) as strict:
            known = forebay.cached(store=strict)(square)
            assert known(3) == 9
            with pytest.raises(
                CacheRequiredError, match=r"square of these arguments is not in the store; call it once"
            ):
                known(4)
            with pytest.raises(CacheRequiredError, match=r"draw .*not in the store; it never is: random\.random"):
                forebay.cached(store=strict)(draw)()
        assert CALLS == [3]

    def test_partials_and_objects_that_can_be_called(self, store: forebay.Store) -> None:
        class Scale:
            def __init__(self, factor: int) -> None:
                self.factor = factor

            def __call__(self, x: int) -> int:
                CALLS.append(x)
                return x * self.factor

        def minus(a: int, b: int) -> int:
            CALLS.append(a)
            return a - b

        for version in (None, "1"):
            keep: Any = forebay.cached(store=store, version=version)
            assert [keep(Scale(factor))(5) for factor in (2, 3, 2)] == [10, 15, 10]
            assert [keep(functools.partial(minus, a))(1) for a in (7, 8, 7)] == [6, 7, 6]
            assert [keep(functools.partial(minus, b=b))(9) for b in (1, 2, 1)] == [8, 7, 8]
            assert len(CALLS) == 6
            CALLS.clear()

    def test_threads_that_come_first_together_share_one_store(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "shared"))
        together = threading.Barrier(8)

        def first(_: int) -> forebay.Store:
            together.wait()
            return used_store()

        with ThreadPoolExecutor(8) as pool:
            stores = list(pool.map(first, range(8)))
        assert all(store is stores[0] for store in stores)

    def test_generators_are_refused(self) -> None:
        with pytest.raises(InputError, match="generator or coroutine"):

            @forebay.cached
            def items() -> Iterator[int]:
                yield 1

        class Waits:
            async def __call__(self) -> int:
                return 1

        for deferred in (Waits(), functools.partial(Waits.__call__, Waits())):
            with pytest.raises(InputError, match=r"Waits.* gives a generator or coroutine"):
                forebay.cached(deferred)

    def test_what_is_no_function_is_refused(self) -> None:
        wrong: Any = "2"
        with pytest.raises(InputError, match=r"not a function: '2'; write @cached, or @cached\(version=…, store=…\)"):
            forebay.cached(wrong)

    def test_one_computes_for_all_processes(self, tmp_path: Path) -> None:
        code = (
            "import forebay, time, os\n"
            f"@forebay.cached(store=forebay.open(home={str(tmp_path / 'shared')!r}))\n"
            "def slow(x):\n"
            f"    open({str(tmp_path / 'calls')!r}, 'a').write('x')\n"
            "    time.sleep(0.5)\n"
            "    return {'x': x}\n"
            "print(slow(3))\n"
        )
        (tmp_path / "program.py").write_text(code)
        running = [
            subprocess.Popen([sys.executable, str(tmp_path / "program.py")], stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        assert {process.communicate()[0] for process in running} == {"{'x': 3}\n"}
        assert (tmp_path / "calls").read_text() == "x"


class TestOtherProcesses:
    """What is pickled goes by name, as functions do; picklers that take functions by value still can."""

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize("function", [doubled, Sum.plus])
    def test_by_name(self, function: Any, protocol: int) -> None:
        assert pickle.loads(pickle.dumps(function, protocol)) is function

    def test_a_method_goes_with_its_object(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "store"))
        found = pickle.loads(pickle.dumps(Sum(3).plus))
        with used_store():
            assert found(4) == 7
        assert found.key(4) == Sum(3).plus.key(4)

    def test_what_has_no_name_is_pickled_by_value_or_not_at_all(self) -> None:
        dill = pytest.importorskip("dill")

        @forebay.cached
        def inner(number: int) -> int:
            return number + 1

        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(inner)
        assert dill.loads(dill.dumps(inner)).key(1) == inner.key(1)

    def test_who_hashes_the_pickle_sees_that_the_code_changed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hashing = pytest.importorskip("datasets.fingerprint").Hasher.hash
        hashes: set[str] = set()
        for code in ("1", "2", "1"):
            space: dict[str, Any] = {"__name__": __name__, "forebay": forebay}
            exec(f"@forebay.cached\ndef doubled(number): return {code}", space)
            monkeypatch.setattr(sys.modules[__name__], "doubled", space["doubled"])
            hashes.add(hashing(space["doubled"]))
        assert len(hashes) == 2

    def test_processes_that_are_spawned(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "store"))
        code = (
            "import forebay, multiprocessing\n"
            "@forebay.cached\n"
            "def square(number):\n"
            "    return number * number\n"
            "if __name__ == '__main__':\n"
            "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
            "        print(pool.map(square, [2, 3]))\n"
        )
        (tmp_path / "program.py").write_text(code)
        program = [sys.executable, str(tmp_path / "program.py")]
        assert subprocess.run(program, capture_output=True, text=True, check=True).stdout == "[4, 9]\n"
