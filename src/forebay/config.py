"""Settings, resolved once: argument > environment > file > default.

This is the only module that reads the environment. The file is TOML, `$FOREBAY_CONFIG` or
``~/.config/forebay/config.toml``, with the same names as the fields of `Settings`::

    home = "/data/forebay"
    max_bytes = "200GB"
    codec = "zstd"

    [hub]                                      # fields of `HubSettings`
    hf_endpoints = ["https://mirror.example", "https://huggingface.co"]

Tokens come from the environment, or from the file in which a hub's own program keeps them; never from ours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, cast, get_args

from forebay.errors import ConfigError, InputError

CodecName = Literal["none", "lz4", "zstd", "gzip"]
VerifyPolicy = Literal["always", "once", "size"]

_UNITS = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "kib": 2**10, "m": 10**6, "mb": 10**6, "mib": 2**20, "g": 10**9,
          "gb": 10**9, "gib": 2**30, "t": 10**12, "tb": 10**12, "tib": 2**40}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set for a store and what runs over it."""

    home: Path
    """Root of the store."""
    max_bytes: int | None = None
    """Hard budget for objects and entries, in bytes at rest; None: as much as the disk holds."""
    min_free_bytes: int = 256 * 2**20
    """Free space that the store leaves on its file system, in bytes."""
    codec: CodecName = "none"
    """How new objects are encoded at rest."""
    verify: VerifyPolicy = "once"
    """When an object's bytes are checked on reading: always, once per process and object, or its size only."""
    read_only: bool = False
    """Never write to the store."""
    group: bool = False
    """Share with the store's group: files 0440/0660, folders 2770, whatever the umask."""
    lease_seconds: float = 10.0
    """A lease whose heartbeat is older than this is dead."""
    require_cache: bool = False
    """Strict mode: a miss is an error."""
    trusted_keys: tuple[str, ...] = ()
    """Public keys (``ed25519:…``) of those whose bundles are installed; where there is one, no others are."""


HF_HOME, MS_HOME = "https://huggingface.co", "https://www.modelscope.cn"
NLTK_SOURCE = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages"


@dataclass(frozen=True, slots=True)
class HubSettings:
    """Where datasets and models come from."""

    hf_endpoints: tuple[str, ...] = (HF_HOME,)
    """Hugging Face or mirrors of it, without the last slash, in the order in which they are tried."""
    ms_endpoints: tuple[str, ...] = (MS_HOME,)
    """ModelScope or mirrors of it, likewise."""
    nltk_source: str = NLTK_SOURCE
    """Where NLTK's packages are, in folders by their kind, without the last slash."""
    tokens: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Secrets, by `token_place` of the host that each belongs to."""
    offline: bool = False
    """Ask no network at all."""
    fresh_seconds: float = 60.0
    """How long the answer of a hub to "what is this branch now?" is taken for true."""
    timeout_seconds: float = 30.0
    """A connection that is silent for so long is dead."""
    attempts: int = 5
    """How often each origin is asked before the next one is."""
    proxies: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Scheme (``http``, ``https``) -> proxy."""
    no_proxy: tuple[str, ...] = ()
    """Hosts, or ends of their names, that are asked directly; ``*`` is all."""
    ca_bundle: str | None = None
    """A file of certificates to trust instead of the system's."""

    def token(self, host: str) -> str | None:
        """Return the secret that belongs to a host (``name`` or ``name:port``), if there is one."""
        name = host.rpartition(":")[0] or host
        return self.tokens.get(token_place(host)) or self.tokens.get(token_place(name))


def token_place(host: str) -> str:
    """Return a host as it stands in the name of a variable: ``hub.example:8080`` is ``HUB_EXAMPLE_8080``."""
    return re.sub(r"[^A-Z0-9]", "_", host.upper())


