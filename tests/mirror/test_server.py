"""A mirror as a process: real sockets, a hub that misbehaves, many clients."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from forebay.testing import FakeHub, HubFault, Repository

BIG = bytes(range(256)) * (8 << 12)  # 8 MiB
PATH = "/datasets/a/b/resolve/main/big.bin"


@pytest.fixture
def repository() -> Repository:
    return Repository("a/b", files={"big.bin": BIG, "x.json": "{}", "small.csv": "a\n1\n"})


@pytest.fixture
def fake(repository):
    with FakeHub([repository]) as hub:
        yield hub


def test_cold_warm_and_without_a_hub(fake, start_mirror, upstream) -> None:
    mirror = start_mirror(*upstream(fake))
    assert mirror.ask(PATH).body == BIG
    asked = fake.count()
    assert asked <= 5  # the repository, its tree, the file and the redirect to it
    for _ in range(3):
        assert mirror.ask(PATH).body == BIG
    assert mirror.ask(PATH, "HEAD").headers["content-length"] == str(len(BIG))
    assert fake.count() == asked
    fake.die()
    assert mirror.ask(PATH).body == BIG
    assert mirror.ask(PATH, Range="bytes=1000-1999").body == BIG[1000:2000]
    counts = mirror.counts()
    assert counts["upstream_requests"] == asked
    assert (counts["files"], counts["files_fetched"], counts["failed"], counts["cut"]) == (5, 1, 0, 0)
    assert counts["bytes_sent"] == 5 * len(BIG) + 1000
    assert mirror.stop() == 0


def test_it_begins_with_a_dead_hub(fake, start_mirror, upstream) -> None:
    start_mirror(*upstream(fake)).ask(PATH)
    fake.die()
    mirror = start_mirror(*upstream(fake), "--fresh-seconds", "0")
    assert mirror.ask(PATH).body == BIG
    fake.revive()
    assert mirror.ask("/datasets/a/b/resolve/main/x.json").body == b"{}"


def test_certificates_that_are_not_there_are_told_to_who_asks(fake, tmp_path, start_mirror, upstream) -> None:
    """What is loaded ahead of the first question must not end the mirror."""
    mirror = start_mirror(*upstream(fake), SSL_CERT_FILE=str(tmp_path / "none.pem"))
    for _ in range(2):
        answer = mirror.ask(PATH)
        assert answer.status >= 500
        assert b"none.pem" in answer.body
    assert mirror.counts()["files"] == 0


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=0-999"}, {"Range": "bytes=-1000"}])
def test_wrong_bytes_never_make_a_whole_answer(asked, fake, start_mirror, upstream) -> None:
    fake.faults.add(HubFault(flip_byte=len(BIG) // 2))
    mirror = start_mirror(*upstream(fake))
    mirror.ask("/api/datasets/a/b")
    try:
        answer = mirror.ask(PATH, **asked)
    except (http.client.IncompleteRead, ConnectionError):
        pass
    else:
        assert answer.status >= 500
    fake.faults.clear()
    wanted = {"": BIG, "bytes=0-999": BIG[:1000], "bytes=-1000": BIG[-1000:]}[asked.get("Range", "")]
    assert mirror.ask(PATH, **asked).body == wanted


@pytest.mark.parametrize("wrong", [b"x", BIG[:-1], BIG + b"x", b""])
def test_other_bytes_never_make_a_whole_answer(wrong, fake, start_mirror, upstream) -> None:
    fake.faults.add(HubFault(replace_with=wrong))
    mirror = start_mirror(*upstream(fake))
    try:
        assert mirror.ask(PATH).status >= 500
    except (http.client.IncompleteRead, ConnectionError):
        pass


@pytest.mark.parametrize(
    "fault",
    [
        HubFault(cut_after_bytes=1 << 20),
        HubFault(status=429, retry_after="0"),
        HubFault(status=503),
        HubFault(reset=True),
        HubFault(latency_seconds=0.2),
        HubFault(ignore_range=True, cut_after_bytes=5 << 20),
    ],
    ids=["cut", "429", "503", "reset", "slow", "cut, no ranges"],
)
def test_a_hub_that_stumbles_is_not_noticed(fault, fake, start_mirror, upstream) -> None:
    fake.faults.add(fault, "*big.bin*", times=2)
    assert start_mirror(*upstream(fake)).ask(PATH).body == BIG


def test_the_first_byte_comes_at_once(fake, start_mirror, upstream) -> None:
    """The rest is held back until it has been read: the answer begins long before the file is there."""
    fake.faults.add(HubFault(bytes_per_second=len(BIG) / 3))
    mirror = start_mirror(*upstream(fake))
    mirror.ask("/api/datasets/a/b")
    connection = http.client.HTTPConnection(urlsplit(mirror.endpoint).netloc, timeout=30)
    connection.request("GET", PATH)
    answer = connection.getresponse()
    first = answer.read(1000)
    assert fake.log[-1].sent_bytes < len(BIG)
    assert first + answer.read() == BIG
    connection.close()


def test_one_download_for_many_clients(fake, start_mirror, upstream) -> None:
    mirror = start_mirror(*upstream(fake))
    with ThreadPoolExecutor(64) as pool:
        bodies = list(pool.map(lambda n: mirror.ask(PATH, Range=f"bytes={n * 1000}-").body, range(64)))
    assert bodies == [BIG[n * 1000 :] for n in range(64)]
    assert fake.count("/cdn/*", method="GET") == 1


def test_two_mirrors_share_a_download(fake, start_mirror, upstream) -> None:
    fake.faults.add(HubFault(bytes_per_second=len(BIG) / 1.5), "/cdn/*")
    mirrors = [start_mirror(*upstream(fake)) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        bodies = list(pool.map(lambda mirror: mirror.ask(PATH).body, mirrors))
    assert bodies == [BIG, BIG]
    assert fake.count("/cdn/*", method="GET") == 1


def test_memory_stays_flat(tmp_path, start_mirror, upstream) -> None:
    """200 MiB through a mirror, cold and warm, to clients that do not read: not in its memory."""
    block = bytes(range(256)) * (1 << 12)
    source = tmp_path / "huge.bin"
    with source.open("wb") as file:
        for n in range(200):
            file.write(n.to_bytes(8, "big") + block[8:])
    with FakeHub([Repository("a/b", files={"big.bin": source})]) as fake:
        mirror = start_mirror(*upstream(fake))
        mirror.ask("/api/datasets/a/b")
        before = mirror.rss_bytes()
        seen = _taken(mirror.endpoint + PATH)
        idle = [_begun(mirror.endpoint + PATH) for _ in range(16)]
        ranges = [_begun(mirror.endpoint + PATH, Range="bytes=1-") for _ in range(16)]
        assert _taken(mirror.endpoint + PATH) == seen == 200 << 20
        anonymous = mirror.rss_bytes() - before - _mapped_bytes(mirror.process.pid)
        for connection in (*idle, *ranges):
            connection.close()
        assert anonymous < 160 << 20  # pieces on their way to 33 clients


def _taken(url: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.request("GET", parts.path)
    answer, buffer, size = connection.getresponse(), bytearray(1 << 20), 0
    while count := answer.readinto(buffer):
        size += count
    connection.close()
    return size


def _begun(url: str, **headers: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.request("GET", parts.path, headers=headers)
    connection.getresponse().read(1)
    return connection


def _mapped_bytes(pid: int) -> int:
    """Pages of files that are mapped: the kernel takes them back when it likes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssFile:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssFile")


