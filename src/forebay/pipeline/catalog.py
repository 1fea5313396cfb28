"""The catalogue: native operators by name, with all that a plan needs to know and no array library.

::

    spec = find("text_length_filter")          # NotFoundError names the nearest
    use = spec.bind({"min_len": 10})           # RecipeError names the operator and the parameter
    use.key.digest                             # name, version, parameters
"""

from __future__ import annotations

from forebay.errors import NotFoundError
from forebay.pipeline.operators.listing import LISTING
from forebay.pipeline.operators.specification import Need, OperatorSpec, OperatorUse, Param, nearest

__all__ = ["Need", "OperatorSpec", "OperatorUse", "Param", "find", "names"]


def find(name: str) -> OperatorSpec:
    """Return the operator of this name.

    Raises:
        NotFoundError: there is none; names the nearest.
    """
    try:
        return LISTING[name]
    except KeyError:
        hint = nearest(name, LISTING) or f"native operators: {', '.join(names())}"
        raise NotFoundError(f"no operator {name!r}", subject=name, hint=hint) from None


def names() -> tuple[str, ...]:
    """Return the names of all native operators, sorted."""
    return tuple(sorted(LISTING))
