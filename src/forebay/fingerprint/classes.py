"""Describers of classes and modules."""

from __future__ import annotations

import abc
import functools
from enum import EnumMeta
from types import FunctionType, ModuleType
from typing import Any

from forebay.fingerprint.functions import compiled
from forebay.fingerprint.graph import Node
from forebay.fingerprint.introspection import read_attribute
from forebay.fingerprint.names import foreign
from forebay.fingerprint.objects import class_attribute
from forebay.fingerprint.origins import origin_of_class, origin_of_module
from forebay.fingerprint.sources import code_info
from forebay.fingerprint.walk import Walk, describes

# What Python, abc, typing, dataclasses and pydantic keep in a class for themselves, or what a key must not see.
# Pydantic's schema and validator follow from fields, decorators and configuration, and hold addresses.
_SKIPPED = frozenset(
    """__module__ __qualname__ __doc__ __dict__ __weakref__ __annotations__ __firstlineno__ __static_attributes__
    __annotate__ __annotate_func__ __annotations_cache__ __conditional_annotations__ __abstractmethods__ _abc_impl
    __type_params__ __parameters__ __orig_bases__ __dataclass_fields__ __match_args__ __classdictcell__ __classcell__
    __slotnames__ __signature__ __pydantic_validator__ __pydantic_serializer__ __pydantic_core_schema__
    __pydantic_complete__ __pydantic_computed_fields__ __pydantic_fields_complete__ __pydantic_setattr_handlers__
    __pydantic_parent_namespace__""".split()  # noqa: SIM905
)
_MEMBER_PRIVATE = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})
_ENUM_PRIVATE = frozenset(
    """_member_map_ _value2member_map_ _member_names_ _new_member_ _generate_next_value_ _value_repr_ _use_args_
    _unhashable_values_ _hashable_values_ _unhashable_values_map_ _member_type_ __new__ _flag_mask_
    _singles_mask_ _all_bits_ _boundary_ _inverted_ _sort_order_ __set_name__""".split()  # noqa: SIM905
)


@describes("builtins.type", whole=True)
def _class(walk: Walk, node: Node, value: type) -> None:
    node.detail = value.__qualname__
    if value.__module__ == "builtins":
        node.kind, node.content = "type", value.__qualname__.encode()
        return
    origin = origin_of_class(value)
    if not origin.is_user:
        foreign(walk, node, "class", f"{value.__module__}.{value.__qualname__}", origin)
        return
    if not value.__flags__ & (1 << 9) and "__file__" in vars(_module_of(value)):  # compiled: not made on the heap
        compiled(walk, node, value.__module__, value.__qualname__)
        return
    node.kind, node.content = "class", value.__name__.encode()
    for number, base in enumerate(value.__bases__):
        if base is not object:
            walk.child(node, base.__name__, base, f"base {number}".encode())
    if type(value) is not type:
        walk.child(node, "metaclass", type(value))
    walk.subjects.append((node, value))
    if registered := _registered(value):
        walk.child(node, "registered", registered)
    members = _enum_members(value) if isinstance(value, EnumMeta) else _members(walk, node, value)
    for name in sorted(members):
        if not node.where and isinstance(members[name], FunctionType):
            node.where = code_info(members[name].__code__).where.rpartition(":")[0]
        walk.child(node, name, members[name])


def _module_of(value: type) -> Any:
    import sys

    return sys.modules.get(value.__module__, sys)


def _members(walk: Walk, node: Node, value: type) -> dict[str, Any]:
    members = {name: member for name, member in vars(value).items() if name not in _SKIPPED}
    fields = vars(value).get("__dataclass_fields__")
    if fields is not None:
        # The methods that dataclass() writes follow from the fields.
        members = {name: member for name, member in members.items() if not _is_generated(name, member)}
        for name, field in fields.items():
            kind = getattr(field._field_type, "name", "")
            flags = (kind, field.init, field.repr, field.compare, field.hash, field.kw_only)
            facts = (*flags, field.default, field.default_factory, field.type, field.metadata)
            walk.child(node, f"field.{name}", facts)
        walk.child(node, "fields", list(fields))
    if type(value).__qualname__ == "_TypedDictMeta":
        read_attribute(walk, node, value, "__annotations__")
    return members


def _registered(value: Any) -> frozenset[type]:
    """Return the classes registered with an abstract one, whose instances isinstance() takes for its own."""
    if "_abc_impl" not in vars(value):
        return frozenset()
    dump = getattr(abc, "_get_dump", None)  # in no documentation, but the only way
    references = dump(value)[0] if dump is not None else ()
    return frozenset(found for reference in references if (found := reference()) is not None)


def _is_generated(name: str, member: Any) -> bool:
    if not name.startswith("__"):
        return False
    inner = getattr(member, "__wrapped__", member)  # repr() is wrapped against recursion
    return isinstance(inner, FunctionType) and inner.__code__.co_filename == "<string>"


def _enum_members(value: Any) -> dict[str, Any]:
    members = {f"member.{name}": member._value_ for name, member in value._member_map_.items()}
    for member in value._member_map_.values():
        extra = {name: item for name, item in vars(member).items() if not _is_derived(member, name)}
        if extra:
            members[f"attributes.{member._name_}"] = extra
    members["members"] = list(value._member_map_)  # in the order in which they are iterated over
    for name, member in vars(value).items():
        if name not in _SKIPPED and name not in _ENUM_PRIVATE and name not in value._member_map_:
            members[name] = member
    return members


def _is_derived(member: Any, name: str) -> bool:
    return name in _MEMBER_PRIVATE or isinstance(class_attribute(type(member), name), functools.cached_property)


@describes("builtins.module", whole=True)
def _module(walk: Walk, node: Node, value: ModuleType) -> None:
    node.detail = value.__name__
    origin = origin_of_module(value.__name__)
    if not origin.is_user:
        foreign(walk, node, "module", value.__name__, origin)
        return
    file = getattr(value, "__file__", None) or ""
    if file.endswith((".so", ".pyd")):
        compiled(walk, node, value.__name__, "")
        return
    # The code hands the whole module on: anything in it may be used.
    node.kind = "module"
    for name, member in sorted(vars(value).items()):
        if not (name.startswith("__") and name.endswith("__")):
            walk.child(node, name, member)
