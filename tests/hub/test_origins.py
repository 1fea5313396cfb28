"""Origins other than Hugging Face: ModelScope, URLs, folders, object stores."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from forebay import config
from forebay.errors import (
    AccessError,
    ConfigError,
    InputError,
    NotFoundError,
    OriginError,
    StoreFullError,
    WrongBytesError,
)
from forebay.hub import FetchOptions, Hub, Origin, parse
from forebay.hub.http import Transport, Waits
from forebay.hub.huggingface import HuggingFace
from forebay.hub.local import Local
from forebay.hub.modelscope import ModelScope
from forebay.hub.objectstore import ObjectStore, open_bucket
from forebay.hub.snapshot import key_of
from forebay.hub.web import Web
from forebay.io import DiskSpace, Filesystem, LocalFilesystem
from forebay.store import Store
from forebay.testing import HubFault, Repository
from forebay.types import Entry

from .conftest import FILES, LARGE, World  # pyright: ignore


def test_all_fit_the_seam(world: World) -> None:
    transport = Transport(world.settings())
    origins: list[Origin] = [HuggingFace("https://a", transport), ModelScope("https://b", transport), Web(transport)]
    origins += [Local(), ObjectStore()]
    assert [origin.name for origin in origins][:2] == ["a", "b"]


# ModelScope


def test_modelscope_datasets_and_models(world: World, repository: Repository) -> None:
    world.fake.shelf.add(Repository("team/model", type="model", files={"config.json": "{}", "w.bin": LARGE}))
    hub = world.hub()
    snapshot = hub.fetch("ms://datasets/team/small")
    assert snapshot.commit == repository.head
    assert snapshot.file("data/train.parquet").identity == f"sha256:{hashlib.sha256(LARGE).hexdigest()}"
    for path, content in FILES.items():
        assert bytes(hub.read(snapshot, path)) == content
    assert bytes(hub.read(hub.fetch("ms://team/model"), "w.bin")) == LARGE


def test_modelscope_in_pages(world: World) -> None:
    files = {f"data/{n:05}.txt": f"{n}" for n in range(1234)}
    world.fake.shelf.add(Repository("team/many", files=files))
    assert [file.path for file in world.hub().resolve("ms://datasets/team/many").files] == sorted(files)
    assert world.fake.count("*/repo/tree*") == 3


def test_a_model_of_more_files_than_modelscope_lists_at_once(world: World) -> None:
    files = {f"part{n % 7}/{n:05}.txt": f"{n}" for n in range(3100)}
    world.fake.shelf.add(Repository("team/many", type="model", files=files))
    assert [file.path for file in world.hub().resolve("ms://team/many").files] == sorted(files)


def test_a_modelscope_that_does_not_say_its_commits(world: World, repository: Repository) -> None:
    world.fake.faults.add(HubFault(status=404), "*/revisions")
    hub = world.hub()
    first = hub.fetch("ms://datasets/team/small")
    assert len(first.commit) == 64
    repository.commit({"README.md": b"new"})
    assert hub.resolve("ms://datasets/team/small", fresh_seconds=0).commit != first.commit


def test_modelscope_ignores_ranges_where_it_sends_straight(world: World) -> None:
    world.fake.modelscope.cdn = None
    world.fake.faults.add(HubFault(cut_after_bytes=2_000_000), "*repo*FilePath*parquet*", times=1)
    hub = world.hub()
    assert bytes(hub.read(hub.fetch("ms://datasets/team/small"), "data/train.parquet")) == LARGE


@pytest.mark.parametrize(
    ("reference", "error", "words"),
    [
        ("ms://datasets/team/none", NotFoundError, "no ms://datasets/team/none on"),
        ("ms://datasets/team/small@nope", NotFoundError, "no ms://datasets/team/small@nope on"),
        ("ms://spaces/team/small", InputError, "ModelScope has no spaces"),
    ],
)
def test_modelscope_refusals(world: World, reference: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        world.hub().resolve(reference)


def test_modelscope_tokens(world: World) -> None:
    world.fake.shelf.add(Repository("team/private", files={"a.txt": "x"}, private=True, readers=["ann"]))
    hub = world.hub()
    with pytest.raises(NotFoundError, match="MODELSCOPE_API_TOKEN"):
        hub.resolve("ms://datasets/team/private")
    snapshot = hub.fetch("ms://datasets/team/private", FetchOptions(token="ann"))
    assert snapshot.restricted
    assert bytes(hub.read(snapshot, "a.txt")) == b"x"


# URLs


@pytest.fixture
def url(world: World) -> str:
    return f"{world.fake.hf_endpoint}/datasets/team/small/resolve/main/data/train.csv"


def test_a_url_is_known_by_its_etag(world: World, url: str, repository: Repository) -> None:
    hub = world.hub()
    first = hub.fetch(url)
    assert [file.path for file in first.files] == ["train.csv"]
    assert bytes(hub.read(first, "train.csv")) == FILES["data/train.csv"]
    world.fake.forget()
    assert hub.fetch(f"{url}") == first
    assert not world.fake.log
    repository.commit({"data/train.csv": b"other"})
    second = hub.resolve(url, fresh_seconds=0)
    assert second.commit != first.commit
    assert bytes(hub.read(second, "train.csv")) == b"other"
    assert bytes(hub.read(first, "train.csv")) == FILES["data/train.csv"]


def test_a_url_with_its_hash(world: World, url: str) -> None:
    hub = world.hub()
    good = hashlib.sha256(FILES["data/train.csv"]).hexdigest()
    assert hub.fetch(f"{url}#sha256={good}").files[0].identity == f"sha256:{good}"
    with pytest.raises(WrongBytesError, match="should be sha256:0000"):
        hub.fetch(f"{url}#sha256={'0' * 64}")


def test_a_url_is_resumed_as_long_as_it_is_the_same(world: World, repository: Repository) -> None:
    url = f"{world.fake.hf_endpoint}/datasets/team/small/resolve/main/data/train.parquet"
    world.fake.faults.add(HubFault(cut_after_bytes=2_000_000), "/cdn/*", times=1)
    hub = world.hub()
    assert bytes(hub.read(hub.fetch(url), "train.parquet")) == LARGE
    assert world.sent_bytes() == len(LARGE)
    snapshot = hub.resolve(url, fresh_seconds=0)
    repository.commit({"data/train.parquet": LARGE[::-1]})
    hub.store.remove("file", snapshot.files[0].key)
    assert bytes(hub.read(snapshot, "train.parquet")) == LARGE  # the snapshot's entry names the content too
    hub.store.remove("file", snapshot.files[0].key)
    hub.store.remove("snapshot", snapshot.key)
    with pytest.raises(OriginError, match="has changed at"):
        world.hub().fetch(snapshot)


@pytest.mark.parametrize("dropped", [("ETag",), ("ETag", "Accept-Ranges", "X-Linked-ETag")])
def test_a_url_without_validators(world: World, url: str, dropped: tuple[str, ...]) -> None:
    world.fake.faults.add(HubFault(drop_headers=dropped))
    hub = world.hub()
    assert bytes(hub.read(hub.fetch(url), "train.csv")) == FILES["data/train.csv"]


def test_urls_that_are_refused(world: World, url: str) -> None:
    hub = world.hub()
    with pytest.raises(NotFoundError, match="nothing at"):
        hub.fetch(f"{url}.nope")
    world.fake.shelf.add(Repository("team/gated", files={"a": "x"}, gated="auto"))
    with pytest.raises(AccessError, match="FOREBAY_TOKEN_"):
        hub.fetch(f"{world.fake.hf_endpoint}/datasets/team/gated/resolve/main/a")
    with pytest.raises(OriginError):
        hub.fetch("http://127.0.0.1:9/x")


def test_a_server_without_head(world: World, url: str) -> None:
    world.fake.faults.add(HubFault(status=405), methods=["HEAD"])
    hub = world.hub()
    assert bytes(hub.read(hub.fetch(url), "train.csv")) == FILES["data/train.csv"]


class _Chunked(BaseHTTPRequestHandler):
    """Sends a body of no announced size, without validators."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in (b"hello ", b"world", b""):
            if self.command == "GET":
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.parametrize("budget", [None, 200_000])
def test_a_body_of_unknown_size(world: World, budget: int | None) -> None:
    """It gathers on the disk, as nobody knows how large it gets, and what it took counts once."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Chunked) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        store = world.store(max_bytes=budget)
        hub = world.hub(store)
        snapshot = hub.fetch(f"http://127.0.0.1:{server.server_port}/x.txt")
        assert snapshot.files[0].size is None
        assert bytes(hub.read(snapshot, "x.txt")) == b"hello world"
        again = hub.resolve(f"http://127.0.0.1:{server.server_port}/x.txt", fresh_seconds=0)
        assert again.commit != snapshot.commit  # nobody can tell whether it has changed
        assert b"".join(hub.stream(again, "x.txt")) == b"hello world"
        assert (store.usage().partials, store.usage().reserved_bytes) == (0, 0)
        hub.close()
        server.shutdown()
        thread.join()


class _Encoding(_Chunked):
    """Sends what was stored encoded, whatever it was asked for; the first time but the beginning of it."""

    rows = b"".join(b'{"n": %d}\n' % n for n in range(300_000))
    stored = gzip.compress(rows, mtime=0)
    cut = False

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.stored) - 1}/{len(self.stored)}")
        self.send_header("Content-Encoding", "br" if "brotli" in self.path else "gzip")
        self.send_header("Content-Length", str(len(self.stored) - start))
        self.send_header("ETag", '"of-what-is-stored"')
        self.end_headers()
        if self.command == "GET":
            first, type(self).cut = self.cut, False
            self.wfile.write(self.stored[start : len(self.stored) // 2 if first else None])
            self.close_connection = first

    do_HEAD = do_GET


@pytest.fixture
def encoding() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Encoding) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("pinned", [False, True])
def test_what_a_server_encodes_for_the_way_is_decoded(world: World, encoding: str, cut: bool, pinned: bool) -> None:
    _Encoding.cut = cut
    sha256 = f"#sha256={hashlib.sha256(_Encoding.rows).hexdigest()}" if pinned else ""
    hub = world.hub()
    snapshot = hub.fetch(f"{encoding}/x.jsonl{sha256}")
    assert bytes(hub.read(snapshot, "x.jsonl")) == _Encoding.rows
    assert snapshot.files[0].size is None
    assert hub.resolve(f"{encoding}/x.jsonl{sha256}", fresh_seconds=0) == snapshot
    assert _Encoding.cut is False


def test_what_is_called_gz_is_left_as_it_is(world: World, encoding: str) -> None:
    hub = world.hub()
    snapshot = hub.fetch(f"{encoding}/x.jsonl.gz")
    assert bytes(hub.read(snapshot, "x.jsonl.gz")) == _Encoding.stored
    assert snapshot.files[0].size == len(_Encoding.stored)


def test_what_nobody_can_decode_is_told(world: World, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib3.HTTPResponse, "CONTENT_DECODERS", ["gzip"])
    with pytest.raises(OriginError, match=r"sends http://.*/brotli\.txt encoded \(br\), which it was asked not to"):
        world.hub().fetch(f"{encoding}/brotli.txt")


class _Endless(_Chunked):
    """Sends more than was expected, and never comes to an end: of 6 MB it breaks off after 4."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.command == "GET":
            for _ in range(40):
                self.wfile.write(b"%x\r\n%s\r\n" % (100_000, bytes(100_000)))
        self.close_connection = True

    do_HEAD = do_GET


