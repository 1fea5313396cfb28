"""Which describer a type gets."""

from __future__ import annotations

from collections.abc import Mapping, Set

# Importing them registers their describers.
from forebay.fingerprint import arrays, classes, containers, functions, models, objects
from forebay.fingerprint.origins import origin_of_class
from forebay.fingerprint.walk import Describer, qualified

__all__ = ["arrays", "choose", "classes", "containers", "functions", "models", "objects"]

_VALUES = frozenset(
    ["functools.partial", "pathlib.PurePath", "pathlib._local.PurePath", "weakref.ReferenceType", "weakref.ref"]
)
"""Families in which a class of the user's counts beside the value, as for a subclass of a single type."""


def choose(cls: type, by_name: Mapping[str, Describer], whole: Set[str]) -> Describer:
    """Return what describes instances of `cls`: nearest base first, whole families before single types."""
    if any("__forebay_key__" in vars(base) for base in cls.__mro__):
        return objects.custom
    exact = by_name.get(qualified(cls))
    if exact is not None:
        return exact
    if cls.__name__ == "cython_function_or_method":
        return functions.builtin
    names = [qualified(base) for base in cls.__mro__[1:-1]]
    for name in names:
        if name in whole:
            own = name in _VALUES and origin_of_class(cls).is_user
            return objects.subclass_of(by_name[name]) if own else by_name[name]
    for name in names:
        if name in by_name:
            return objects.subclass_of(by_name[name])
    return objects.instance
