"""Names of a package that are loaded when they are first used (PEP 562): who wants one does not wait for the others."""

from __future__ import annotations

TYPE_CHECKING = False  # what typing's own is at run time, without the 5 ms that importing typing costs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def names(
    package: str, public: Sequence[str], homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package.

    A type checker does not see through this: the package imports the same names once more under `TYPE_CHECKING`.

    Args:
        package: its ``__name__``.
        public: its ``__all__``.
        homes: a module, absolute or with a dot before it, -> what is taken from there: ``name``, or ``name as other``;
            both as an import statement has them.
    """
    places: dict[str, tuple[str, str]] = {}
    for module, taken in homes.items():
        for each in taken:
            name, _, other = each.partition(" as ")
            places[other or name] = module, name

    def load(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        import sys
        from importlib import import_module

        module, attribute = places[name]
        found: object = getattr(import_module(module, package), attribute)
        setattr(sys.modules[package], name, found)  # so that it is asked for here once only
        return found

    return load, lambda: sorted(public)
