"""The process that prepares Arrow: a script of its own, which imports nothing of Forebay.

Run by `forebay.hub.preparer` as ``python -P preparing.py``, with one JSON value a line both ways. First
``{"work": …, "idle_seconds": …}``, then for each request::

    → {"folder": …, "configurations": ["main"] | null}
    ← {"names": ["main", "socratic"], "default": null, "version": "5.2.0"}
    ← {"need": {"main": ["main/train.parquet", …]}}    by configuration; null: all files
    → {"there": ["main"]}                              these configurations' files are there now
    ← {"configuration": "main", "info": {…}, "splits": {"train": [["…/train-00000.arrow", 7473]]}, "builder": "parquet"}
    ← {"broken": "main", "why": "ValueError: …"}       this configuration cannot be loaded
    ← {"failed": "ValueError: …"}                      none can
    ← {"done": true}                                   that was all of this request

It ends when its standard input does, so that it is never left behind when its caller is killed; and where nothing is
asked for so long. It then removes its work folder.

The folder holds the repository, its files empty until they were asked for. A process of its own because ``datasets``
reads its environment when it is imported, and here it must neither ask a network nor touch the caller's caches.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any, TypeAlias

SHARD_BYTES = 256 * 2**20
"""An Arrow file holds about so much, in one record batch."""


_Plan: TypeAlias = tuple[list[str], str | None, Callable[[str], Any]]


def main() -> None:
    """Serve requests until there are no more."""
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is not for our caller
    setting = json.loads(sys.stdin.readline())
    work = Path(setting["work"])
    os.environ.update(
        HF_HOME=str(work / "hf"),
        HF_DATASETS_CACHE=str(work / "cache"),
        HF_MODULES_CACHE=str(work / "modules"),
        HF_HUB_OFFLINE="1",
        HF_DATASETS_OFFLINE="1",
        HF_UPDATE_DOWNLOAD_COUNTS="0",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_DATASETS_DISABLE_PROGRESS_BARS="1",
    )
    asked: Queue[str] = Queue()
    threading.Thread(target=_listen, args=(asked, work), daemon=True).start()
    server = _Server(work, asked)
    while request := _next(asked, setting["idle_seconds"]):
        try:
            for answer in server.serve(json.loads(request)):
                print(json.dumps(answer), file=told, flush=True)
        except Exception as error:  # noqa: BLE001 - whatever a builder raises is told to the caller, who raises it there
            print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), file=told, flush=True)
        print(json.dumps({"done": True}), file=told, flush=True)
    _end(work)


def _listen(asked: Queue[str], work: Path) -> None:
    for line in sys.stdin:
        asked.put(line)
    _end(work)


def _next(asked: Queue[str], idle_seconds: float) -> str:
    """Return the next request; "" where none comes for so long. Meanwhile the library is loaded."""
    with suppress(Exception):  # whoever needs it is told why
        import datasets  # noqa: F401 # pyright: ignore[reportUnusedImport]
    try:
        return asked.get(timeout=idle_seconds)
    except Empty:
        return ""


def _end(work: Path) -> None:
    """End at once, whatever another thread is doing: nobody is there to take it."""
    shutil.rmtree(work, ignore_errors=True)
    os._exit(0)


class _Server:
    """Serves requests, and remembers the configurations of the latest folder: reading a card may take a while."""

    def __init__(self, work: Path, asked: Queue[str]) -> None:
        self._out = work / "out"
        self._asked = asked
        self._made = 0
        self._folder = ""
        self._plan: _Plan | None = None
        self._files_told = True

    def serve(self, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield answers."""
        import datasets

        folder, wanted = request["folder"], request["configurations"]
        if folder != self._folder:
            self._folder, self._plan, self._files_told = folder, None, True
        try:
            names, builders, default = self._planned(wanted)
            needed = {name: self._needed(builder) for name, builder in builders.items()}
        except Exception:  # noqa: BLE001 - an empty archive, say: what is needed cannot be told from names alone
            yield {"need": {"": None}}
            self._asked.get()
            self._plan, self._files_told = None, False
            names, builders, default = self._planned(wanted)
            needed = dict.fromkeys(builders, None)
        yield {"names": names, "default": default, "version": datasets.__version__}
        yield {"need": needed}
        for name in json.loads(self._asked.get())["there"]:
            self._made += 1
            try:
                yield _prepared(name, builders[name], self._out / str(self._made))
            except Exception as error:  # noqa: BLE001 - whatever a builder raises is told, and the next one tried
                yield {"broken": name, "why": _why(error)}

    def _planned(self, wanted: list[str] | None) -> tuple[list[str], dict[str, Any], str | None]:
        """Return all names of configurations, builders of those that are wanted, and the default one's name."""
        if self._plan is None:
            try:
                self._plan = _read_once(self._folder)
            except (ImportError, AttributeError, TypeError):  # a version that is made otherwise
                self._plan = _read_each_time(self._folder)
        names, default, build = self._plan
        default = names[0] if default is None and len(names) == 1 else default
        chosen = [default or "" if name == "" else name for name in wanted] if wanted is not None else names
        return names, {name: build(name) for name in chosen if name in names}, default

    def _needed(self, builder: Any) -> list[str] | None:
        """Return which files a builder reads, as paths within the folder; None: it does not say."""
        found: set[str] = set()
        folder = Path(self._folder).resolve()
        for files in (builder.config.data_files or {}).values() if self._files_told else ():
            found.update(os.path.relpath(str(file).split("::")[-1], folder) for file in files)
        return None if not found or any(path.startswith("..") for path in found) else sorted(found)


