"""The catalogue: native operators by name, with all that a plan needs to know and no array library.

::

    spec = find("text_length_filter")          # NotFoundError names the nearest
    use = spec.bind({"min_len": 10})           # RecipeError names the operator and the parameter
    use.key.digest                             # name, version, parameters
"""

from __future__ import annotations

from forebay.errors import NotFoundError
from forebay.pipeline.operator import OperatorKind
from forebay.pipeline.operators.listing import LISTING
from forebay.pipeline.operators.specification import Need, OperatorSpec, OperatorUse, Param, nearest

__all__ = ["Need", "OperatorSpec", "OperatorUse", "Param", "find", "names"]

_SLIP = 0.85
"""How near a name must be to be meant; many of Data-Juicer's that are not here are nearer than 0.6 to one that is."""


def find(name: str) -> OperatorSpec:
    """Return the operator of this name.

    Raises:
        NotFoundError: there is none; names the nearest.
    """
    try:
        return LISTING[name]
    except KeyError:
        kind = name.rpartition("_")[2]
        near = nearest(name, LISTING, _SLIP) or f"native operators: {', '.join(names())}"
        own = f"{kind if kind in tuple(OperatorKind) else 'mapper'}: {{function: FILE.py:NAME}}"
        hint = f"{near}; a function of yours: {own}"
        raise NotFoundError(f"no operator {name!r}", subject=name, hint=hint) from None


def names() -> tuple[str, ...]:
    """Return the names of all native operators, sorted."""
    return tuple(sorted(LISTING))