@pytest.fixture
def endless() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Endless) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/x.bin"
        server.shutdown()
        thread.join()


def test_what_begins_anew_each_time_comes_no_further(world: World, endless: str) -> None:
    """Bytes have come each time, but the same ones: that is no reason to ask for ever."""
    hub, store = world.hub(attempts=3), world.store()
    _Endless.asked = 0
    with pytest.raises(OriginError, match="stopped sending"):
        hub.fetch(endless)
    assert _Endless.asked < 8
    assert store.usage().partials == 0  # nobody could go on with it


def test_a_body_of_unknown_size_keeps_to_the_budget(world: World, endless: str) -> None:
    store, seen = world.store(max_bytes=2_000_000), [0]

    def look() -> None:
        seen.append(sum(path.stat().st_size for path in world.home.glob("partials-v1/*/*")))

    hub = Hub(store, world.settings(), lambda _: look(), waits=Waits(0.001, 0.01))
    with hub, pytest.raises(StoreFullError, match=r"cannot fetch x\.bin: no room"):
        hub.fetch(endless)
    assert max(seen) <= 2_000_000
    assert (store.usage().partials, store.usage().reserved_bytes) == (0, 0)


class _SmallDisk(LocalFilesystem):
    """A disk of which files below `home` take room; it refuses what has not been reserved, as a full one does."""

    def __init__(self, home: Path, capacity: int) -> None:
        super().__init__()
        self.home, self.capacity = home, capacity

    def free(self) -> int:
        return self.capacity - sum(path.stat().st_size for path in self.home.glob("*-v1/**/*") if path.is_file())

    def space(self, path: Path) -> DiskSpace:
        return DiskSpace(self.capacity, max(self.free(), 0))


