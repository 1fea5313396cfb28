"""A recipe: which dataset, which operators, where to. Data-Juicer's schema, read from YAML, JSON or a mapping.

Example::

    project_name: demo
    dataset_path: corpus.jsonl            # a file, a folder, a glob, or a list of them; relative to the working folder
    export_path: out/clean.jsonl.zst
    process:
      - whitespace_normalization_mapper
      - text_length_filter: {min_len: 20}
      - mapper: {function: "ops.py:clean", input: row}

Keys that Data-Juicer knows and that have no meaning here are accepted and told once; any other key is an error that
names the nearest known one and its line. Nothing here imports YAML until a file is read, nor ever an array library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from forebay.config import user_path
from forebay.errors import NotFoundError, RecipeError
from forebay.pipeline.recipes import document
from forebay.pipeline.recipes.dataset import dataset_paths
from forebay.pipeline.recipes.document import Document

BadRows = Literal["error", "skip"]

_EXPORT_FORMATS = {
    ".jsonl": ("jsonl", ""), ".json": ("jsonl", ""), ".jsonl.gz": ("jsonl", "gz"), ".jsonl.zst": ("jsonl", "zst"),
    ".json.gz": ("jsonl", "gz"), ".json.zst": ("jsonl", "zst"), ".parquet": ("parquet", ""),
    ".arrow": ("arrow", ""), ".feather": ("arrow", ""),
}  # fmt: skip
"""Suffix of an export -> (format, compression). As with Data-Juicer, `.json` means one object a line."""

_OURS = frozenset([
    "dataset", "dataset_path", "export_path", "export_type", "keep_stats_in_res_ds", "load_jsonl_lenient", "np",
    "on_bad_rows", "process", "project_name", "retain", "shard_bytes", "suffixes", "text_keys", "use_cache",
])  # fmt: skip
_SILENT = frozenset(["temp_dir", "ds_cache_dir", "executor_type", "debug", "config", "auto"])
_WITHOUT_MEANING = frozenset([
    "adaptive_batch_size", "add_suffix", "audio_key", "audio_special_token", "auto", "auto_num", "auto_op_parallelism",
    "backup_count", "cache_compress", "checkpoint", "checkpoint_dir", "config", "conflict_resolve_strategy",
    "custom_operator_paths", "data_probe_algo", "data_probe_ratio", "debug", "ds_cache_dir",
    "elastic_juicer_adaptive_batching", "elastic_juicer_profile_seed", "encryption_key_path", "eoc_special_token",
    "event_log_dir", "event_logging", "executor_type", "export_aws_credentials", "export_extra_args",
    "export_in_parallel", "export_original_dataset", "export_shard_size", "fusion_strategy",
    "generated_dataset_config", "hpo_config", "image_bytes_key", "image_key", "image_special_token",
    "intermediate_storage", "job_id", "keep_hashes_in_res_ds", "load_dataset_kwargs", "mapper_fusion",
    "mapper_fusion_vram_limit", "max_log_size_mb", "min_common_dep_num_to_combine", "op_fusion", "op_list_to_mine",
    "op_list_to_trace", "open_insight_mining", "open_monitor", "open_tracer", "override_num_blocks", "partition",
    "partition_dir", "partition_size", "percentiles", "preserve_intermediate_data", "ray_address", "read_options",
    "resource_optimization", "resume", "save_stats_in_one_file", "skip_op_error", "strict_preflight", "temp_dir",
    "trace_keys", "trace_num", "turbo", "use_checkpoint", "use_dag", "validators", "video_key", "video_special_token",
    "work_dir",
])  # fmt: skip
"""Keys that Data-Juicer knows and that change nothing here."""
_REFUSED = {
    "decrypt_after_reading": "decrypt the files before",
    "encrypt_before_export": "encrypt the export afterwards: as it is here, it would be read by all",
}
"""Keys of Data-Juicer that nobody may take for granted where they are not followed: what to do instead."""


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of `process`: an operator's name and parameters as they were written.

    `function` is the callable itself where a recipe is made in Python; it stands in for `params["function"]`.
    """

    name: str
    params: Mapping[str, object] = field(default_factory=dict)
    line: int = 0
    """Line in the recipe file, from 1; 0 where there is none."""
    function: object = None


