"""What Python code will load, read from its text: literal calls within reach of a function. Nothing is imported or run.

Reach is counted by names: from the function that a task file names, through whatever of its module and of the modules
beside it is mentioned on the way, and what those modules do when they are imported. More may be found than a run would
use; what a call's arguments do not say literally is told as vague.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from forebay.integrations.tasks import BUILDERS, REPOSITORY, Gap, Load, Metric

_ADDRESS = ("http://", "https://")
_NO_CODE = "the file is not there, or not Python"
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(slots=True)
class Found:
    """What was found in code; see `forebay.integrations.tasks.TaskNeeds`.

    Attributes:
        addresses: literals that look like a URL, whether or not they are fetched.
        repositories: literal first arguments of calls that load a dataset in a way that is not known in full.
    """

    loads: list[Load] = field(default_factory=list[Load])
    metrics: list[Metric] = field(default_factory=list[Metric])
    nltk: list[str] = field(default_factory=list[str])
    models: list[str] = field(default_factory=list[str])
    urls: list[str] = field(default_factory=list[str])
    gaps: list[Gap] = field(default_factory=list[Gap])
    addresses: list[str] = field(default_factory=list[str])
    repositories: list[str] = field(default_factory=list[str])

    def add(self, other: Found) -> None:
        """Take over what another found."""
        for name in self.__slots__:
            own, theirs = getattr(self, name), getattr(other, name)
            own += [each for each in theirs if each not in own]


@dataclass(frozen=True)
class Module:
    """One parsed file."""

    file: Path
    definitions: Mapping[str, ast.stmt]
    """Top-level name -> the statement that makes it."""
    imports: Mapping[str, str]
    """Name here -> dotted name it stands for, relative ones with their dots."""
    start: tuple[ast.stmt, ...]
    """What runs when the module is imported, definitions left out."""


def parse(file: Path) -> Module | None:
    """Parse a file; None where there is none, or it is not Python that we know."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None
    definitions: dict[str, ast.stmt] = {}
    start: list[ast.stmt] = []
    for statement in _flat(tree.body):
        if isinstance(statement, _Definition):
            definitions[statement.name] = statement
            continue
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            definitions |= {target.id: statement for target in targets if isinstance(target, ast.Name)}
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            start.append(statement)
    return Module(file, definitions, dict(_imports(tree)), tuple(start))