def test_objects_that_are_encoded_at_rest(start_mirror, upstream) -> None:
    text = b"all the same line\n" * 200_000
    with FakeHub([Repository("a/b", files={"t.txt": text})]) as fake:
        mirror = start_mirror(*upstream(fake), FOREBAY_CODEC="zstd")
        for _ in range(2):
            assert mirror.ask("/datasets/a/b/resolve/main/t.txt").body == text
        assert mirror.ask("/datasets/a/b/resolve/main/t.txt", Range="bytes=-18").body == b"all the same line\n"
        assert fake.count("*t.txt", method="GET") == 1


def test_damage_at_rest_is_fetched_again(fake, tmp_path, start_mirror, upstream) -> None:
    start_mirror(*upstream(fake)).ask(PATH)
    held = next(path for path in (tmp_path / "store" / "objects-v1").rglob("*") if path.stat().st_size == len(BIG))
    held.chmod(0o644)
    with held.open("r+b") as file:
        file.seek(12345)
        file.write(b"?!")
    mirror = start_mirror(*upstream(fake))
    assert mirror.ask(PATH).body == BIG


def test_a_store_that_may_not_be_written_is_served(fake, start_mirror, upstream) -> None:
    start_mirror(*upstream(fake)).ask(PATH)
    mirror = start_mirror(*upstream(fake), FOREBAY_READ_ONLY="1")
    fake.die()
    assert mirror.ask(PATH).body == BIG
    assert mirror.ask("/datasets/a/b/resolve/main/x.json").status >= 500