def _why(error: BaseException) -> str:
    """Return what went wrong: the first cause, for the library wraps it in words that say nothing."""
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    return f"{type(first).__name__}: {first}"


def _read_once(folder: str) -> _Plan:
    """Read the card once for all configurations: it may take a fifth of a second, and MMLU has 59 of them."""
    from datasets.load import dataset_module_factory, get_dataset_builder_class

    module = dataset_module_factory(folder)
    given, infos = dict(module.builder_kwargs), module.dataset_infos or {}
    name = given.get("dataset_name")
    kind = get_dataset_builder_class(module, dataset_name=name)
    default = kind.DEFAULT_CONFIG_NAME
    names = list(kind.builder_configs) or [default or "default"]
    return names, default, lambda one: kind(config_name=one, hash=module.hash, info=infos.get(one), **given)


def _read_each_time(folder: str) -> _Plan:
    import datasets

    names, default = datasets.get_dataset_config_names(folder), datasets.get_dataset_default_config_name(folder)
    return list(names), default, lambda one: datasets.load_dataset_builder(folder, name=one)


def _prepared(name: str, builder: Any, folder: Path) -> dict[str, Any]:
    """Prepare one configuration; return what was made, in a folder of its own."""
    builder.download_and_prepare()
    made = builder.as_dataset()
    folder.mkdir(parents=True)
    builder.info.write_to_directory(str(folder))
    with (folder / "dataset_info.json").open(encoding="utf-8") as file:
        info = json.load(file)
    features = neutral(info["features"])
    splits = {str(split): list(_written(rows, features, folder, str(split))) for split, rows in made.items()}
    info["features"] = features
    info.pop("download_checksums", None)  # paths of this process
    for split, shards in splits.items():
        info["splits"][split]["shard_lengths"] = [rows for _, rows in shards] if len(shards) > 1 else None
    return {"configuration": name, "info": info, "splits": splits, "builder": builder.name}


def _written(rows: Any, features: Any, folder: Path, split: str) -> Iterator[tuple[str, int]]:
    """Write a split as Arrow streams of one record batch each; yield each path and its number of rows."""
    import pyarrow as pa

    table = rows.data.table
    count = max(1, -(-table.nbytes // SHARD_BYTES))
    each = max(1, -(-table.num_rows // count))
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    schema = table.schema.with_metadata(metadata)
    for number, start in enumerate(range(0, max(table.num_rows, 1), each)):
        part = table.slice(start, each).combine_chunks().replace_schema_metadata(metadata)
        batches = part.to_batches() or [pa.RecordBatch.from_pylist([], schema=schema)]
        path = folder / f"{split}-{number:05d}.arrow"
        with path.open("wb") as file:
            with pa.ipc.new_stream(file, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            file.flush()
            os.fsync(file.fileno())
        yield str(path), part.num_rows


def neutral(feature: Any) -> Any:
    """Return a feature's JSON in words that every version from 3 on reads.

    Version 4 brought ``List``, which 3 does not know. All read a list of one feature, and a ``Sequence`` of fixed
    length; only a fixed-length list of records stays as it is, for 3 has no word for it.
    """
    if isinstance(feature, list):
        return [neutral(each) for each in feature]
    if not isinstance(feature, dict):
        return feature
    if feature.get("_type") == "List":
        inner, length = neutral(feature["feature"]), feature.get("length", -1)
        if length in (-1, None):
            return [inner]
        if isinstance(inner, dict) and isinstance(inner.get("_type"), str):
            return {"feature": inner, "length": length, "_type": "Sequence"}
        return {**feature, "feature": inner}
    return {key: neutral(value) for key, value in feature.items()}


if __name__ == "__main__":
    main()
