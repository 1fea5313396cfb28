"""When the hub is asked, and whose bytes are whose: freshness, absence, offline, access."""

from __future__ import annotations

import pytest

from forebay.hub import Reference
from forebay.mirror.exchange import Request
from forebay.mirror.trouble import Trouble
from forebay.testing import FakeHub, HubFault, Repository

BIG = bytes(range(256)) * 8192
REFERENCE = Reference("hf", "dataset", "a/b")


def request(path: str, token: str | None = None, method: str = "GET") -> Request:
    raw, _, query = path.partition("?")
    return Request(method, raw, query, {"authorization": f"Bearer {token}"} if token else {})


def taken(answer) -> bytes:
    return answer.body if answer.content is None else b"".join(bytes(piece) for piece in answer.content.pieces())


def test_within_freshness_nobody_is_asked(bench) -> None:
    repository = Repository("a/b", files={"x": "old", "y": "same"})
    with FakeHub([repository]) as fake:
        made = bench(fake)
        assert taken(made.hf.answer(request("/datasets/a/b/resolve/main/x"))) == b"old"
        asked = fake.count()
        repository.commit({"x": "new"})
        for path in ("resolve/main/x", "resolve/main/missing"):
            made.hf.answer(request(f"/datasets/a/b/{path}"))
        assert taken(made.hf.answer(request("/datasets/a/b/resolve/main/x"))) == b"old"
        assert fake.count() == asked


def test_a_commit_is_never_asked_for_again(bench) -> None:
    repository = Repository("a/b", files={"x": "old"})
    with FakeHub([repository]) as fake:
        made = bench(fake, fresh=0.0)
        path = f"/datasets/a/b/resolve/{repository.head}/x"
        made.hf.answer(request(path))
        asked = fake.count()
        made.clock.now += 1e9
        assert taken(made.hf.answer(request(path))) == b"old"
        assert made.hf.answer(request(f"/datasets/a/b/resolve/{repository.head}/missing")).status == 404
        assert fake.count() == asked


def test_without_freshness_each_request_sees_what_is_new(bench) -> None:
    repository = Repository("a/b", files={"x": "old"})
    with FakeHub([repository]) as fake:
        made = bench(fake, fresh=0.0)
        assert taken(made.hf.answer(request("/datasets/a/b/resolve/main/x"))) == b"old"
        repository.commit({"x": "new"})
        assert taken(made.hf.answer(request("/datasets/a/b/resolve/main/x"))) == b"new"


@pytest.mark.parametrize("trouble", [HubFault(status=503), HubFault(status=429), HubFault(reset=True)])
def test_a_hub_in_trouble_is_stood_in_for(trouble, bench) -> None:
    repository = Repository("a/b", files={"x": "old"})
    with FakeHub([repository]) as fake:
        made = bench(fake, fresh=0.0)
        assert taken(made.hf.answer(request("/datasets/a/b/resolve/main/x"))) == b"old"
        fake.faults.add(trouble)
        repository.commit({"x": "new"})
        assert taken(made.hf.answer(request("/datasets/a/b/resolve/main/x"))) == b"old"
        unknown = made.hf.answer(request("/api/datasets/other/one"))
        assert unknown.status == 504
        assert "Retry-After" not in unknown.headers  # clients would wait as long five times over
        assert made.told[-1].endswith("; try again later")
        told, asked = len(made.told), fake.count()
        assert made.hf.answer(request("/api/datasets/other/one")).status == 504
        assert fake.count() == asked + 2  # not three times: whoever asks again has been told that nobody answers
        assert len(made.told) == told
        fake.faults.clear()
        assert made.hf.answer(request("/api/datasets/other/one")).status == 401  # that was no answer to remember
        fake.faults.add(trouble)
        assert made.hf.answer(request("/api/datasets/another/one")).status == 504
        assert len(made.told) == told + 1


def test_what_is_not_there_is_remembered_for_a_while(bench) -> None:
    with FakeHub([Repository("a/b", files={"x": "1"})]) as fake:
        made = bench(fake)
        assert made.hf.answer(request("/api/datasets/a/later")).status == 401
        asked = fake.count()
        fake.shelf.add(Repository("a/later", files={"x": "2"}))
        assert made.hf.answer(request("/api/datasets/a/later")).status == 401
        assert fake.count() == asked
        made.clock.now += 61
        assert made.hf.answer(request("/api/datasets/a/later")).status == 200


