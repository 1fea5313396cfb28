"""Describers of objects: instances of classes, enumerations, partials, and those that speak for themselves."""

from __future__ import annotations

import copyreg
import functools
import warnings
from collections.abc import Callable, Mapping
from types import FunctionType, MemberDescriptorType
from typing import Any, cast

from forebay.fingerprint import scratch
from forebay.fingerprint.atoms import shorten
from forebay.fingerprint.containers import attributes
from forebay.fingerprint.graph import Node
from forebay.fingerprint.names import foreign
from forebay.fingerprint.origins import origin_of_class, origin_of_file, origin_of_module
from forebay.fingerprint.sources import code_info
from forebay.fingerprint.walk import Describer, Walk, describes, qualified

_PLAIN = ("", "builtins.object", "torch.nn.modules.module.Module")
"""Where attributes are stored and read without further ado."""


def custom(walk: Walk, node: Node, value: Any) -> None:
    """Describe an object by what its ``__forebay_key__()`` returns, and the name of its class."""
    node.kind, node.detail = "custom", type(value).__qualname__
    node.content = type(value).__qualname__.encode()
    try:
        said = type(value).__forebay_key__(value)
    except Exception as error:  # noqa: BLE001 - it is the user's code; whatever it raises, there is no key
        walk.fail(node, f"its __forebay_key__() raised {type(error).__name__}: {error}", hint="mend that method")
    walk.child(node, "__forebay_key__", said)


def instance(walk: Walk, node: Node, value: Any) -> None:
    """Describe an object by its class and its state, as ``__reduce_ex__`` gives it."""
    cls = cast("type[Any]", type(value))
    node.kind, node.detail = "object", cls.__qualname__
    walk.child(node, "class", cls)
    reduced = _reduced(walk, node, value)
    if isinstance(reduced, str):
        node.content = reduced.encode()
        return
    make, arguments, *rest = reduced
    state, items, pairs = (*rest, None, None, None)[:3]
    if make not in (copyreg.__newobj__, copyreg._reconstructor):  # type: ignore[attr-defined]  # pyright: ignore
        walk.child(node, "made by", make)
    if kept := [argument for argument in arguments if argument is not cls]:
        walk.child(node, "arguments", tuple(kept))
    _state(walk, node, value, state)
    if items is not None:
        walk.child(node, "items", list(items))
    if pairs is not None:
        walk.child(node, "pairs", dict(pairs))


def _reduced(walk: Walk, node: Node, value: Any) -> Any:
    reducer = copyreg.dispatch_table.get(type(value))
    try:
        if type(value).__module__ == "itertools":
            return _iterator_state(value)
        return reducer(value) if reducer is not None else value.__reduce_ex__(4)
    except Exception as error:  # noqa: BLE001 - it is the class's own code; whatever it raises, its state cannot be had
        walk.fail(node, f"{type(value).__qualname__} does not give its state ({error})")


def _iterator_state(value: Any) -> Any:
    """Return the state of an object of itertools; from Python 3.14 on they give none, but a count's text says all."""
    if type(value).__reduce__ is object.__reduce__:
        name, _, rest = repr(value).partition("(")
        if name == "count" and set(rest) <= set("0123456789+-.e, )"):  # numbers, which their texts tell in full
            return f"count({rest}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 and 3.13, for the programmer alone
        return value.__reduce_ex__(4)


def _state(walk: Walk, node: Node, value: Any, state: Any) -> None:
    if isinstance(state, tuple) and len(state) == 2 and _names(state[0] or {}) and _names(state[1] or {}):
        state = {**(state[0] or {}), **(state[1] or {})}  # attributes, then slots
    if isinstance(state, Mapping) and _names(state):
        attributes(walk, node, state, skip=derived(walk, node, value, state))
    elif state is not None:
        walk.child(node, "state", state)


def _names(state: Any) -> bool:
    return isinstance(state, Mapping) and all(type(name) is str for name in state)


def derived(walk: Walk, node: Node, value: Any, state: Mapping[str, Any]) -> set[str]:
    """Return the attributes that say nothing: cached properties, and counters that the work only ever bumps."""
    cls = type(value)
    skip = {name for name in state if isinstance(class_attribute(cls, name), functools.cached_property)}
    entry = walk.entries.get(id(value))
    if entry is not None:
        counters = {name for name in _bumped(cls, entry) if name in state and scratch.is_counter(state[name])}
        walk.deferred.append(_recount(walk, node, {name: state[name] for name in counters}))
        skip |= counters
    return skip


def _recount(walk: Walk, node: Node, counters: dict[str, Any]) -> Callable[[], None]:
    """Let counters count after all, if other code has been found to reach the object, too."""

    def settle() -> None:
        if node.reached > 1:
            attributes(walk, node, counters)

    return settle


