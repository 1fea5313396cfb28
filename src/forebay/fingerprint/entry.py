"""Where a walk begins: which method of the root object is the work."""

from __future__ import annotations

import functools
from types import FunctionType, MethodType
from typing import Any

from forebay.fingerprint.digests import FileMemo
from forebay.fingerprint.keytree import KeyTree
from forebay.fingerprint.walk import Walk, qualified


def walk(value: object, label: str, memo: FileMemo | None) -> KeyTree:
    """Return the key of `value`."""
    new = Walk(label, memo)
    _enter(new, value)
    return new.tree(value)


def _enter(new: Walk, value: Any) -> None:
    """Note the object whose one method is called: what only its other methods read does not matter."""
    while isinstance(value, functools.partial):
        value = value.func
    if isinstance(value, MethodType):
        new.entries[id(value.__self__)] = value.__func__.__name__
    elif callable(value) and not isinstance(value, type | FunctionType):
        cls: type = type(value)
        names = {qualified(base) for base in cls.__mro__}
        new.entries[id(value)] = "forward" if "torch.nn.modules.module.Module" in names else "__call__"