def test_offline_nobody_is_asked(bench) -> None:
    with FakeHub([Repository("a/b", files={"x": "1", "y": "2"})]) as fake:
        made = bench(fake)
        made.hf.answer(request("/datasets/a/b/resolve/main/x"))
        asked = fake.count()
        offline = bench(fake, offline=True).hf
        assert taken(offline.answer(request("/datasets/a/b/resolve/main/x"))) == b"1"
        missing = offline.answer(request("/datasets/a/b/resolve/main/y"))
        assert (missing.status, missing.headers["X-Error-Code"]) == (404, "EntryNotFound")
        assert "offline" in missing.headers["X-Error-Message"]
        assert offline.answer(request("/datasets/a/b/resolve/main/y", method="HEAD")).status == 200
        assert offline.answer(request("/api/datasets/a/unknown")).status == 404
        assert fake.count() == asked


# Whose bytes


@pytest.fixture
def guarded() -> Repository:
    return Repository("a/b", files={"x": "secret", "big.bin": BIG}, gated="manual", readers={"ann"})


USERS = {"token-ann": "ann", "token-eve": "eve"}


def test_gated_bytes_go_to_those_who_may_have_them(guarded, bench) -> None:
    with FakeHub([guarded], users=USERS) as fake:
        hf = bench(fake).hf
        path = "/datasets/a/b/resolve/main/big.bin"
        assert taken(hf.answer(request(path, "token-ann"))) == BIG
        for method in ("GET", "HEAD"):
            assert hf.answer(request(path, "token-ann", method)).status == 200
            for token, status in ((None, 401), ("token-eve", 403), ("token-nobody", 403)):
                answer = hf.answer(request(path, token, method))
                assert (answer.status, answer.content) == (status, None)
                assert answer.headers["X-Error-Code"] == "GatedRepo"
        assert hf.answer(request("/api/datasets/a/b/tree/main")).status == 200  # its list is for all


def test_private_repositories_do_not_exist_for_others(bench) -> None:
    private = Repository("a/b", files={"x": "secret"}, private=True, readers={"ann"})
    with FakeHub([private], users=USERS) as fake:
        hf = bench(fake).hf
        assert taken(hf.answer(request("/datasets/a/b/resolve/main/x", "token-ann"))) == b"secret"
        for path in ("/datasets/a/b/resolve/main/x", "/api/datasets/a/b", "/api/datasets/a/b/tree/main"):
            assert hf.answer(request(path, "token-ann")).status == 200
            for token, status in ((None, 401), ("token-eve", 404)):
                answer = hf.answer(request(path, token))
                assert (answer.status, answer.headers["X-Error-Code"]) == (status, "RepoNotFound")
                assert b"secret" not in answer.body


def test_a_stranger_hides_a_private_repository_from_nobody(bench) -> None:
    private = Repository("a/b", files={"x": "secret"}, private=True, readers={"ann"})
    with FakeHub([private], users=USERS) as fake:
        made = bench(fake)
        for hub, path in ((made.hf, "/datasets/a/b/resolve/main/x"), (made.ms, "/api/v1/datasets/a/b/repo?FilePath=x")):
            assert hub.answer(request(path)).status in (401, 403, 404)
            assert taken(hub.answer(request(path, "token-ann"))) == b"secret"
            assert hub.answer(request(path)).status in (401, 403, 404)


def test_whose_token_it_is_is_not_asked_each_time(guarded, bench) -> None:
    with FakeHub([guarded], users=USERS) as fake:
        made = bench(fake)
        made.hf.answer(request("/datasets/a/b/resolve/main/x", "token-ann"))
        asked = fake.count()
        made.hf.answer(request("/datasets/a/b/resolve/main/x", "token-ann"))
        assert fake.count() == asked
        made.clock.now += 301
        guarded.readers.clear()
        assert made.hf.answer(request("/datasets/a/b/resolve/main/x", "token-ann")).status == 403


def test_when_nobody_can_say_whose_token_it_is(guarded, bench) -> None:
    with FakeHub([guarded], users=USERS) as fake:
        made = bench(fake)
        made.hf.answer(request("/datasets/a/b/resolve/main/x", "token-ann"))
        fake.die()
        assert made.hf.answer(request("/datasets/a/b/resolve/main/x", "token-ann")).status == 200
        assert made.hf.answer(request("/datasets/a/b/resolve/main/x", "token-eve")).status == 503
        offline = bench(fake, offline=True).hf.answer(request("/datasets/a/b/resolve/main/x", "token-ann"))
        assert offline.status == 403
        assert "--serve-restricted" in offline.headers["X-Error-Message"]
        served = bench(fake, offline=True, serve_restricted=True).hf
        assert taken(served.answer(request("/datasets/a/b/resolve/main/x"))) == b"secret"


