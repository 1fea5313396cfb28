"""Signatures: ed25519 over a MANIFEST's bytes, which name every other byte of a bundle.

MANIFEST.sig is text of a fixed size::

    forebay bundle signature 1
    ed25519:<64 hex digits of the public key>
    <128 hex digits of the signature>

and what is signed is ``forebay-bundle-v1\\n`` followed by the MANIFEST's bytes. A private key is kept as PKCS#8 in PEM,
which `openssl pkey` reads too; a public one is the line ``ed25519:…``, which is also what the configuration lists as
`trusted_keys`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.bundle.archive import SIGNATURE_BYTES
from forebay.errors import BundleError, InputError
from forebay.types import is_hex64

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCHEME = "ed25519:"
_CONTEXT = b"forebay-bundle-v1\n"
_TITLE = "forebay bundle signature 1"


class Signer:
    """A private key.

    Args:
        path: of its PEM file.

    Raises:
        InputError: it cannot be read, or is no such key.
    """

    def __init__(self, path: Path) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        hint = "`forebay bundle keygen` makes one"
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except OSError as error:
            raise InputError(f"cannot read the key {path}: {error.strerror}", subject=path, hint=hint) from error
        except (ValueError, TypeError) as error:  # no PEM, or one with a passphrase
            raise InputError(f"no private key without passphrase in {path}", subject=path, hint=hint) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise InputError(f"the key in {path} is not of ed25519", subject=path, hint=hint)
        self._key = key

    @property
    def public(self) -> str:
        """The public key in hex."""
        return _public_hex(self._key)

    def sign(self, manifest: bytes) -> bytes:
        """Return the content of MANIFEST.sig."""
        signature = self._key.sign(_CONTEXT + manifest).hex()
        return _write(self.public, signature)


def make_key(path: Path) -> str:
    """Make a private key in `path`, readable by this user only, and its public key in `path`.pub; return the latter.

    Raises:
        InputError: a file is there already, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    public = SCHEME + _public_hex(key)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # ~/.config/forebay is there for few
    except OSError as error:
        raise _unwritten(path, error) from error
    for where, mode, content in (
        (path, 0o600, pem),
        (path.with_name(path.name + ".pub"), 0o644, f"{public}\n".encode()),
    ):
        try:
            descriptor = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        except FileExistsError as error:
            raise InputError(f"{where} is there already", subject=where, hint="choose another name") from error
        except OSError as error:
            raise _unwritten(where, error) from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        except OSError as error:
            where.unlink(missing_ok=True)  # half a key is none, and would be in the way
            raise _unwritten(where, error) from error
    return public


def _unwritten(where: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {where}: {error.strerror}", subject=where, hint="choose another place")


def public_key(path: Path) -> str:
    """Return the public key (``ed25519:…``) that belongs to a private one."""
    return SCHEME + Signer(path).public


def check(manifest: bytes, signature: bytes, signer: str) -> None:
    """Check the content of MANIFEST.sig.

    Args:
        manifest: bytes of the MANIFEST.
        signature: the content.
        signer: hex of the public key that the MANIFEST names.

    Raises:
        BundleError: it is damaged, or another's, or of another MANIFEST.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    lines = signature.decode("ascii", "replace").split("\n")
    scheme, digits = lines[1][: len(SCHEME)] if len(lines) > 1 else "", lines[2] if len(lines) > 2 else ""
    if len(digits) != 128 or not (is_hex64(digits[:64]) and is_hex64(digits[64:])) or scheme != SCHEME:
        raise BundleError("its MANIFEST.sig is damaged")
    if signature != _write(signer, digits):
        raise BundleError("its MANIFEST.sig is damaged, or made with another key than its MANIFEST says")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer)).verify(bytes.fromhex(digits), _CONTEXT + manifest)
    except (InvalidSignature, ValueError) as error:
        raise BundleError("its signature does not fit its MANIFEST", hint="do not use it") from error


def check_trust(signer: str | None, trusted: tuple[str, ...]) -> None:
    """Refuse a bundle that nobody trusted has signed, if anybody is trusted at all.

    Raises:
        BundleError: refused.
    """
    if not trusted or (signer is not None and SCHEME + signer in trusted):
        return
    hint = "add the key to trusted_keys if you trust it, or install with --untrusted"
    if signer is None:
        raise BundleError("it is not signed, and only bundles of trusted_keys are installed here", hint=hint)
    raise BundleError(f"it is signed by {SCHEME}{signer}, which is not one of trusted_keys", hint=hint)


def _public_hex(key: Ed25519PrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def _write(public: str, signature: str) -> bytes:
    text = f"{_TITLE}\n{SCHEME}{public}\n{signature}\n"
    return text.encode("ascii").ljust(SIGNATURE_BYTES - 1) + b"\n"
