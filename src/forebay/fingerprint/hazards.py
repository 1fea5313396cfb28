"""Names through which code reaches what no key can see: chance, the clock, files, the network.

Most are told to the user once. Drawing from an unseeded generator forbids caching, for the result would be kept
although doing the work again would give another. Drawing from a module's global generator is fine where the code that
is keyed seeds it; a seed set elsewhere does not count, for the numbers then depend on what else was drawn and on the
number of processes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from forebay.fingerprint.keytree import Concern


@dataclass(frozen=True, slots=True)
class Hazard:
    """What reaching a name means.

    Attributes:
        kind: see `Concern.kind`.
        text: what to do about it.
        cacheable: False forbids caching.
        family: whose global generator is drawn from, where a seed in the same code makes it harmless.
        only_empty: it matters only when called without arguments.
    """

    kind: str
    text: str
    cacheable: bool = True
    family: str = ""
    only_empty: bool = False

    def concern(self, name: str, where: str) -> Concern:
        """Return the concern of code at `where` naming `name`."""
        return Concern(self.kind, name, where, self.cacheable, self.text)


_GLOBAL = "draws from a global generator that this code does not seed; draw from a seeded {} instead"
_CLOCK = Hazard("clock", "reads the clock; the cached result keeps the time it was first computed")
_CLOCK_EMPTY = Hazard("clock", _CLOCK.text, only_empty=True)
_CHANCE = Hazard("random", "draws numbers that cannot be drawn again; results are not cached", cacheable=False)
_UNSEEDED = Hazard("random", "is made without a seed; give it one", cacheable=False, only_empty=True)
_FILE = Hazard("file", "reads files that are not in the key; pass FileContent(path) as an argument or a default")
_NETWORK = Hazard("network", "reads from the network; the cached result keeps what was read first")
_MACHINE = Hazard("process", "depends on this machine or process, which is not in the key")
_DYNAMIC = Hazard("dynamic", "runs or finds code that is not in the key")
_HASH = Hazard("process", "differs from process to process for strings and objects; use a digest")


_DRAWS = """random uniform triangular randint choice randrange sample shuffle choices normalvariate lognormvariate
    expovariate vonmisesvariate gammavariate gauss betavariate binomialvariate paretovariate weibullvariate getrandbits
    randbytes"""
_NUMPY_DRAWS = """rand randn randint random random_sample ranf sample choice shuffle permutation bytes random_integers
    beta binomial chisquare dirichlet exponential f gamma geometric gumbel hypergeometric laplace logistic lognormal
    logseries multinomial multivariate_normal negative_binomial noncentral_chisquare noncentral_f normal pareto poisson
    power rayleigh standard_cauchy standard_exponential standard_gamma standard_normal standard_t triangular uniform
    vonmises wald weibull zipf"""
_TORCH_DRAWS = """rand randn randint randperm rand_like randn_like randint_like bernoulli multinomial normal poisson
    dropout"""


def _table() -> dict[str, Hazard]:
    def names(prefix: str, text: str, hazard: Hazard) -> None:
        table.update((f"{prefix}{name}", hazard) for name in text.split())

    table: dict[str, Hazard] = {}
    names("random.", _DRAWS, Hazard("random", _GLOBAL.format("random.Random"), False, "random"))
    names("numpy.random.", _NUMPY_DRAWS, Hazard("random", _GLOBAL.format("numpy.random.Generator"), False, "numpy"))
    names("torch.", _TORCH_DRAWS, Hazard("random", _GLOBAL.format("torch.Generator"), False, "torch"))
    names("", "random.Random uuid.uuid8", _UNSEEDED)
    names("numpy.random.", "default_rng RandomState SeedSequence PCG64 PCG64DXSM MT19937 Philox SFC64", _UNSEEDED)
    names("", "random.SystemRandom os.urandom os.getrandom uuid.uuid1 uuid.uuid4 uuid.uuid6 uuid.uuid7", _CHANCE)
    names("secrets.", "token_bytes token_hex token_urlsafe choice randbelow randbits SystemRandom", _CHANCE)
    names(
        "time.", "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time clock_gettime", _CLOCK
    )
    names("time.", "localtime gmtime ctime asctime", _CLOCK_EMPTY)
    names("datetime.", "datetime.now datetime.utcnow datetime.today date.today", _CLOCK)
    names("os.", "listdir scandir walk stat path.exists path.isfile path.isdir path.getsize path.getmtime open", _FILE)
    names(
        "",
        "builtins.open io.open io.FileIO codecs.open glob.glob glob.iglob gzip.open bz2.open lzma.open shelve.open",
        _FILE,
    )
    names(
        "",
        "linecache.getline linecache.getlines fileinput.input zipfile.ZipFile tarfile.open sqlite3.connect",
        _FILE,
    )
    names("", "dbm.open pkgutil.get_data importlib.resources.files importlib.resources.read_text", _FILE)
    names("numpy.", "load loadtxt genfromtxt fromfile memmap", _FILE)
    names("pandas.", "read_csv read_json read_parquet read_excel read_table read_pickle read_feather read_fwf", _FILE)
    names("pandas.", "read_orc read_xml read_html read_sql read_sql_query read_sql_table read_hdf", _FILE)
    names("polars.", "read_csv read_json read_ndjson read_parquet read_ipc read_excel read_avro read_database", _FILE)
    names("polars.", "scan_csv scan_parquet scan_ndjson scan_ipc", _FILE)
    names("pyarrow.", "csv.read_csv csv.open_csv json.read_json json.open_json feather.read_table", _FILE)
    names("pyarrow.", "feather.read_feather orc.read_table orc.ORCFile dataset.dataset memory_map OSFile", _FILE)
    names("pyarrow.parquet.", "read_table read_pandas read_schema read_metadata ParquetFile ParquetDataset", _FILE)
    names("", "torch.load PIL.Image.open datasets.load_dataset datasets.load_from_disk joblib.load h5py.File", _FILE)
    names("requests.", "get post put head request Session", _NETWORK)
    names("httpx.", "get post put head request stream Client AsyncClient", _NETWORK)
    names("", "urllib.request.urlopen urllib.request.urlretrieve socket.socket socket.create_connection", _NETWORK)
    names("os.", "getpid getppid getcwd getlogin uname cpu_count process_cpu_count", _MACHINE)
    names("", "socket.gethostname platform.node sys.argv multiprocessing.current_process builtins.input", _MACHINE)
    names("subprocess.", "run Popen check_output check_call call getoutput", _MACHINE)
    names(
        "",
        "builtins.eval builtins.exec builtins.__import__ builtins.globals importlib.import_module os.system",
        _DYNAMIC,
    )
    names("", "sys.modules sys.modules.get", _DYNAMIC)
    names("builtins.", "hash id", _HASH)
    return table


_HAZARDS = _table()
_DEEP = frozenset({"pandas", "polars", "numpy", "pyarrow", "datasets"})  # their functions say where they are defined
_READERS = frozenset({"open", "read_text", "read_bytes", "iterdir", "rglob"})
_SEEDS = {
    "random.seed": "random",
    "numpy.random.seed": "numpy",
    "torch.manual_seed": "torch",
    "torch.random.manual_seed": "torch",
    "random.setstate": "random",
    "numpy.random.set_state": "numpy",
    "torch.set_rng_state": "torch",
}
# Attributes of functions and classes that count only where code reads them; these functions do.
READ_BY = {
    "typing.get_type_hints": "__annotations__",
    "inspect.get_annotations": "__annotations__",
    "annotationlib.get_annotations": "__annotations__",
    "inspect.signature": "__annotations__",
    "types.get_original_bases": "__orig_bases__",
    "inspect.getdoc": "__doc__",
}
ENVIRONMENT = frozenset(
    {"os.environ", "os.getenv", "os.environ.get", "os.environ.__getitem__", "os.environ.setdefault", "os.environ.pop"}
)
UNREAD_ENVIRONMENT = Hazard("environment", "reads a variable whose name is not written there, so it is not in the key")


def hazard(name: str, *, empty: bool) -> Hazard | None:
    """Return what it means that code reaches this dotted name; `empty` tells that it calls it without arguments."""
    found = _HAZARDS.get(name)
    return None if found is None or (found.only_empty and not empty) else found


def seeds(name: str, *, empty: bool) -> str:
    """Return whose global generator a call of this name seeds, or ""."""
    return "" if empty else _SEEDS.get(name, "")


def reading_attributes(names: frozenset[str]) -> list[str]:
    """Return those of the attributes that code takes which read files, whatever object they belong to."""
    return sorted(names & _READERS)


FILE = _FILE
BESIDE = Hazard("file", "finds files by where the code stands, and what they hold is not in the key")


def known_name(value: Any) -> str:
    """Return the dotted name under which the table may know an object; "" for one that it cannot know."""
    if isinstance(value, MethodType | BuiltinFunctionType):
        family = _global_generator(value.__self__)
        if family:
            return f"{family}.{value.__name__}"
        owner = value.__self__
        if isinstance(owner, type):
            return f"{_public(owner.__module__)}.{owner.__qualname__}.{value.__name__}"
        return _known(_public(value.__module__), value.__name__) if isinstance(value.__module__, str) else ""
    if isinstance(value, FunctionType | type) or type(value).__name__ == "cython_function_or_method":
        return _known(_public(value.__module__), value.__qualname__)
    if value is sys.modules:
        return "sys.modules"
    cls = type(value)
    return "os.environ" if cls.__qualname__ == "_Environ" and cls.__module__ == "os" else ""


def _known(module: str, name: str) -> str:
    """Return the dotted name of something; of a function that reads files, the public one if it lies deeper."""
    top = module.partition(".")[0]
    if top in _DEEP and f"{module}.{name}" not in _HAZARDS:
        parts = [part.lstrip("_") for part in module.split(".")]
        while parts:
            known = ".".join((*parts, name))
            if _HAZARDS.get(known) is _FILE:
                return known
            parts.pop()
    return f"{module}.{name}"


def _public(module: str | None) -> str:
    return {
        "posix": "os",
        "nt": "os",
        "_io": "io",
        "posixpath": "os.path",
        "genericpath": "os.path",
        "_sqlite3": "sqlite3",
    }.get(module or "", module or "")


def _global_generator(owner: object) -> str:
    """Return the module whose functions are methods of this generator, or ""."""
    if owner is None:
        return ""
    for module, home, name in (("random", "random", "_inst"), ("numpy.random.mtrand", "numpy.random", "_rand")):
        if owner is getattr(sys.modules.get(module), name, None):
            return home
    return ""
