"""Settings, resolved once: argument > environment > file > default.

This is the only module that reads the environment. The file is TOML, `$FOREBAY_CONFIG` or
``~/.config/forebay/config.toml``, with the same names as the fields of `Settings`::

    home = "/data/forebay"
    max_bytes = "200GB"
    codec = "zstd"
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, cast, get_args

from forebay.errors import ConfigError

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


def parse_bytes(text: str | int) -> int:
    """Turn ``"200GB"``, ``"1.5GiB"`` or a plain number into bytes.

    Raises:
        ConfigError: not a size.
    """
    if isinstance(text, int) and text >= 0:
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(text))
    if match is None or match[2].lower() not in _UNITS:
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
    layers = [(_config_file(env), "configuration file"), (_from_environment(env), "environment"), (given, "argument")]
    settings = Settings(home=_default_home(env))
    for values, origin in layers:
        settings = replace(settings, **{name: _convert(name, value, origin) for name, value in values.items()})  # pyright: ignore[reportArgumentType]  # _convert fits each field
    return settings


def colour_wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether the environment lets us colour a terminal (https://no-color.org)."""
    env = os.environ if environ is None else environ
    return not env.get("NO_COLOR") and env.get("TERM") != "dumb"


def redraw_wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Tell whether the environment says that a terminal, if there is one, can redraw lines in place."""
    env = os.environ if environ is None else environ
    return env.get("TERM", "dumb") not in ("", "dumb", "unknown")


def _default_home(env: Mapping[str, str]) -> Path:
    cache = env.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path("~/.cache").expanduser()) / "forebay"


def _config_file(env: Mapping[str, str]) -> dict[str, object]:
    named = env.get("FOREBAY_CONFIG")
    path = Path(named) if named else Path("~/.config/forebay/config.toml").expanduser()
    try:
        text = path.read_text("utf-8")
        import tomllib  # only those who have a file pay for the parser

        return tomllib.loads(text)
    except FileNotFoundError:
        if named:
            raise ConfigError(f"no such configuration file: {path}", subject=path, hint="mend FOREBAY_CONFIG") from None
        return {}
    except (OSError, ValueError) as error:  # not readable, not UTF-8, not TOML
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


def _one_of(choices: tuple[str, ...], value: object) -> str:
    if value not in choices:
        raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
    return cast("str", value)


_CONVERT: dict[str, Callable[[object], object]] = {
    "home": lambda value: Path(str(value)).expanduser().absolute(),
    "max_bytes": lambda value: parse_bytes(cast("str", value)) or None,
    "min_free_bytes": lambda value: parse_bytes(cast("str", value)),
    "codec": lambda value: _one_of(get_args(CodecName), value),
    "verify": lambda value: _one_of(get_args(VerifyPolicy), value),
    "read_only": _flag,
    "group": _flag,
    "lease_seconds": lambda value: float(cast("str", value)),
    "require_cache": _flag,
}