def _bumped(cls: type, entry: str) -> set[str]:
    """Return the attributes that a method and the methods it calls only ever bump; none where that cannot be seen."""
    if any(_definer(cls, name) not in _PLAIN for name in ("__setattr__", "__getattribute__", "__getattr__")):
        return set()  # what is stored or read may go through the user's own code
    todo, seen = [entry], {entry}
    bumped: set[str] = set()
    read: set[str] = set()
    while todo:
        method = class_attribute(cls, todo.pop())
        function = method.fget if isinstance(method, property) else method
        if not isinstance(function, FunctionType):
            continue
        if not origin_of_file(function.__code__.co_filename).is_user:
            return set()
        node = code_info(function.__code__).node
        use = scratch.attribute_use(node) if node is not None else scratch.Use(escapes=True)
        if use.escapes:
            return set()
        bumped |= {name for name in use.bumped if not _is_managed(class_attribute(cls, name))}
        read |= use.read
        todo.extend(name for name in use.read - seen)
        seen |= use.read
    return bumped - read


def _is_managed(attribute: Any) -> bool:
    return hasattr(type(attribute), "__set__") and not isinstance(attribute, MemberDescriptorType)


def _definer(cls: type, name: str) -> str:
    return next((qualified(base) for base in cls.__mro__ if name in base.__dict__), "")


def class_attribute(cls: type, name: str) -> Any:
    """Return what a class or its bases define under a name, as it is; None where there is nothing."""
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


def subclass_of(describe: Describer) -> Describer:
    """Return a describer of instances of subclasses of what `describe` describes."""

    def described(walk: Walk, node: Node, value: Any) -> None:
        cls = cast("type[Any]", type(value))
        if not origin_of_class(cls).is_user:
            instance(walk, node, value)  # compiled subclasses keep state that only their reducer knows
            return
        node.kind, node.detail = "object", cls.__qualname__
        walk.child(node, "class", cls)
        walk.part(node, "value", describe, value)
        attributes(walk, node, _attributes_of(value))

    return described


def _attributes_of(value: Any) -> dict[str, Any]:
    state = dict(getattr(value, "__dict__", {}))
    for base in type(value).__mro__:
        if base.__module__.partition(".")[0] == "pathlib":
            continue  # a path's text and hash, remembered when they are first asked for
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{base.__name__.lstrip('_')}{name}"
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                state[name] = getattr(value, name)
    return state


@describes("enum.Enum", whole=True)
def _enum(walk: Walk, node: Node, value: Any) -> None:
    cls = cast("type[Any]", type(value))
    node.kind, node.detail = "enum", f"{cls.__qualname__}.{value._name_ or value._value_}"
    node.content = str(value._name_).encode()
    walk.child(node, "class", cls)
    walk.child(node, "value", value._value_)


@describes("typing.ForwardRef", "annotationlib.ForwardRef")
def _forward_reference(walk: Walk, node: Node, value: Any) -> None:
    # What it was found to stand for, it remembers once it is used.
    node.kind, node.detail = "forward reference", shorten(value.__forward_arg__)
    node.content = value.__forward_arg__.encode()


@describes("typing.TypeAliasType")
def _type_alias(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail, node.content = "type alias", value.__name__, value.__name__.encode()
    origin = origin_of_module(value.__module__)
    if not origin.is_user:
        foreign(walk, node, "type alias", f"{value.__module__}.{value.__name__}", origin)
        return
    walk.child(node, "parameters", value.__type_params__)
    try:
        stands_for = value.__value__
    except Exception as error:  # noqa: BLE001 - it is code, run only now
        walk.fail(node, f"what it stands for cannot be told ({error})")
    walk.child(node, "value", stands_for)


@describes("pydantic._internal._decorators.Decorator")
def _pydantic_decorator(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "decorator", value.cls_var_name
    for name in ("cls_var_name", "func", "shim", "info"):  # its cls_ref holds the class's address
        walk.child(node, name, getattr(value, name))


@describes("pydantic.type_adapter.TypeAdapter")
def _pydantic_adapter(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "type adapter"
    for name in ("_type", "_config"):  # all else is made of these
        walk.child(node, name, getattr(value, name, None))
    walk.child(node, "class", type(value))


@describes("functools.partial", whole=True)
def _partial(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "partial", shorten(getattr(value.func, "__name__", ""))
    if value.__dict__:
        walk.attributed.append((node, value))
    walk.child(node, "func", value.func)
    walk.child(node, "args", value.args)
    walk.child(node, "keywords", value.keywords)
