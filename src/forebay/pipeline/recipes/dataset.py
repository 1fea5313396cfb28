"""Which dataset a recipe names, in either of Data-Juicer's spellings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

from forebay.errors import RecipeError
from forebay.pipeline.recipes.document import Document


def dataset_paths(doc: Document, strings: Callable[[str], list[str]]) -> list[str]:
    """Return the paths of `dataset_path` or `dataset.configs`; `strings` reads a key that holds several.

    Raises:
        RecipeError: there are none, or not all of a dataset is wanted.
    """
    given = doc.values.get("dataset_path")
    if given:
        if isinstance(given, str):
            return [given]
        return strings("dataset_path")
    dataset = doc.values.get("dataset")
    configs = cast("Mapping[str, object]", dataset).get("configs") if isinstance(dataset, Mapping) else dataset
    if isinstance(dataset, Mapping):
        _refuse_options(doc, cast("Mapping[str, object]", dataset), {"configs"})
    if not configs:
        raise RecipeError(f"{doc.where()}no dataset", hint="say dataset_path: FILE, FOLDER or GLOB")
    paths: list[str] = []
    for entry in cast("Iterable[object]", configs if isinstance(configs, list) else [configs]):
        config = cast("Mapping[str, object]", entry) if isinstance(entry, Mapping) else {"path": entry}
        if config.get("type", "local") not in ("local", "ondisk"):
            raise RecipeError(f"{doc.where('dataset')}dataset type {config.get('type')!r} cannot be read yet",
                              subject=config.get("type"), hint="download it first and use type: local")  # fmt: skip
        _refuse_options(doc, config, {"type", "path"})
        path = config.get("path")
        if not path or not isinstance(path, (str, list)):
            raise RecipeError(f"{doc.where('dataset')}a dataset without a path", hint="say path: FILE, FOLDER or GLOB")
        paths += [path] if isinstance(path, str) else [str(one) for one in cast("list[object]", path)]
    return paths


def _refuse_options(doc: Document, given: Mapping[str, object], known: set[str]) -> None:
    """A share of a dataset (`weight`, `max_sample_num`) must not become all of it."""
    for name, value in given.items():
        if name not in known and value is not None and (name, value) != ("weight", 1):
            raise RecipeError(f"{doc.where('dataset')}dataset option {name!r} has no meaning here", subject=name,
                              hint="a dataset is read whole; random_selector takes a share")  # fmt: skip