class _FillingDisk(LocalFilesystem):
    """Says that there is room, and has none after the first 2 MB of a file: others have written meanwhile."""

    def create(self, path: Path, *, mode: int = 0o644) -> Any:
        file = super().create(path, mode=mode)
        return _Filling(file) if "partials-v1" in path.parts else file


class _Filling:
    def __init__(self, file: Any) -> None:
        self.file, self.size = file, 0

    def write(self, data: Any) -> None:
        self.size += len(data)
        if self.size > 2_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def _on(world: World, disk: Filesystem, **settings: Any) -> Hub:
    store = world.stack.enter_context(
        Store.open(config.resolve({}, home=world.home, min_free_bytes=0, **settings), fs=disk)
    )
    return world.stack.enter_context(Hub(store, world.settings(attempts=2), fs=disk, waits=Waits(0.001, 0.01)))


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_body_of_unknown_size_meets_a_full_disk_before_it_is_written(world: World, endless: str, codec: str) -> None:
    disk = _SmallDisk(world.home, 2_000_000)
    hub = _on(world, disk, codec=codec)
    with pytest.raises(StoreFullError, match=r"cannot fetch x\.bin, of which [^ ]+ .?B have come: .*no room") as error:
        hub.fetch(endless)
    assert "kept;" not in str(error.value)
    assert hub.store.usage().partials == 0
    assert disk.free() > 1_900_000


