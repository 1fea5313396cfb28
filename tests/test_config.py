"""Settings: who wins, what is refused, and in which words."""

from pathlib import Path

import pytest

from forebay import config
from forebay.errors import ConfigError


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "config.toml"
    file.write_text('max_bytes = "10GB"\ncodec = "lz4"\ngroup = true\n')
    return {"FOREBAY_CONFIG": str(file), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_argument_beats_environment_beats_file_beats_default(env: dict[str, str]) -> None:
    assert config.resolve(env).codec == "lz4"
    assert config.resolve(env | {"FOREBAY_CODEC": "gzip"}).codec == "gzip"
    assert config.resolve(env | {"FOREBAY_CODEC": "gzip"}, codec="zstd").codec == "zstd"
    settings = config.resolve(env)
    assert (settings.max_bytes, settings.group, settings.verify) == (10**10, True, "once")
    assert settings.home == Path(env["XDG_CACHE_HOME"]) / "forebay"


def test_an_argument_of_none_is_not_given(env: dict[str, str]) -> None:
    assert config.resolve(env, codec=None).codec == "lz4"


def test_a_relative_home_becomes_absolute(env: dict[str, str]) -> None:
    assert config.resolve(env, home="here").home == Path.cwd() / "here"


@pytest.mark.parametrize("home", ["", 3, b"here"])
def test_a_home_that_names_no_folder_is_refused(env: dict[str, str], home: object) -> None:
    with pytest.raises(ConfigError, match=r"^setting home \(argument\): .* is no folder"):
        config.resolve(env, home=home)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("12", 12), ("1k", 1000), ("1KiB", 1024), ("1.5GB", 1_500_000_000), (" 2 tib ", 2 * 2**40), (7, 7)],
)
def test_sizes(text: str | int, size: int) -> None:
    assert config.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "big", "1 parsec", "-1", "1e9", "GB", "9" * 400 + "GB"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a size in bytes"):
        config.parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("5m", 300), ("1.5h", 5400), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_durations(text: str, seconds: float) -> None:
    assert config.parse_seconds(text) == seconds


def test_what_is_not_a_duration_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a duration: 'soon'"):
        config.parse_seconds("soon")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"FOREBAY_CODEC": "rar"}, "setting codec (environment): 'rar' is not one of none, lz4, zstd, gzip"),
        ({"FOREBAY_GROUP": "maybe"}, "setting group (environment): 'maybe' is neither true nor false"),
        ({"FOREBAY_LEASE_SECONDS": "ten"}, "setting lease_seconds (environment)"),
        ({"FOREBAY_CONFIG": "/does/not/exist.toml"}, "no such configuration file: /does/not/exist.toml"),
    ],
)
def test_a_bad_setting_says_which_and_where(env: dict[str, str], variables: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.resolve(env | variables)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_in_the_file_lists_the_known_ones(env: dict[str, str]) -> None:
    Path(env["FOREBAY_CONFIG"]).write_text("max_byte = 1\n")
    with pytest.raises(ConfigError, match=r"unknown setting 'max_byte' \(configuration file\); known: .*max_bytes"):
        config.resolve(env)


def test_a_file_that_is_not_toml_is_named(env: dict[str, str]) -> None:
    Path(env["FOREBAY_CONFIG"]).write_text("codec = \n")
    with pytest.raises(ConfigError, match=r"cannot read .*config\.toml"):
        config.resolve(env)


@pytest.mark.parametrize(("variables", "wanted"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour(variables: dict[str, str], wanted: bool) -> None:
    assert config.colour_wanted(variables) is wanted


@pytest.mark.usefixtures("no_home")
def test_who_has_no_home_folder_says_where_the_store_is(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no folder for the store: HOME is not set.*set FOREBAY_HOME, or give --home"
    ):
        config.resolve({})
    assert config.resolve({}, home=tmp_path).home == tmp_path
    assert config.resolve({"FOREBAY_HOME": str(tmp_path)}).home == tmp_path
    assert config.resolve({"XDG_CACHE_HOME": str(tmp_path)}).home == tmp_path / "forebay"
    assert config.resolve_hub({}).tokens == {}


@pytest.mark.parametrize("place", ["~no.such.user", "~no.such.user/x"])
def test_the_home_of_nobody_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match=f"no home folder is known for ~no.such.user in {place}; write the whole"):
        config.user_path(place)
    with pytest.raises(ConfigError, match=r"setting home \(argument\): no home folder"):
        config.resolve({}, home=place)
    assert config.user_path(f"./{place}") == Path(place)


def test_a_file_that_cannot_be_read_is_not_said_to_be_no_toml(tmp_path: Path) -> None:
    told = r"cannot read .*: Is a directory; let FOREBAY_CONFIG name a file that you may read"
    with pytest.raises(ConfigError, match=told):
        config.resolve({"FOREBAY_CONFIG": str(tmp_path)})