def _flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield a module's statements, those under top-level `if` and `try` too, but not what runs as a script."""
    for statement in body:
        if isinstance(statement, ast.If):
            if "__name__" not in ast.dump(statement.test):
                yield from _flat([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            handlers = [inner for handler in statement.handlers for inner in handler.body]
            yield from _flat([*statement.body, *handlers, *statement.orelse, *statement.finalbody])
        else:
            yield statement


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (first, first)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for alias in node.names:
                between = "" if origin.endswith(".") else "."
                yield alias.asname or alias.name, f"{origin}{between}{alias.name}"


class Reader:
    """Reads code below some folders, each file once.

    Args:
        packages: dotted name -> its folder: what imports are followed into (``lm_eval.tasks`` …).
    """

    def __init__(self, packages: Mapping[str, Path]) -> None:
        self._packages = packages
        self._modules: dict[Path, Module | None] = {}
        self._found: dict[tuple[Path, str], Found] = {}
        self._facts: dict[tuple[Path, str], _Facts] = {}
        self._located: dict[tuple[str, Path], tuple[Path, str] | None] = {}

    @property
    def files(self) -> Iterable[Path]:
        """Every file that was looked at."""
        return self._modules

    def module(self, file: Path) -> Module | None:
        """Return a parsed file, or None."""
        if file not in self._modules:
            self._modules[file] = parse(file)
        return self._modules[file]

    def reach(self, file: Path, name: str) -> Found:
        """Return what is found within reach of a function or class."""
        place = (file, name)
        if place not in self._found:
            self._found[place] = found = Found()
            walk = _Walk(self, found)
            walk.visit(file, name)
        return self._found[place]

    def facts(self, module: Module, name: str) -> _Facts:
        """Return what a definition says, or with "" what runs when the module is imported."""
        place = (module.file, name)
        if place not in self._facts:
            self._facts[place] = facts = _Facts()
            named = module.definitions.get(name)
            for statement in module.start if not name else () if named is None else (named,):
                facts.read(module, statement)
        return self._facts[place]

    def locate(self, dotted: str, beside: Path) -> tuple[Path, str] | None:
        """Return the file, and the name in it, that an imported name is; None: it is of some other package."""
        place = (dotted, beside)
        if place not in self._located:
            self._located[place] = self._locate(dotted, beside)
        return self._located[place]

    def _locate(self, dotted: str, beside: Path) -> tuple[Path, str] | None:
        if dotted.startswith("."):
            level = len(dotted) - len(dotted.lstrip("."))
            folder, rest = beside.parents[level - 1], dotted.lstrip(".")
        else:
            package = next((name for name in self._packages if f"{dotted}.".startswith(f"{name}.")), None)
            if package is None:  # files in one folder import each other by their bare names
                folder, rest = beside.parent, dotted
            else:
                folder, rest = self._packages[package], dotted[len(package) :].lstrip(".")
        parts = rest.split(".") if rest else []
        for size in range(len(parts), 0, -1):
            file = folder.joinpath(*parts[:size])
            if file.with_suffix(".py").is_file():
                return file.with_suffix(".py"), ".".join(parts[size:])
        return None


class _Walk:
    """One walk through what is within reach."""

    def __init__(self, reader: Reader, found: Found) -> None:
        self._reader, self._found = reader, found
        self._seen: set[tuple[Path, str]] = set()

    def visit(self, file: Path, name: str) -> None:
        """Visit a name of a file, and what the file does when it is imported."""
        module = self._reader.module(file)
        first = name.partition(".")[0]
        if module is None:
            if name and Gap(f"{file.name}: {name}", _NO_CODE) not in self._found.gaps:
                self._found.gaps.append(Gap(f"{file.name}: {name}", _NO_CODE))
            return
        for part in ("", first):
            if (file, part) not in self._seen:
                self._seen.add((file, part))
                self._take(module, part)

    def _take(self, module: Module, name: str) -> None:
        if name in module.imports and name not in module.definitions:
            self._follow(module, module.imports[name])
            return
        facts = self._reader.facts(module, name)
        self._found.add(facts.found)
        for each in facts.names:
            self.visit(module.file, each)
        for dotted in facts.imported:
            self._follow(module, dotted)

    def _follow(self, module: Module, dotted: str) -> None:
        place = self._reader.locate(dotted, module.file)
        if place is not None:
            self.visit(*place)


@dataclass(slots=True)
class _Facts:
    """What some statements say by themselves: what they load, and which names they mention, here and elsewhere."""

    found: Found = field(default_factory=Found)
    names: dict[str, None] = field(default_factory=dict[str, None])
    imported: dict[str, None] = field(default_factory=dict[str, None])

    def read(self, module: Module, statement: ast.stmt) -> None:
        """Take in one statement."""
        known = _literals(module, statement)
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                self._call(module, node, known)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(_ADDRESS):
                if node.value not in self.found.addresses:
                    self.found.addresses.append(node.value)
            elif isinstance(node, ast.Attribute | ast.Name):
                dotted = dotted_name(node)
                first, _, rest = dotted.partition(".")
                if first in module.imports:
                    self.imported[f"{module.imports[first]}.{rest}".rstrip(".")] = None
                elif first in module.definitions:
                    self.names[first] = None

    def _call(self, module: Module, call: ast.Call, known: Mapping[str, object]) -> None:
        first, _, rest = dotted_name(call.func).partition(".")
        origin = module.imports.get(first)
        if origin is None:
            return
        told = Found()
        read_call(f"{origin}.{rest}".rstrip("."), call, known, told)
        place = f"{module.file.parent.name}/{module.file.name}"
        told.gaps = [Gap(place, each.why, each.hint) for each in told.gaps]
        self.found.add(told)


def dotted_name(node: ast.expr) -> str:
    """Return ``a.b.c`` for a chain of attributes of a name, else ""."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _literals(module: Module, statement: ast.stmt) -> dict[str, object]:
    """Return the values of names that are literals: the module's constants and a function's defaults."""
    known: dict[str, object] = {}
    for name, made in module.definitions.items():
        value = made.value if isinstance(made, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Constant):
            known[name] = value.value
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = [*statement.args.posonlyargs, *statement.args.args]
        for argument in (*arguments, *statement.args.kwonlyargs):
            known.pop(argument.arg, None)
    return known


def _value(node: ast.expr | None, known: Mapping[str, object]) -> object:
    """Return a literal argument: a constant, a list or mapping of such; `Ellipsis` where it is not literal."""
    if node is None:
        return None
    if isinstance(node, ast.Name):
        return known.get(node.id, ...)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError):
        return ...


def read_call(name: str, call: ast.Call, known: Mapping[str, object], found: Found) -> None:
    """Note what one call with a dotted name loads."""
    positional = [_value(each, known) for each in call.args]
    named = {word.arg: _value(word.value, known) for word in call.keywords if word.arg}
    given = _Arguments(positional, named, any(word.arg is None for word in call.keywords))
    root, last = name.partition(".")[0], name.rpartition(".")[2]
    if root == "evaluate" and last == "load":
        _metric(given, found)
    elif root == "nltk" and name in ("nltk.download", "nltk.data.find", "nltk.data.load", "nltk.downloader.download"):
        _nltk(given, found)
    elif root == "datasets" and last in ("load_dataset", "load_dataset_builder"):
        _dataset(given, found)
    elif last == "from_pretrained" and root in ("transformers", "sentence_transformers", "tokenizers"):
        _model(given, found)
    elif root == "huggingface_hub" and last in ("hf_hub_download", "snapshot_download"):
        found.gaps.append(Gap("", f"calls {last} for {_shown(given.at(0, 'repo_id'))}", _TAKE))
    elif root in ("requests", "urllib", "httpx", "gdown", "wget") and last in _FETCHERS:
        url = given.at(0, "url")
        if isinstance(url, str) and url.startswith(_ADDRESS):
            found.urls.append(url)
        else:
            found.gaps.append(Gap("", "fetches an address that its code makes up", _TAKE))


_FETCHERS = {"get", "urlopen", "urlretrieve", "download", "stream", "request"}
_TAKE = "fetch it by its own reference"


@dataclass(frozen=True, slots=True)
class _Arguments:
    positional: list[object]
    named: Mapping[str, object]
    more: bool
    """Whether ``**something`` may say more."""

    def at(self, place: int, name: str) -> object:
        """Return an argument by place or name; None: not given; `Ellipsis`: not literal."""
        return self.positional[place] if place < len(self.positional) else self.named.get(name)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else "a repository that its code chooses"


def _metric(given: _Arguments, found: Found) -> None:
    name, config = given.at(0, "path"), given.at(1, "config_name")
    if isinstance(name, str):
        found.metrics.append(Metric(name, config if isinstance(config, str) else None))
    else:
        found.gaps.append(Gap("", "loads a metric that its code chooses", "fetch hf://spaces/evaluate-metric/NAME"))


def _nltk(given: _Arguments, found: Found) -> None:
    name = given.at(0, "info_or_id") or given.at(0, "resource_name") or given.at(0, "resource_url")
    if isinstance(name, str):
        parts = name.removeprefix("nltk:").strip("/").split("/")
        package = (parts[1] if len(parts) > 1 else parts[0]).removesuffix(".zip")
        if package not in found.nltk:
            found.nltk.append(package)
    else:
        found.gaps.append(Gap("", "downloads NLTK data that its code chooses", "see forebay.integrations.nltk"))


def _dataset(given: _Arguments, found: Found) -> None:
    path, name = given.at(0, "path"), given.at(1, "name")
    options = {word: value for word, value in given.named.items() if word in ("data_files", "data_dir", "revision")}
    split = given.named.get("split")
    sure = path is not ... and name is not ... and ... not in options.values() and not given.more
    if isinstance(path, str) and sure and (path in BUILDERS or REPOSITORY.fullmatch(path)):
        kept = {word: value for word, value in options.items() if value is not None}
        splits = (split.partition("[")[0],) if isinstance(split, str) else ()
        found.loads.append(Load(path, name if isinstance(name, str) else None, kept, splits))  # pyright: ignore[reportArgumentType]  # literals are JSON
        return
    if isinstance(path, str) and REPOSITORY.fullmatch(path):
        found.repositories.append(path)
        hint = f"fetch hf://datasets/{path} with the configuration that you evaluate"
        found.gaps.append(Gap("", f"loads {path} with arguments that its code chooses", hint))
    else:
        found.gaps.append(Gap("", "loads a dataset that its code chooses", "fetch it by its own reference"))


def _model(given: _Arguments, found: Found) -> None:
    name = given.at(0, "pretrained_model_name_or_path")
    if isinstance(name, str) and REPOSITORY.fullmatch(name):
        found.models.append(name)
    else:
        hint = "fetch the tokenizer of the model that you evaluate: hf://NAMESPACE/NAME"
        found.gaps.append(Gap("", "loads a tokenizer that its caller chooses", hint))