def test_a_body_of_unknown_size_makes_room_on_the_disk(world: World, endless: str) -> None:
    """Old entries go for it; here it ends by itself, and nothing of it stays."""
    disk = _SmallDisk(world.home, 6_000_000)
    hub = _on(world, disk)
    with hub.store.batch() as batch:
        batch.add(Entry("old", key_of("old"), (batch.put("data", bytes(4_000_000)),)))
    with pytest.raises(OriginError, match=r"stopped sending.*try again later; nothing of it is kept, it has to begin"):
        hub.fetch(endless)
    assert hub.store.get("old", key_of("old")) is None
    assert hub.store.usage().partials == 0


def test_a_useless_partial_goes_when_the_disk_fills_up_under_it(world: World, endless: str) -> None:
    hub = _on(world, _FillingDisk())
    with pytest.raises(StoreFullError, match=r"cannot keep x\.bin"):
        hub.fetch(endless)
    assert not list(world.home.glob("partials-v1/*/*"))


def test_what_can_be_gone_on_with_is_said_to_be_kept(world: World) -> None:
    world.fake.faults.add(HubFault(cut_after_bytes=1_500_000), "/cdn/*")
    hub = world.hub(attempts=1)
    snapshot = hub.resolve("hf://datasets/team/small")
    with pytest.raises(OriginError, match="try again later; what has come of it is kept"):
        hub.fetch_file(snapshot, "data/train.parquet")
    assert hub.store.usage().partial_bytes > 0


# This machine


def test_a_folder_is_known_by_content(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git/x").write_text("hidden")
    (folder / "a.csv").write_bytes(b"1,2")
    (folder / "deep/large.bin").write_bytes(LARGE)
    hub = world.hub(offline=True)  # no network has a part in it
    first = hub.resolve(str(folder))
    assert [file.path for file in first.files] == ["a.csv", "deep/large.bin"]
    hub = world.hub()
    hub.fetch(str(folder))
    assert bytes(hub.read(first, "deep/large.bin")) == LARGE
    assert not world.fake.log
    (folder / "a.csv").write_bytes(b"3,4")
    second = hub.fetch(str(folder))
    assert second.commit != first.commit
    assert bytes(hub.read(first, "a.csv")) == b"1,2"
    assert bytes(hub.read(second, "a.csv")) == b"3,4"
    one = hub.fetch(str(folder / "a.csv"))
    assert [file.path for file in one.files] == ["a.csv"]


def test_what_is_here_already_is_not_read_again(world: World, tmp_path: Path) -> None:
    hub = world.hub()
    hub.fetch("hf://datasets/team/small")
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(LARGE)
    world.events.clear()
    hub.fetch(str(copy))
    assert world.fetched_bytes() == 0


def test_a_file_that_changes_under_its_own_time_is_fetched_again(world: World, tmp_path: Path) -> None:
    """There is no hub to tell of it, and no mirror to ask."""
    path = tmp_path / "rows" / "a.txt"
    path.parent.mkdir()
    path.write_text("one")
    hub = world.hub()
    snapshot = hub.resolve(str(path.parent))
    before = path.stat()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WrongBytesError, match=r"kept; fetch it again, for it may have changed meanwhile$"):
        hub.fetch(snapshot)