@dataclass(frozen=True, slots=True)
class Export:
    """Where the result goes: `path` is absolute; `format` jsonl, parquet or arrow; `compression` gz, zst or ""."""

    path: Path
    format: str
    compression: str = ""
    keep_stats: bool = False
    """Add the filters' statistics as one column, `__dj__stats__`."""

    @property
    def spelling(self) -> str:
        """The part of the export that its bytes depend on, for keys."""
        return f"{self.format}/{self.compression}/{'stats' if self.keep_stats else ''}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to run. Paths are absolute; `steps` in order."""

    dataset: tuple[str, ...]
    """Files, folders or globs, absolute, in the order given."""
    steps: tuple[Step, ...] = ()
    project: str = "hello_world"
    export: Export | None = None
    processes: int | None = None
    text_key: str = "text"
    suffixes: tuple[str, ...] = ()
    on_bad_rows: BadRows = "error"
    shard_bytes: int | None = None
    """Mean size of a shard in bytes; None: the reader's default."""
    use_cache: bool = True
    retain: str = "all"
    path: Path | None = None
    """The file it was read from."""
    base: Path = field(default_factory=Path.cwd)
    """What relative paths are relative to: the working folder, as with Data-Juicer."""
    notes: tuple[str, ...] = ()
    """Things to tell the user once."""

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read a recipe file (YAML or JSON).

        Args:
            path: the file.
            overrides: ``key=value`` with dotted keys, e.g. ``process.3.text_length_filter.min_len=20`` or ``np=2``;
                values are YAML.

        Raises:
            NotFoundError: no such file.
            RecipeError: what is wrong, with its line.
        """
        file = Path(path).absolute()
        try:
            text = file.read_text("utf-8")
        except FileNotFoundError:
            raise NotFoundError(f"no such recipe: {path}", subject=file) from None
        except OSError as error:
            what = f"cannot read {path}: {error.strerror}"
            raise RecipeError(what, subject=file, hint="name a file that you may read") from error
        except UnicodeDecodeError as error:
            raise RecipeError(f"cannot read {path}: {error}", subject=file, hint="a recipe is YAML in UTF-8") from error
        return _build(document.parse(text, file), overrides, Path.cwd())

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, object], overrides: Sequence[str] = (), base: Path | None = None
    ) -> Recipe:
        """Make a recipe from a mapping with the same keys as the file.

        Raises:
            RecipeError: what is wrong.
        """
        return _build(Document(dict(values), {}, None), overrides, base or Path.cwd())


def _export_for(path: Path, kind: str | None, keep_stats: bool, where: str = "") -> Export:
    """Tell an export's format from its name, or from `kind` (Data-Juicer's `export_type`).

    Raises:
        RecipeError: neither says a format that we can write.
    """
    name = path.name.lower()
    suffix = next((one for one in sorted(_EXPORT_FORMATS, key=len, reverse=True) if name.endswith(one)), None)
    if kind:
        found = _EXPORT_FORMATS.get("." + kind.lower().lstrip("."))
        if found is None:
            raise RecipeError(
                f"{where}cannot export to {kind!r}", subject=kind, hint="export_type is jsonl, json, parquet or arrow"
            )
        if suffix is None or _EXPORT_FORMATS[suffix][0] == found[0]:
            return Export(path, found[0], _EXPORT_FORMATS[suffix][1] if suffix else found[1], keep_stats)
        raise RecipeError(f"{where}export_type {kind} does not fit export_path {path.name}", subject=path,
                          hint="drop one of the two")  # fmt: skip
    if suffix is None:
        known = ", ".join(_EXPORT_FORMATS)
        raise RecipeError(
            f"{where}cannot tell the format of export_path {path}", subject=path, hint=f"end it in {known}"
        )
    return Export(path, *_EXPORT_FORMATS[suffix], keep_stats)


def _build(doc: Document, overrides: Sequence[str], base: Path) -> Recipe:
    if isinstance(overrides, str):
        raise RecipeError(f"not a list of overrides: {overrides!r}", subject=overrides, hint=f"write [{overrides!r}]")
    for override in overrides:
        doc.override(override)
    notes = _check_keys(doc)
    reader = _Reader(doc)
    steps = tuple(_step(doc, index, entry) for index, entry in enumerate(reader.sequence("process")))
    export_path = reader.text("export_path")
    kind = reader.text("export_type")
    keep_stats = reader.flag("keep_stats_in_res_ds", False)
    lenient = reader.flag("load_jsonl_lenient", False)  # Data-Juicer's word for it
    export = None
    if export_path:
        export = _export_for(base / user_path(export_path), kind, keep_stats, doc.where("export_path"))
    project = reader.text("project_name") or (doc.path.stem if doc.path else "hello_world")
    return Recipe(
        dataset=tuple(
            one if "://" in one else str(base / user_path(one)) for one in dataset_paths(doc, reader.strings)
        ),
        steps=steps,
        project=project,
        export=export,
        processes=reader.whole("np", least=1),
        text_key=_text_key(doc),
        suffixes=tuple("." + one.lstrip(".") for one in reader.strings("suffixes")),
        on_bad_rows=cast("BadRows", reader.one_of("on_bad_rows", ("error", "skip"), "skip" if lenient else "error")),
        shard_bytes=reader.whole("shard_bytes", least=2),
        use_cache=reader.flag("use_cache", True),
        retain=reader.text("retain") or "all",
        path=doc.path,
        base=base,
        notes=tuple(notes),
    )


def _check_keys(doc: Document) -> list[str]:
    unmeant: list[str] = []
    for key in doc.values:
        if key in _OURS or key in _SILENT:
            continue
        if key in _REFUSED:
            if doc.values[key]:
                raise RecipeError(f"{doc.where(key)}{key} is not done here", subject=key, hint=_REFUSED[key])
            continue
        if key not in _WITHOUT_MEANING:
            raise RecipeError(f"{doc.where(key)}unknown key {key!r}", subject=key,
                              hint=document.nearest(key, _OURS | _WITHOUT_MEANING | _REFUSED.keys()))  # fmt: skip
        if doc.values[key] not in (None, False, "", [], {}, 0):
            unmeant.append(key)
    if not unmeant:
        return []
    return [f"recipe keys without a meaning here, ignored: {', '.join(sorted(unmeant))}"]


def _text_key(doc: Document) -> str:
    given = doc.values.get("text_keys")
    if isinstance(given, list):
        given = cast("list[object]", given)[0] if given else None
    if given is None:
        return "text"
    if not isinstance(given, str):
        raise RecipeError(f"{doc.where('text_keys')}text_keys must be a column's name", subject=given)
    return given


def _step(doc: Document, index: int, entry: object) -> Step:
    line = doc.line("process", index)
    where = doc.where("process", index)
    if isinstance(entry, str):
        return Step(entry, {}, line)
    if not isinstance(entry, Mapping) or len(cast("Mapping[str, object]", entry)) != 1:
        what = f"{where}operator {index + 1} is neither a name nor one `name: {{parameters}}`"
        raise RecipeError(what, subject=entry, hint="indent the parameters deeper than the name")
    ((name, params),) = cast("Mapping[object, object]", entry).items()
    if params is None:
        params = {}
    if not isinstance(name, str) or not isinstance(params, Mapping):
        raise RecipeError(f"{where}parameters of {name} must be `key: value` pairs", subject=name)
    return Step(name, dict(cast("Mapping[str, object]", params)), line)


class _Reader:
    """Takes typed values out of a document; says where one has the wrong type."""

    __slots__ = ("_doc",)

    def __init__(self, doc: Document) -> None:
        self._doc = doc

    def _wrong(self, key: str, wanted: str) -> RecipeError:
        value = self._doc.values[key]
        return RecipeError(f"{self._doc.where(key)}{key} must be {wanted}, not {value!r}", subject=value)

    def text(self, key: str) -> str | None:
        value = self._doc.values.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            if isinstance(value, int) and not isinstance(value, bool):
                return str(value)
            raise self._wrong(key, "text")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._doc.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def whole(self, key: str, *, least: int) -> int | None:
        value = self._doc.values.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self._wrong(key, f"a whole number from {least}")
        return value

    def one_of(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value = self._doc.values.get(key, default)
        if value not in choices:
            raise self._wrong(key, " or ".join(choices))
        return cast("str", value)

    def sequence(self, key: str) -> list[object]:
        value = self._doc.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(key, "a list")
        return cast("list[object]", value)

    def strings(self, key: str) -> list[str]:
        value = self._doc.values.get(key)
        items = [value] if isinstance(value, str) else self.sequence(key)
        if not all(isinstance(item, str) for item in items):
            raise self._wrong(key, "a list of names")
        return cast("list[str]", items)