def test_tokens_stay_with_their_request(guarded, bench) -> None:
    """Neither in the store, nor in what is sent for somebody else."""
    with FakeHub([guarded, Repository("c/d", files={"y": "open"})], users=USERS) as fake:
        made = bench(fake)
        made.hf.answer(request("/datasets/a/b/resolve/main/x", "token-ann"))
        fake.forget()
        made.hf.answer(request("/datasets/c/d/resolve/main/y"))
        assert fake.log
        assert not any("authorization" in each.headers for each in fake.log)
        home = made.hub.store.home
        held = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
        assert not any(b"token-ann" in data for data in held)


def test_a_public_repository_that_becomes_gated(bench) -> None:
    repository = Repository("a/b", files={"x": "soon secret"})
    with FakeHub([repository], users=USERS) as fake:
        made = bench(fake)
        assert made.hf.answer(request("/datasets/a/b/resolve/main/x")).status == 200
        repository.gated, repository.readers = "manual", {"ann"}
        fresh = bench(fake, fresh=0.0)
        assert fresh.hf.answer(request("/datasets/a/b/resolve/main/x")).status == 401
        assert taken(fresh.hf.answer(request("/datasets/a/b/resolve/main/x", "token-ann"))) == b"soon secret"


def test_trouble_is_what_is_raised(bench) -> None:
    with FakeHub([]) as fake:
        library, raises = bench(fake).library, pytest.raises(Trouble)
        with raises as caught:
            library.picture(REFERENCE, None)
        assert (caught.value.status, caught.value.code) == (401, "RepoNotFound")


# Who claims another repository's bytes


@pytest.fixture
def claimed() -> list[Repository]:
    """A gated repository, and two that list its files by their hashes: a public one, and another gated one."""
    files = {"x": "secret", "big.bin": BIG}
    others = [Repository("evil/public", files=files), Repository("evil/own", files=files, gated="manual")]
    others[1].readers = {"eve"}
    return [Repository("a/b", files=files, gated="manual", readers={"ann"}), *others]


@pytest.mark.parametrize("path", ["x", "big.bin"])
@pytest.mark.parametrize(("who", "token"), [("evil/public", None), ("evil/own", "token-eve")])
def test_to_list_a_hash_is_not_to_have_the_bytes(who, token, path, claimed, bench) -> None:
    with FakeHub(claimed, users=USERS) as fake:
        made = bench(fake)
        assert taken(made.hf.answer(request(f"/datasets/a/b/resolve/main/{path}", "token-ann")))
        fake.faults.add(HubFault(status=404), f"/datasets/{who}/resolve/*/{path}", methods=["GET"])
        asked = request(f"/datasets/{who}/resolve/main/{path}", token)
        assert made.hf.answer(asked).status >= 400
        offline = bench(fake, offline=True)
        offline.library._admission.serve_restricted = who == "evil/own"  # it passes the gate, and still has no bytes
        assert offline.hf.answer(asked).status == 404


def test_who_sends_the_bytes_has_them(claimed, bench) -> None:
    with FakeHub(claimed, users=USERS) as fake:
        made = bench(fake)
        secret, public = request("/datasets/a/b/resolve/main/x", "token-ann"), "/datasets/evil/public/resolve/main/x"
        made.hf.answer(secret)
        fake.forget()
        assert taken(made.hf.answer(request(public))) == b"secret"
        assert fake.count(pattern="/datasets/evil/public/resolve/*") == 1
        fake.die()
        assert taken(made.hf.answer(request(public))) == b"secret"
        assert taken(made.hf.answer(secret)) == b"secret"
        offline = bench(fake, offline=True)
        assert taken(offline.hf.answer(request(public))) == b"secret"


def test_wrong_bytes_prove_nothing(claimed, bench) -> None:
    with FakeHub(claimed, users=USERS) as fake:
        made = bench(fake)
        made.hf.answer(request("/datasets/a/b/resolve/main/x", "token-ann"))
        fake.faults.add(HubFault(replace_with=b"guess!"), "*evil/public/*")
        assert made.hf.answer(request("/datasets/evil/public/resolve/main/x")).status >= 500


def test_a_download_under_way_is_not_followed_by_strangers(claimed, bench) -> None:
    with FakeHub(claimed, users=USERS) as fake:
        made = bench(fake)
        fake.faults.add(HubFault(bytes_per_second=2e6), "*")
        fake.faults.add(HubFault(status=404), "/datasets/evil/public/resolve/*", methods=["GET"])
        coming = made.hf.answer(request("/datasets/a/b/resolve/main/big.bin", "token-ann"))
        assert made.hf.answer(request("/datasets/evil/public/resolve/main/big.bin")).status >= 400
        assert taken(coming) == BIG
