"""Certificates and keys that a mirror cannot use."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
PHRASE = ["-aes256", "-passout", "pass:phrase"]


def openssl(*arguments: object) -> None:
    if subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False).returncode:
        pytest.skip("openssl is not installed")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    files = ["-keyout", tmp_path / "own.pem", "-out", tmp_path / "cert.pem"]
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", *files)
    return tmp_path / "cert.pem"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["genpkey", "-algorithm", "RSA", *PHRASE[:1], "-pass", PHRASE[2]], "is under a pass phrase; write it without"),
        (["genpkey", "-algorithm", "RSA"], "give a certificate and its own key"),
    ],
)
def test_a_key_that_is_of_no_use_is_told_in_a_line(arguments: list[str], says: str, certificate: Path) -> None:
    """With a terminal, where it could be asked for a pass phrase that nobody is there to type."""
    home, key = certificate.parent, certificate.with_name("key.pem")
    openssl(*arguments, "-out", key)
    command = [
        sys.executable,
        "-m",
        "forebay.cli",
        "mirror",
        "--port",
        "0",
        "--tls-cert",
        certificate,
        "--tls-key",
        key,
    ]
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SOURCE),
        "FOREBAY_HOME": str(home / "s"),
        "HOME": str(home),
    }
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            command, env=environ, stdin=theirs, capture_output=True, text=True, timeout=60, start_new_session=True
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert says in done.stderr
