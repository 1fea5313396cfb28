"""Endpoints and tokens, as environment and configuration file give them."""

from pathlib import Path

import pytest

import forebay
from forebay.config import resolve, resolve_hub
from forebay.errors import ConfigError
from forebay.events import What
from forebay.hub import Hub

from .conftest import FILES, World  # pyright: ignore


def test_the_hubs_themselves_are_the_default() -> None:
    settings = resolve_hub({})
    assert settings.hf_endpoints == ("https://huggingface.co",)
    assert settings.ms_endpoints == ("https://www.modelscope.cn",)
    assert settings.token("huggingface.co") is None
    assert not settings.offline


def test_endpoints_and_chains() -> None:
    environ = {"HF_ENDPOINT": "http://127.0.0.1:80/", "MODELSCOPE_ENDPOINT": "https://ms.example"}
    settings = resolve_hub(environ)
    assert (settings.hf_endpoints, settings.ms_endpoints) == (("http://127.0.0.1:80",), ("https://ms.example",))
    chain = {**environ, "FOREBAY_HF_ENDPOINTS": "https://near.example/hf, https://huggingface.co"}
    assert resolve_hub(chain).hf_endpoints == ("https://near.example/hf", "https://huggingface.co")


@pytest.mark.parametrize("url", ["huggingface.co", "https://user:secret@host", "ftp://x", "https://x/?a=b", "https://"])
def test_what_is_no_endpoint(url: str) -> None:
    with pytest.raises(ConfigError, match="not an endpoint"):
        resolve_hub({"HF_ENDPOINT": url})


def test_a_token_belongs_to_one_host() -> None:
    environ = {"HF_TOKEN": "hf", "MODELSCOPE_API_TOKEN": "ms", "FOREBAY_TOKEN_DATA_EXAMPLE_COM_8080": "data"}
    settings = resolve_hub({**environ, "HF_ENDPOINT": "https://hf.example"})
    assert settings.token("huggingface.co") == settings.token("hf.example") == "hf"
    assert settings.token("www.modelscope.cn") == "ms"
    assert settings.token("data.example.com:8080") == "data"
    for stranger in ("data.example.com", "cdn.huggingface.co", "huggingface.co.evil.example", "127.0.0.1:80"):
        assert settings.token(stranger) is None
    assert "hf'" not in repr(settings)
    assert "data'" not in repr(settings)


def test_a_mirror_is_not_given_the_token_of_the_hub() -> None:
    settings = resolve_hub({"HF_TOKEN": "hf", "FOREBAY_HF_ENDPOINTS": "https://mirror.example,https://huggingface.co"})
    assert settings.token("mirror.example") is None
    assert settings.token("huggingface.co") == "hf"


def test_the_hub_s_own_token_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    assert resolve_hub({"HF_HOME": str(tmp_path)}).token("huggingface.co") == "from-file"
    assert resolve_hub({"HF_TOKEN_PATH": str(tmp_path / "token")}).token("huggingface.co") == "from-file"
    assert resolve_hub({"HF_HOME": str(tmp_path), "HF_TOKEN": "named"}).token("huggingface.co") == "named"


@pytest.mark.parametrize("name", ["FOREBAY_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(name: str) -> None:
    assert resolve_hub({name: "1"}).offline
    assert not resolve_hub({name: "0"}).offline


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        'codec = "zstd"\n[hub]\nhf_endpoints = ["https://a.example", "https://b.example"]\nfresh_seconds = "5m"\n'
    )
    environ = {"FOREBAY_CONFIG": str(path)}
    settings = resolve_hub(environ)
    assert (settings.hf_endpoints, settings.fresh_seconds) == (("https://a.example", "https://b.example"), 300.0)
    assert resolve(environ).codec == "zstd"
    path.write_text("[hub]\nhf_endpoint = 1\n")
    with pytest.raises(ConfigError, match="hub"):
        resolve_hub(environ)


def test_proxies_of_the_environment() -> None:
    settings = resolve_hub({"https_proxy": "http://p:1", "HTTP_PROXY": "http://q:2", "NO_PROXY": "a, .b"})
    assert settings.proxies == {"https": "http://p:1", "http": "http://q:2"}
    assert settings.no_proxy == ("a", ".b")


def test_a_store_fetches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`store.fetch` and `forebay.fetch`, as the environment says where from and where to."""
    monkeypatch.setenv("HF_ENDPOINT", world.fake.hf_endpoint)
    monkeypatch.setenv("FOREBAY_HOME", str(world.home))
    with forebay.open(home=str(world.home)) as store:
        snapshot = store.fetch("hf://datasets/team/small", include=["data/*"], hook=world.events.append)
        assert len(snapshot.files) == len(FILES)
        with Hub(store, world.settings(offline=True)) as hub:
            assert bytes(hub.read(snapshot, "data/train.csv")) == FILES["data/train.csv"]
            assert hub.file(snapshot, "README.md") is None
    assert any(event.what is What.FETCH for event in world.events)
    asked = len(world.fake.log)
    with pytest.raises(forebay.ForebayError, match=r"README\.md"):
        forebay.fetch("hf://datasets/team/small", offline=True)
    assert forebay.fetch("hf://datasets/team/small", include=["data"], offline=True) == snapshot
    assert isinstance(snapshot, forebay.Snapshot)
    assert len(world.fake.log) == asked