def test_no_such_folder_and_a_file_that_goes(world: World, tmp_path: Path) -> None:
    hub = world.hub()
    with pytest.raises(NotFoundError, match="no such file or folder"):
        hub.fetch(str(tmp_path / "none"))
    gone = tmp_path / "gone.txt"
    gone.write_text("x")
    snapshot = hub.resolve(str(gone))
    gone.unlink()
    with pytest.raises(NotFoundError, match="it has gone"):
        hub.fetch(snapshot)
    gone.write_text("y")
    with pytest.raises(WrongBytesError, match="this machine sends blake3:"):
        hub.fetch(snapshot)


# Object stores


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    """A real S3 server on loopback."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    options: dict[str, Any] = {"endpoint": endpoint, "client_options": {"allow_http": True}, "region": "us-east-1"}
    options |= {"access_key_id": "test", "secret_access_key": "test"}
    urllib3.request("PUT", f"{endpoint}/bucket")
    list(open_bucket("s3://bucket", options).list())  # its threads and descriptors are there for good from now on
    yield options
    server.stop()


@pytest.fixture
def bucket(s3: dict[str, Any]) -> dict[str, Any]:
    store = open_bucket("s3://bucket", s3)
    for path, content in FILES.items():
        store.put(f"some/prefix/{path}", content)
    return s3


def test_an_object_store(world: World, bucket: dict[str, Any]) -> None:
    hub = world.hub(origins={"store": [ObjectStore(bucket)]})
    snapshot = hub.fetch("s3://bucket/some/prefix")
    assert [file.path for file in snapshot.files] == sorted(FILES)
    for path, content in FILES.items():
        assert bytes(hub.read(snapshot, path)) == content
    one = hub.fetch("s3://bucket/some/prefix/README.md")
    assert [file.path for file in one.files] == ["README.md"]
    assert bytes(hub.read(one, "README.md")) == FILES["README.md"]
    with pytest.raises(NotFoundError, match="nothing at s3://bucket/none"):
        hub.fetch("s3://bucket/none")


def test_a_bucket_that_is_not_there_is_not_asked_for_again(world: World, bucket: dict[str, Any]) -> None:
    hub = world.hub(origins={"store": [ObjectStore(bucket)]})
    with pytest.raises(NotFoundError, match="nothing at s3://no-such/some/prefix; check bucket and prefix"):
        hub.fetch("s3://no-such/some/prefix")


def test_an_object_that_obstore_cannot_name_is_told(world: World, bucket: dict[str, Any]) -> None:
    urllib3.request("PUT", f"{bucket['endpoint']}/bucket/odd//name.txt", body=b"x")
    hub = world.hub(origins={"store": [ObjectStore(bucket)]})
    with pytest.raises(InputError, match=r"odd//name\.txt.*; rename that object, or name a longer prefix"):
        hub.fetch("s3://bucket/odd")


def test_an_object_that_changes(world: World, bucket: dict[str, Any]) -> None:
    hub = world.hub(origins={"store": [ObjectStore(bucket)]})
    first = hub.resolve("s3://bucket/some/prefix")
    open_bucket("s3://bucket", bucket).put("some/prefix/README.md", b"new")
    with pytest.raises(InputError, match="has changed since it was looked at"):
        hub.fetch_file(first, "README.md")
    second = hub.resolve("s3://bucket/some/prefix", fresh_seconds=0)
    assert bytes(hub.read(second, "README.md")) == b"new"


def test_an_object_is_read_from_where_it_was_cut(bucket: dict[str, Any]) -> None:
    origin = ObjectStore(bucket)
    snapshot = origin.resolve(parse("s3://bucket/some/prefix")).snapshot
    with origin.read(snapshot, snapshot.file("data/train.parquet"), 3_000_000, "") as body:
        assert (body.start, body.size) == (3_000_000, len(LARGE))
        assert b"".join(body.chunks(100_000)) == LARGE[3_000_000:]


def test_an_object_store_that_cannot_be_reached(world: World, bucket: dict[str, Any]) -> None:
    quick = {"max_retries": 0}
    dead = {**bucket, "endpoint": "http://127.0.0.1:9", "retry_config": quick}
    hub = world.hub(origins={"store": [ObjectStore(dead)]})
    with pytest.raises(OriginError, match="cannot read s3://bucket"):
        hub.fetch("s3://bucket/some/prefix")


def test_without_credentials_the_error_says_which_are_meant() -> None:
    def opened(_: str, __: Any) -> Any:
        raise RuntimeError("Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 2ms")

    with pytest.raises(AccessError, match=r"no credentials to read s3://bucket/x; set AWS_ACCESS_KEY_ID"):
        ObjectStore({}, opened).resolve(parse("s3://bucket/x"))


def test_without_obstore_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ConfigError, match=r"pip install 'forebay\[s3\]'"):
        ObjectStore().resolve(parse("s3://bucket/x"))
