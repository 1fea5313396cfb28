"""`@cached`: a function's results in the store, keyed by its code and its arguments.

::

    @forebay.cached
    def lengths(texts: list[str], limit: int = 10) -> dict[str, int]: ...

    lengths(texts)          # computed once, over all processes that ask for it
    lengths.key(texts)      # its key
    lengths.forget(texts)   # computed again next time

What can be kept: Arrow tables, numpy arrays (not of objects), pandas frames, bytes, and JSON-like values, nested in
dicts, lists and tuples. Stored as Arrow IPC, raw array bytes and JSON, never pickled; arrays come back read-only, as
views of the store's file.

What the code reaches that a key cannot see (unseeded random numbers, files, the clock), and what keeps results from
being kept, is told as a `RuntimeWarning`, each once per process.
"""

from __future__ import annotations

import functools
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from forebay.errors import CacheRequiredError, InputError, ObjectDamagedError, ObjectMissingError, StoreError
from forebay.types import Cost, Entry, Key

if TYPE_CHECKING:
    from forebay.config import Settings
    from forebay.fingerprint import KeyTree
    from forebay.store import Batch, Store

P = ParamSpec("P")
R = TypeVar("R")

KIND = "value"


class Cached(Generic[P, R]):
    """A function whose results are kept. Safe from threads and processes: one computes, the others wait."""

    def __init__(
        self, function: Callable[P, R], store: Store | None, version: str | None, told: set[str] | None = None
    ) -> None:
        if not callable(function):  # @cached("2"), say
            hint = "write @cached, or @cached(version=…, store=…)"
            raise InputError(f"not a function: {function!r}", subject=function, hint=hint)
        if _is_deferred(function):
            name = _named(function).__qualname__
            raise InputError(f"{name} gives a generator or coroutine, which cannot be kept",
                             subject=name, hint="return a list, a table or an array")  # fmt: skip
        functools.update_wrapper(self, function)
        self._function = function
        self._store = store
        self._version = version
        self._told: set[str] = set() if told is None else told
        """What was warned of. A method's is that of all its class's instances, which are bound anew by each access."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the function's result, computed or found.

        Warns:
            RuntimeWarning: once of each thing that a key of the code cannot see, and why a result was not kept.

        Raises:
            UnhashableError: an argument, or what the code depends on, that no key can be made of.
            InputError: the result is of a kind that cannot be kept.
            CacheRequiredError: it is not in the store, whose settings say `require_cache`.
        """
        from forebay.fingerprint import concerns

        tree = self._tree(*args, **kwargs)
        store = used_store(self._store)
        seen = concerns(tree)
        for concern in seen:
            does = "" if concern.cacheable else " is computed each time"
            self._tell(f"{self._name}{does}: {concern.sentence}")
        cacheable = all(concern.cacheable for concern in seen)
        if store.settings.require_cache:
            return self._found(store, tree, cacheable)
        if not cacheable:
            return self._function(*args, **kwargs)
        work = _Work(lambda: self._function(*args, **kwargs))
        try:
            try:
                return self._kept(store, tree, work)
            except (ObjectDamagedError, ObjectMissingError) as error:
                if work.begun or not store.writable:
                    raise
                if isinstance(error, ObjectDamagedError):
                    self._tell(f"{self._name} is computed again: {error.what}")
                return self._kept(store, tree, work)  # set aside, or evicted as we came: a miss by now
        except StoreError as error:
            if work.begun and not work.made:  # the function's own
                raise
            # A cache never breaks the work. What was computed before the store failed is not computed twice.
            self._tell(f"{self._name} is not kept: {error}", once=type(error).__name__)
            return work.made[0] if work.made else self._function(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """A method: bind it, so that the instance's state is part of the key."""
        if instance is None:
            return self
        bound = cast("Any", self._function).__get__(instance, owner)
        return Cached(bound, self._store, self._version, self._told)

    def __forebay_key__(self) -> object:
        """What code that calls it depends on: the function, or the version that stands in for it; never the store."""
        return self._function if self._version is None else [self._name, self._version]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Go to other processes by name, as plain functions do; with its object, if it is a method.

        Picklers that take functions by value (dill, cloudpickle) find the function within the `_handle`, and who hashes
        what is pickled, as datasets does, sees by the key that the code has changed.
        """
        if inspect.ismethod(self._function):
            owner, name = self._function.__self__, self._function.__name__
            if isinstance(getattr(owner, name, None), Cached):
                return getattr, (owner, name)
        elif _by_name(self) is self:
            if protocol < 4:  # to these a name within something is its parent, which is this object, and the rest
                return self._function.__qualname__
            from forebay.fingerprint import tree

            return _again, (self._handle, tree(self).digest)
        return super().__reduce_ex__(protocol)

    @functools.cached_property
    def _handle(self) -> Callable[[], Cached[P, R]]:
        """A plain function that gives this one anew, and is found by the name that it has: ``module.function._handle``.

        The function itself cannot be found, for this object has its name.
        """
        function, store, version = self._function, self._store, self._version

        def handle() -> Cached[P, R]:
            return Cached(function, store, version)

        handle.__module__, handle.__qualname__ = function.__module__, f"{function.__qualname__}._handle"
        return handle

    def key(self, *args: P.args, **kwargs: P.kwargs) -> Key:
        """Return the key of a call.

        Raises:
            UnhashableError: an argument, or what the code depends on, that no key can be made of.
        """
        return self._tree(*args, **kwargs).digest

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove a call's result; tell whether there was one."""
        return used_store(self._store).remove(KIND, self.key(*args, **kwargs))

    @property
    def _name(self) -> str:
        named = _named(self._function)
        return f"{named.__module__}.{named.__qualname__}"

    def _kept(self, store: Store, tree: KeyTree, work: _Work[R]) -> R:
        """Return the result that is found, or made and kept."""
        from forebay.pipeline import values

        def make(batch: Batch) -> Entry:
            began = time.perf_counter()
            result = work()
            seconds = time.perf_counter() - began
            meta, objects = values.encode(result, batch.put)
            cost = Cost(seconds, sum(ref.size for ref in objects))
            parts = {"call": tree.to_json()}
            return Entry(KIND, tree.digest, objects, {"value": meta}, parts, cost=cost, dataset=self._name)

        entry = store.build(KIND, tree.digest, make)
        return cast("R", values.decode(entry.meta["value"], entry.objects, store.read))

    def _found(self, store: Store, tree: KeyTree, cacheable: bool) -> R:
        """Strict mode: return what is there; an error where the function would have to be computed."""
        from forebay.pipeline import values

        what, hint = f"{self._name} of these arguments is not in the store", "call it once without require_cache"
        if not cacheable:
            raise CacheRequiredError(what, subject=self._name, hint=f"it never is: {tree.reason}")
        entry = store.get(KIND, tree.digest)
        if entry is None or not store.complete(entry):
            raise CacheRequiredError(what, subject=self._name, hint=hint)
        try:
            return cast("R", values.decode(entry.meta["value"], entry.objects, store.read))
        except StoreError as error:
            raise CacheRequiredError(f"{what}: {error.what}", subject=self._name, hint=hint) from error

    def _tell(self, message: str, once: str = "") -> None:
        """Warn of something once; `once` stands for messages that differ from call to call, of key or size."""
        if (once or message) not in self._told:
            import warnings

            self._told.add(once or message)
            warnings.warn(message, RuntimeWarning, stacklevel=3)  # at the call of the function

    def _tree(self, *args: Any, **kwargs: Any) -> KeyTree:
        from forebay.fingerprint import combine, tree

        if self._is_given_its_class(args):
            return self.__get__(args[0])._tree(*args[1:], **kwargs)
        given = _arguments(self._function, args, kwargs)
        if self._version is None:
            code = tree(self._function, label="function")
        else:
            code = tree([self._name, self._version], label="version")
            # What it is called on, or was given before, is an argument, too: no version stands for that.
            given = [*(tree(held, label="self") for held in _beside(self._function)), *given]
        return combine(_named(self._function).__qualname__, "call", [code, *given])

    def _is_given_its_class(self, args: Sequence[Any]) -> bool:
        """Tell whether a classmethod calls us: from Python 3.13 on it hands over the class and does not bind us."""
        if not args or not isinstance(args[0], type):
            return False
        found = inspect.getattr_static(args[0], _named(self._function).__name__, None)
        return isinstance(found, classmethod) and found.__func__ is self


class _Work(Generic[R]):
    """One call of a function, and what became of it."""

    def __init__(self, call: Callable[[], R]) -> None:
        self._call = call
        self.begun = False
        self.made: list[R] = []

    def __call__(self) -> R:
        self.begun = True
        self.made.append(self._call())
        return self.made[0]


def _by_name(function: Any) -> Any:
    """Return what has a function's name in its module; None if nothing has."""
    found = sys.modules.get(str(getattr(function, "__module__", None)))
    for name in str(getattr(function, "__qualname__", "")).split("."):
        found = getattr(found, name, None)
    return found


def _again(handle: Callable[[], Cached[P, R]], _: Key) -> Cached[P, R]:
    """Return the function that was pickled: this process's own, or, if it came by value, another one like it."""
    found = _by_name(handle())
    return found if isinstance(found, Cached) and vars(found).get("_handle") is handle else handle()


def _unbound(function: Any) -> Any:
    """Return what a partial calls."""
    while isinstance(function, functools.partial):
        function = cast("functools.partial[Any]", function).func
    return function


def _named(function: Any) -> Any:
    """Return what has a name: the function behind a partial, the class of an object that can be called."""
    function = _unbound(function)
    return function if hasattr(function, "__qualname__") else type(function)


def _beside(function: Any) -> list[Any]:
    """Return what is neither code nor given by a call: a partial's arguments, what a method or object holds."""
    if isinstance(function, functools.partial):
        given = cast("functools.partial[Any]", function)
        return [given.args, given.keywords, *_beside(given.func)]
    if inspect.ismethod(function):
        return [_held_by(function.__self__)]
    return [] if hasattr(function, "__qualname__") else [_held_by(function)]


def _held_by(owner: Any) -> Any:
    """Return what a method's object holds. Of its class it is the name alone, for a version stands for the code."""
    cls = owner if isinstance(owner, type) else type(owner)
    name = f"{cls.__module__}.{cls.__qualname__}"
    if cls is owner:
        return name
    if hasattr(cls, "__forebay_key__"):
        return owner
    try:
        reduced: Any = owner.__reduce_ex__(4)
    except Exception:  # noqa: BLE001 - it is the class's own code; why there is no key of it, the fingerprint says
        return owner
    if isinstance(reduced, str):
        return [name, reduced]
    parts: tuple[Any, ...] = (*reduced[1:], None, None, None)
    made_of, state, items, pairs = parts[:4]
    if isinstance(state, dict):  # without what is worked out from the rest
        computed = functools.cached_property
        named = cast("dict[str, Any]", state).items()
        state = {key: held for key, held in named if not isinstance(getattr(cls, key, None), computed)}
    return [name, [part for part in made_of if part is not cls], state, list(items or ()), dict(pairs or ())]


def _arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[KeyTree]:
    """Keys of the arguments by parameter: ``f(1)``, ``f(x=1)`` and a default of 1 are one call."""
    from forebay.fingerprint import tree

    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return [tree(value, label=name) for name, value in bound.arguments.items()]


@overload
def cached(function: Callable[P, R], /) -> Cached[P, R]: ...
@overload
def cached(*, version: str | None = None, store: Store | None = None) -> Callable[[Callable[P, R]], Cached[P, R]]: ...
def cached(
    function: Callable[P, R] | None = None, /, *, version: str | None = None, store: Store | None = None
) -> Cached[P, R] | Callable[[Callable[P, R]], Cached[P, R]]:
    """Keep a function's results in the store.

    Args:
        function: what to keep the results of.
        version: stands in for the function's code in the key; change it when results change.
        store: where; None: the default store.

    Raises:
        InputError: it is no function, or gives a generator or coroutine.
    """
    if function is not None:
        return Cached(function, store, version)
    return lambda given: Cached(given, store, version)


_STORES: dict[Settings, Store] = {}
"""This process's default stores."""


def _opened(settings: Settings) -> Store:
    from forebay.store import Store

    try:
        return Store.open(settings)
    except StoreError as error:
        if settings.require_cache:
            raise
        import warnings

        warnings.warn(f"{error}; until then, nothing is kept beyond this process", RuntimeWarning, stacklevel=4)
    return Store.open(replace(settings, home=_fleeting_folder(), read_only=False))


def _fleeting_folder() -> Path:
    """Make a folder that goes when this process does."""
    import atexit
    import os
    import shutil

    from forebay.io import temporary_folder

    folder, ours = temporary_folder("store"), os.getpid()

    def remove() -> None:
        if os.getpid() == ours:  # not a child that was forked meanwhile
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def used_store(given: Store | None = None) -> Store:
    """Return a store that was given, or that of this process's settings, which is opened once.

    Raises:
        InputError: a folder was given.
    """
    from forebay import config

    config.refuse_folder(given)
    if given is not None:
        return given
    settings = config.resolve()
    found = _STORES.get(settings)
    if found is None:
        opened = _opened(settings)
        found = _STORES.setdefault(settings, opened)
        if found is not opened:
            opened.close()  # another thread was first
    return found


def _is_deferred(function: Callable[..., Any]) -> bool:
    function = _unbound(function)
    called = function if hasattr(function, "__code__") else type(function).__call__
    code = getattr(called, "__code__", None)
    deferred = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR
    return code is not None and bool(code.co_flags & deferred)
