"""Hubs behind proxies, as the environment names them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from forebay import config
from forebay.errors import ConfigError, OriginError
from forebay.hub import Hub, HubSettings
from forebay.hub.proxies import Proxy, proxy_for

from .certificates import certificate  # pyright: ignore
from .conftest import FILES, World  # pyright: ignore
from .proxying import proxy  # pyright: ignore

DATASET = "hf://datasets/team/small"
CREDENTIALS = "us er:p@ss:word"
WRITTEN = "us%20er:p%40ss:word"


def port(world: World) -> int:
    return urlsplit(world.fake.hf_endpoint).port or 0


def behind(world: World, environ: dict[str, str], scheme: str = "http", **more: object) -> Hub:
    """A hub whose name only a proxy knows."""
    settings = config.resolve_hub({"HF_ENDPOINT": f"{scheme}://hub.example", "FOREBAY_CONFIG": "/dev/null", **environ})
    taken = {name: getattr(settings, name) for name in ("hf_endpoints", "proxies", "no_proxy", "ca_bundle")}
    return world.hub(**taken, **more)


def fetched(hub: Hub) -> bytes:
    return bytes(hub.read(hub.resolve(DATASET), "README.md"))


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("spelled", ["http://{0}", "{0}", "http://{0}/"])
def test_an_http_proxy(world: World, name: str, spelled: str) -> None:
    with proxy(port(world)) as one:
        assert fetched(behind(world, {name: spelled.format(one.address)})) == FILES["README.md"]
        assert set(one.seen) == {"hub.example"}


@pytest.mark.parametrize("spelled", [f"http://{WRITTEN}@{{0}}", f"{WRITTEN}@{{0}}"])
def test_one_that_wants_to_know_who_asks(world: World, spelled: str) -> None:
    with proxy(port(world), credentials=CREDENTIALS) as one:
        assert fetched(behind(world, {"http_proxy": spelled.format(one.address)})) == FILES["README.md"]
        assert not one.refused
    assert not any("proxy-authorization" in request.headers for request in world.fake.log)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("given", "says"), [("", "wants a name and password"), ("me:x@", "wants another name")])
def test_one_that_does_not_know_who_asks(world: World, scheme: str, given: str, says: str) -> None:
    with proxy(port(world), credentials=CREDENTIALS) as one:
        hub = behind(world, {"all_proxy": f"http://{given}{one.address}"}, scheme)
        with pytest.raises(OriginError, match=f"the proxy {one.address} {says}") as caught:
            hub.resolve(DATASET)
        assert "x@" not in str(caught.value)
        assert one.refused == 1  # to ask again is of no use


@pytest.mark.parametrize("trusted", ["file", "folder"])
def test_a_tunnel(world: World, tmp_path: Path, trusted: str) -> None:
    path, inside = certificate(tmp_path, "hub.example")
    called = ["openssl", "x509", "-noout", "-hash", "-in", str(path)]
    try:
        name = subprocess.run(called, capture_output=True, check=True, text=True).stdout.strip()
    except OSError:
        pytest.skip("openssl is not installed")
    path.with_name(f"{name}.0").symlink_to(path)  # what `openssl rehash` makes of a folder
    with proxy(port(world), credentials=CREDENTIALS, inside=inside) as one:
        environ = {"https_proxy": f"http://{WRITTEN}@{one.address}", "http_proxy": "http://127.0.0.1:1"}
        with pytest.raises(OriginError, match=r"the certificate of hub\.example is not trusted"):
            behind(world, environ, "https").resolve(DATASET)
        where = tmp_path if trusted == "folder" else path
        assert fetched(behind(world, environ | {"CURL_CA_BUNDLE": str(where)}, "https")) == FILES["README.md"]
        assert set(one.seen) == {"hub.example:443"}
    assert not any("proxy-authorization" in request.headers for request in world.fake.log)


def test_one_that_does_not_let_a_host_through(world: World) -> None:
    with proxy(port(world), bars="403 Forbidden") as one:
        hub = behind(world, {"https_proxy": one.address}, "https")
        says = rf"^the proxy {one.address} does not let hub\.example through: 403 Forbidden; ask for that host"
        with pytest.raises(OriginError, match=says):
            hub.resolve(DATASET)
        assert one.seen == ["hub.example:443"]  # to ask again is of no use


@pytest.mark.parametrize("credentials", ["", CREDENTIALS])
def test_socks(world: World, credentials: str) -> None:
    with proxy(port(world), socks=True, credentials=credentials) as one:
        who = f"{WRITTEN}@" if credentials else ""
        hub = behind(world, {"ALL_PROXY": f"socks5h://{who}{one.address}"})
        assert fetched(hub) == FILES["README.md"]
        assert set(one.seen) == {"hub.example:80"}
        hub.close()


def test_socks_without_what_it_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)  # pyright: ignore
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:1 speaks SOCKS, which takes PySocks; pip install"):
        behind(world, {"ALL_PROXY": "socks5://me:secret@127.0.0.1:1"}).resolve(DATASET)


def test_one_that_is_not_there(world: World) -> None:
    hub = behind(world, {"http_proxy": "http://me:secret@127.0.0.1:1"}, attempts=1)
    with pytest.raises(OriginError) as caught:
        hub.resolve(DATASET)
    assert caught.value.what == "cannot reach hub.example through the proxy 127.0.0.1:1: Connection refused"


@pytest.mark.parametrize("text", ["ftp://h:1", "http://", "http://me:secret@h:port", "http://[::1", "socks://h:1"])
def test_what_is_no_proxy(text: str) -> None:
    with pytest.raises(ConfigError, match="the proxy for http:// addresses is no address") as caught:
        proxy_for("http://hub.example/x", {"http": text}, ())
    assert "secret" not in str(caught.value)


def test_what_a_proxy_is_called() -> None:
    found = proxy_for("https://hub.example/x", {"https": "https://a%3Ab:c%2Fd@[::2]:8443"}, ())
    assert found == Proxy("https://[::2]:8443", "a:b", "c/d")
    assert str(found) == "[::2]:8443"


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxied"),
    [
        ("https://huggingface.co/x", (), True),
        ("http://huggingface.co/x", (), False),
        ("https://huggingface.co/x", ("huggingface.co",), False),
        ("https://huggingface.co/x", ("HuggingFace.co",), False),
        ("https://cdn.huggingface.co/x", (".huggingface.co",), False),
        ("https://cdn.huggingface.co/x", ("*.huggingface.co",), False),
        ("https://nothuggingface.co/x", ("huggingface.co",), True),
        ("https://huggingface.co/x", ("*",), False),
        ("https://huggingface.co/x", ("huggingface.co:443",), False),
        ("https://huggingface.co:8443/x", ("huggingface.co:443",), True),
        ("https://10.1.2.3/x", ("10.0.0.0/8",), False),
        ("https://11.1.2.3/x", ("10.0.0.0/8", "huggingface.co/x"), True),
        ("https://huggingface.co/x", ("10.0.0.0/8",), True),
        ("https://[fd00::1]/x", ("fd00::/8",), False),
        ("https://[fd00::1]:8443/x", ("[fd00::1]:8443",), False),
        ("https://[fd00::1]/x", ("fd00::1",), False),
        ("https://127.0.0.1/x", (), False),
        ("https://localhost:8080/x", (), False),
    ],
)
def test_who_is_asked_without_one(url: str, no_proxy: tuple[str, ...], proxied: bool) -> None:
    settings = HubSettings(proxies={"https": "http://proxy:3128"}, no_proxy=no_proxy)
    assert (proxy_for(url, settings.proxies, settings.no_proxy) is not None) == proxied