NONSENSE = [
    *("/", "//", "/api", "/api/", "/datasets", "/datasets/a", "/api/datasets/%00/%ff", "/api/v1/datasets/"),
    *("/a/b/../../etc/passwd", "/datasets/a/b/resolve/main/../../../../etc/passwd", "/datasets/../../resolve/main/x"),
    "/api/datasets/a/b/tree/main/%2e%2e",
]


def test_nonsense_is_answered(fake, start_mirror, upstream) -> None:
    mirror = start_mirror(*upstream(fake))
    for path in NONSENSE:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            assert 400 <= mirror.ask(path, method).status < 500, (method, path)
    assert mirror.counts()["failed"] == 0
    connection = http.client.HTTPConnection(urlsplit(mirror.endpoint).netloc)
    connection.request("POST", "/api/datasets/a/b/paths-info/main", body=b"x" * (17 << 20))
    assert connection.getresponse().status == 413
    connection.close()


def test_json_that_is_nested_without_end(fake, start_mirror, upstream) -> None:
    mirror = start_mirror(*upstream(fake))
    with closing(http.client.HTTPConnection(urlsplit(mirror.endpoint).netloc)) as connection:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/api/datasets/a/b/paths-info/main", body=b"[" * 60_000, headers=headers)
        assert connection.getresponse().status == 400


@pytest.mark.parametrize("digits", [4300, 5000])
def test_numbers_of_thousands_of_digits(digits, fake, start_mirror, upstream) -> None:
    mirror = start_mirror(*upstream(fake))
    many = "9" * digits
    for asked, status in ((f"{many}-", 416), (f"0-{many}", 206), (f"-{many}", 206), (f"{many}-{many}", 416)):
        assert mirror.ask(PATH, Range=f"bytes={asked}").status == status
    assert mirror.ask(f"/api/datasets/a/b/tree/main?limit={many}").status == 200
    assert mirror.ask(f"/api/v1/datasets/a/b/repo/tree?PageNumber={many}&PageSize={many}").status == 200
    assert mirror.ask(f"/api/v1/datasets/{many}").status == 404
    assert mirror.counts()["failed"] == 0


def test_connections_are_kept(fake, start_mirror, upstream) -> None:
    mirror = start_mirror(*upstream(fake))
    connection = http.client.HTTPConnection(urlsplit(mirror.endpoint).netloc)
    connection.connect()
    first = connection.sock
    for path in (PATH, "/api/datasets/a/b", PATH, "/nothing", "/datasets/a/b/resolve/main/x.json"):
        for method in ("HEAD", "GET"):
            connection.request(method, path)
            connection.getresponse().read()
            assert connection.sock is first, f"{method} {path} closed the connection"
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order(number, fake, start_mirror, upstream) -> None:
    mirror = start_mirror(*upstream(fake))
    kept = http.client.HTTPConnection(urlsplit(mirror.endpoint).netloc)
    kept.request("GET", "/api/datasets/a/b")
    kept.getresponse().read()
    mirror.process.send_signal(number)
    assert mirror.process.wait(30) == 0
    kept.close()


def test_it_ends_when_it_has_loaded_what_it_began_to_load(tmp_path) -> None:
    """A process that ended under OpenSSL's reading of certificates died of a segmentation fault."""
    program = tmp_path / "slow_to_load.py"
    program.write_text(SLOW_TO_LOAD)
    done = subprocess.run(
        [sys.executable, program, tmp_path / "store"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "loaded\nended\n", "")


SLOW_TO_LOAD = """
import os, signal, sys, threading, time
from forebay import config
from forebay.hub import Hub
from forebay.mirror import MirrorOptions, run_mirror
from forebay.store import Store

stopping = threading.Event()

def load(hub):
    stopping.wait()
    time.sleep(0.2)
    print("loaded", flush=True)

def stop(address):
    os.kill(os.getpid(), signal.SIGTERM)
    stopping.set()

Hub.load = load
with Store.open(config.resolve({}, home=sys.argv[1])) as store:
    run_mirror(store, MirrorOptions(port=0), ready=stop, done=lambda counts: None)
    print("ended", flush=True)
"""


def test_it_stops_while_a_download_hangs(fake, start_mirror, upstream) -> None:
    fake.faults.add(HubFault(bytes_per_second=1000), "/cdn/*")
    mirror = start_mirror(*upstream(fake))
    mirror.ask("/api/datasets/a/b")
    thread = threading.Thread(target=_ask_in_vain, args=(mirror,))
    thread.start()
    while not fake.count("/cdn/*"):
        pass
    assert mirror.stop() == 0
    thread.join()


def _ask_in_vain(mirror) -> None:
    with pytest.raises((http.client.HTTPException, OSError)):
        mirror.ask(PATH)


def test_a_line_a_request(fake, tmp_path, start_mirror, upstream) -> None:
    mirror = start_mirror(*upstream(fake), "--log")
    mirror.ask("/datasets/a/b/resolve/main/x.json")
    mirror.stop()
    said = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert "200 GET /datasets/a/b/resolve/main/x.json 2 bytes" in said
    assert f"export HF_ENDPOINT={mirror.endpoint}" in said
    assert "0 files from the store, 1 read through" in said


def test_others_are_told_the_machine_s_name(fake, tmp_path, start_mirror, upstream) -> None:
    mirror = start_mirror(*upstream(fake), "--host", "0.0.0.0", "--allow", "127.0.0.1")
    mirror.process.terminate()
    mirror.process.wait(30)
    said = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    port = urlsplit(mirror.endpoint).port
    assert f"export HF_ENDPOINT=http://{socket.gethostname()}:{port}\n" in said


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({"Host": "hub.corp"}, "http://hub.corp"),
        ({"Host": "hub.corp", "X-Forwarded-Proto": "https"}, "https://hub.corp"),
        ({"X-Forwarded-Host": "hub.corp, inner", "X-Forwarded-Proto": "https, http"}, "https://hub.corp"),
        ({"Host": "corp", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/hub/"}, "https://corp/hub"),
        ({"Host": "hub.corp", "X-Forwarded-Proto": "gopher", "X-Forwarded-Prefix": "hub"}, "http://hub.corp"),
    ],
)
def test_behind_a_reverse_proxy(fake, start_mirror, upstream, headers, origin) -> None:
    """What leads to the next page leads there by the address that the client knows."""
    mirror = start_mirror(*upstream(fake))
    page = "/api/datasets/a/b/tree/main?recursive=true&limit=1"
    with closing(http.client.HTTPConnection(urlsplit(mirror.endpoint).netloc)) as connection:
        connection.request("GET", page, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.getheader("Link", "").startswith(f"<{origin}/api/datasets/a/b/tree/main?")


def test_its_own_token_and_tls(fake, tmp_path, start_mirror, upstream) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    if subprocess.run(made, capture_output=True, check=False).returncode:
        pytest.skip("openssl is not installed")
    tls = ("--tls-cert", str(certificate), "--tls-key", str(key))
    mirror = start_mirror(*upstream(fake), *tls, "--token", "mine", "--host", "127.0.0.1")
    assert mirror.endpoint.startswith("https://")
    trusted = ssl.create_default_context(cafile=str(certificate))
    for headers, status in (({}, 401), ({"Authorization": "Bearer no"}, 401), ({"Authorization": "Bearer mine"}, 200)):
        with closing(http.client.HTTPSConnection(urlsplit(mirror.endpoint).netloc, context=trusted)) as connection:
            connection.request("GET", PATH, headers=headers)
            answer = connection.getresponse()
            assert answer.status == status
            assert (answer.read() == BIG) is (status == 200)
    assert not any("mine" in each.headers.get("authorization", "") for each in fake.log)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "0.0.0.0"], "anybody could ask"),
        (["--host", "0.0.0.0", "--token", "x"], "in the clear"),
        (["--token", ""], "--token is empty"),
        (["--tls-cert", "/etc/hostname"], "go together"),
        (["--allow", "here"], "--allow"),
        (["--host", "192.0.2.77", "--allow", "10.0.0.0/8"], "cannot listen"),
        (["--upstream", "hub"], "not an address"),
        (["--ready-file", "/nonexistent/x"], "cannot write /nonexistent/x: No such file"),
    ],
)
def test_wrong_options_are_told_in_a_line(arguments, says, tmp_path) -> None:
    command = [sys.executable, "-m", "forebay.cli", "mirror", "--port", "0", *arguments]
    environ = {
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        "FOREBAY_HOME": str(tmp_path / "s"),
        "PATH": "/bin",
    }
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert says in done.stderr


def test_a_port_that_is_taken(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "forebay.cli", "mirror", "--port", str(taken.getsockname()[1])]
        environ = {"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "FOREBAY_HOME": str(tmp_path / "s")}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "cannot listen" in done.stderr


def test_a_mirror_of_a_mirror(fake, tmp_path, start_mirror, upstream) -> None:
    first = start_mirror(*upstream(fake))
    second = start_mirror(
        "--upstream", first.endpoint, "--ms-upstream", first.endpoint, FOREBAY_HOME=str(tmp_path / "second")
    )
    assert second.ask(PATH).body == BIG
    assert json.loads(second.ask("/api/datasets/a/b").body)["sha"]