def parse_bytes(text: str | int) -> int:
    """Turn ``"200GB"``, ``"1.5GiB"`` or a plain number into bytes.

    Raises:
        ConfigError: not a size.
    """
    if isinstance(text, int) and text >= 0:
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(text))
    if match is None or match[2].lower() not in _UNITS or float(match[1]) == float("inf"):
        raise ConfigError(f"not a size in bytes: {text!r}", subject=text, hint="write 200GB, 1.5GiB or a whole number")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def parse_seconds(text: str) -> float:
    """Turn ``"30d"``, ``"12h"``, ``"5m"`` or ``"90"`` (seconds) into seconds.

    Raises:
        ConfigError: not a duration.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*", text)
    if match is None:
        raise ConfigError(f"not a duration: {text!r}", subject=text, hint="write 30d, 12h, 5m or a number of seconds")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[match[2]]


def user_path(path: str | Path) -> Path:
    """Return a path as a user writes it, with the folder that ``~`` or ``~name`` stands for.

    Raises:
        ConfigError: nobody knows that folder: no such user, or HOME is not set and the system does not know who we are.
    """
    found = os.path.expanduser(path)
    if str(found).startswith("~"):
        whose = Path(path).parts[0]
        raise ConfigError(f"no home folder is known for {whose} in {path}", subject=path, hint="write the whole path")
    return Path(found)


def refuse_folder(store: object) -> None:
    """Refuse a folder where a store is wanted that is open.

    Raises:
        InputError: it is a path.
    """
    if isinstance(store, (str, Path)):
        hint = f"write `with forebay.open(home={str(store)!r}) as store:` and give that"
        raise InputError(f"not a store: {str(store)!r}", subject=store, hint=hint)


def resolve(environ: Mapping[str, str] | None = None, **arguments: object) -> Settings:
    """Resolve settings for this process.

    Args:
        environ: stands in for `os.environ`.
        **arguments: fields of `Settings`; None means not given.

    Raises:
        ConfigError: an unknown name, or a value that does not fit.
    """
    env = os.environ if environ is None else environ
    given = {name: value for name, value in arguments.items() if value is not None}
    own = {name: value for name, value in _config_file(env).items() if name != "hub"}
    layers = [(own, "configuration file"), (_from_environment(env), "environment"), (given, "argument")]
    named = any("home" in values for values, _ in layers)
    settings = Settings(home=Path() if named else _default_home(env))
    for values, origin in layers:
        settings = replace(settings, **{name: _convert(name, value, origin) for name, value in values.items()})  # pyright: ignore[reportArgumentType]  # _convert fits each field
    return settings


def resolve_hub(environ: Mapping[str, str] | None = None) -> HubSettings:
    """Resolve where datasets and models come from, for this process.

    Endpoints: FOREBAY_HF_ENDPOINTS and FOREBAY_MS_ENDPOINTS (several, parted by commas), else HF_ENDPOINT and
    MODELSCOPE_ENDPOINT, else the file. Tokens: HF_TOKEN (or the file that `hf auth login` writes) belongs to
    huggingface.co and to HF_ENDPOINT's host, MODELSCOPE_API_TOKEN likewise, FOREBAY_TOKEN_<HOST> to any one host.
    FOREBAY_NLTK_SOURCE stands in for the place of NLTK's packages.

    Raises:
        ConfigError: a value that does not fit.
    """
    env = os.environ if environ is None else environ
    table = _config_file(env).get("hub", {})
    if not isinstance(table, dict) or not set(cast("dict[str, object]", table)) <= _HUB_NAMES:
        raise ConfigError("[hub] of the configuration file", subject="hub", hint=f"known: {', '.join(_HUB_NAMES)}")
    given = cast("dict[str, object]", table)
    hf = _endpoints(env, ("FOREBAY_HF_ENDPOINTS", "HF_ENDPOINT"), given.get("hf_endpoints"), HF_HOME)
    ms = _endpoints(env, ("FOREBAY_MS_ENDPOINTS", "MODELSCOPE_ENDPOINT"), given.get("ms_endpoints"), MS_HOME)
    return HubSettings(
        hf_endpoints=hf,
        ms_endpoints=ms,
        nltk_source=_endpoints(env, ("FOREBAY_NLTK_SOURCE",), given.get("nltk_source"), NLTK_SOURCE)[0],
        tokens=_tokens(env),
        offline=any(env.get(name, "").lower() in _YES for name in ("FOREBAY_OFFLINE", "HF_HUB_OFFLINE")),
        proxies=_proxies(env),
        no_proxy=tuple(part.strip() for part in _either(env, "no_proxy").split(",") if part.strip()),
        ca_bundle=next((env[name] for name in _CERTIFICATES if env.get(name)), None),
        fresh_seconds=_seconds(given, "fresh_seconds", env, 60.0),
        timeout_seconds=_seconds(given, "timeout_seconds", env, 30.0),
    )


_HUB_NAMES = {"hf_endpoints", "ms_endpoints", "nltk_source", "fresh_seconds", "timeout_seconds"}
_YES = {"1", "true", "yes", "on"}
_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def _proxies(env: Mapping[str, str]) -> dict[str, str]:
    named = {scheme: _either(env, f"{scheme}_proxy") or _either(env, "all_proxy") for scheme in ("http", "https")}
    return {scheme: url for scheme, url in named.items() if url}


def _either(env: Mapping[str, str], name: str) -> str:
    return env.get(name) or env.get(name.upper()) or ""


def _seconds(given: Mapping[str, object], name: str, env: Mapping[str, str], usual: float) -> float:
    value = env.get(f"FOREBAY_{name.upper()}") or given.get(name)
    return usual if value is None else parse_seconds(str(value))


def _endpoints(env: Mapping[str, str], variables: tuple[str, ...], given: object, home: str) -> tuple[str, ...]:
    named = next((env[name] for name in variables if env.get(name)), given) or home
    texts = named.split(",") if isinstance(named, str) else cast("list[object]", named)
    found = tuple(str(text).strip().rstrip("/") for text in texts if str(text).strip())
    for url in found:
        if not re.fullmatch(r"https?://[^/?#\s@]+(/[^?#\s]*)?", url):
            raise ConfigError(f"not an endpoint: {url!r}", subject=url, hint=f"write {home}, without secrets")
    return found


def _tokens(env: Mapping[str, str]) -> dict[str, str]:
    tokens: dict[str, str] = {}
    hf = env.get("HF_TOKEN") or env.get("HUGGING_FACE_HUB_TOKEN") or _token_file(env)
    for token, home, variable in (
        (hf, HF_HOME, "HF_ENDPOINT"),
        (env.get("MODELSCOPE_API_TOKEN"), MS_HOME, "MODELSCOPE_ENDPOINT"),
    ):
        for url in (home, env.get(variable) or home):
            if token:
                tokens[token_place(re.sub(r"^https?://|/.*$", "", url))] = token.strip()
    prefix = "FOREBAY_TOKEN_"
    return tokens | {name.removeprefix(prefix): env[name] for name in env if name.startswith(prefix) and env[name]}


def _token_file(env: Mapping[str, str]) -> str | None:
    try:
        home = user_path(env.get("HF_HOME") or _default_home(env).parent / "huggingface")
        path = Path(env["HF_TOKEN_PATH"]) if env.get("HF_TOKEN_PATH") else home / "token"
        return path.read_text("utf-8").strip() or None
    except (ConfigError, OSError, ValueError):
        return None


def environment() -> dict[str, str]:
    """Return the environment, to be handed on to another program."""
    return dict(os.environ)


@contextmanager
def environment_defaults(variables: Mapping[str, str]) -> Generator[None]:
    """Give the environment variables that nobody has set, as long as the block runs. To be used from one thread."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


