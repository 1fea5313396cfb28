"""Names that packages load when they are first used are there as if they had been imported."""

from __future__ import annotations

import pickle
import pkgutil
import pydoc
from importlib import import_module

import pytest

import forebay
from forebay.store import Usage

_BELOW = ["bundle", "fingerprint", "hub", "mirror", "pipeline", "store", "table", "testing"]
PACKAGES = ["forebay", *(f"forebay.{each}" for each in _BELOW)]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_is_found_and_listed(name: str) -> None:
    package = import_module(name)
    assert dir(package) == sorted(package.__all__)
    for each in package.__all__:
        assert getattr(package, each) is vars(package)[each]
    with pytest.raises(AttributeError, match=f"^module '{name}' has no attribute 'nothing'$"):
        _ = package.nothing


def test_these_are_all_packages_with_names_to_load() -> None:
    found = [each.name for each in pkgutil.iter_modules(forebay.__path__, "forebay.") if each.ispkg]
    with_names = [each for each in found if "__getattr__" in vars(import_module(each))]
    assert ["forebay", *with_names] == PACKAGES


def test_help_and_pickle_know_them() -> None:
    text = pydoc.plain(pydoc.render_doc(import_module("forebay.store")))
    assert "class Usage(" in text
    assert pickle.loads(pickle.dumps(Usage)) is Usage