def colour_wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether the environment lets us colour a terminal (https://no-color.org)."""
    env = os.environ if environ is None else environ
    return not env.get("NO_COLOR") and env.get("TERM") != "dumb"


def redraw_wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether the environment says that a terminal, if there is one, can redraw lines in place."""
    env = os.environ if environ is None else environ
    return env.get("TERM", "dumb") not in ("", "dumb", "unknown")


def _default_home(env: Mapping[str, str]) -> Path:
    """Return where the store is if nobody says.

    Raises:
        ConfigError: there is no home folder, as for a user of a container that its system does not know.
    """
    cache = env.get("XDG_CACHE_HOME")
    try:
        return ((Path(cache) if cache else user_path("~/.cache")) / "forebay").absolute()
    except ConfigError as error:
        what = "no folder for the store: HOME is not set, and the system does not know who we are"
        raise ConfigError(what, subject="home", hint="set FOREBAY_HOME, or give --home") from error


def _config_file(env: Mapping[str, str]) -> dict[str, object]:
    named = env.get("FOREBAY_CONFIG")
    try:
        path = Path(named) if named else user_path("~/.config/forebay/config.toml")
    except ConfigError:  # who has no home folder has none there
        return {}
    try:
        text = path.read_text("utf-8")
        import tomllib  # only those who have a file pay for the parser

        return tomllib.loads(text)
    except FileNotFoundError:
        if named:
            raise ConfigError(f"no such configuration file: {path}", subject=path, hint="mend FOREBAY_CONFIG") from None
        return {}
    except OSError as error:
        hint = "let FOREBAY_CONFIG name a file that you may read"
        raise ConfigError(f"cannot read {path}: {error.strerror}", subject=path, hint=hint) from error
    except ValueError as error:  # not UTF-8, not TOML
        raise ConfigError(f"cannot read {path}: {error}", subject=path, hint="it must be TOML") from error


def _from_environment(env: Mapping[str, str]) -> dict[str, object]:
    """FOREBAY_HOME, FOREBAY_MAX_BYTES …: the field's name in capitals."""
    named = {field.name: f"FOREBAY_{field.name.upper()}" for field in fields(Settings)}
    return {name: env[variable] for name, variable in named.items() if env.get(variable)}


def _convert(name: str, value: object, origin: str) -> object:
    try:
        return _CONVERT[name](value)
    except KeyError:
        known = ", ".join(sorted(_CONVERT))
        raise ConfigError(f"unknown setting {name!r} ({origin})", subject=name, hint=f"known: {known}") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"setting {name} ({origin}): {error}", subject=name) from error


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if str(value).lower() not in known:
        raise ValueError(f"{value!r} is neither true nor false")
    return known[str(value).lower()]


def _keys(value: object) -> tuple[str, ...]:
    """Several keys: a list, or words parted by white space or commas."""
    words = value.replace(",", " ").split() if isinstance(value, str) else cast("list[object]", value)
    for word in words:
        if not isinstance(word, str) or re.fullmatch(r"ed25519:[0-9a-f]{64}", word) is None:
            raise ValueError(f"{word!r} is not a public key; write ed25519: and 64 hexadecimal digits")
    return tuple(cast("list[str]", words))


def _folder(value: object) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError(f"{value!r} is no folder")
    return user_path(value).absolute()


def _one_of(choices: tuple[str, ...], value: object) -> str:
    if value not in choices:
        raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
    return cast("str", value)


_CONVERT: dict[str, Callable[[object], object]] = {
    "home": _folder,
    "max_bytes": lambda value: parse_bytes(cast("str", value)) or None,
    "min_free_bytes": lambda value: parse_bytes(cast("str", value)),
    "codec": lambda value: _one_of(get_args(CodecName), value),
    "verify": lambda value: _one_of(get_args(VerifyPolicy), value),
    "read_only": _flag,
    "group": _flag,
    "lease_seconds": lambda value: float(cast("str", value)),
    "require_cache": _flag,
    "trusted_keys": _keys,
}
