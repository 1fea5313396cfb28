"""Why nobody answered, in a few words: from what `urllib3` and `ssl` raise."""

from __future__ import annotations

import re
import ssl

from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    IncompleteRead,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
)

from forebay.errors import OriginError
from forebay.hub.proxies import Proxy

_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "HTTPS_PROXY_REQUEST"})

_OUT_OF_TIME = frozenset({9, 10})
_WRONG_NAME = frozenset({62, 64})
"""X509_V_ERR_… of OpenSSL, x509_vfy.h: not yet valid, expired; another host's, another address's."""


def reason(error: Exception) -> str:
    """Return what went wrong, without the repr of a pool that urllib3 puts before it."""
    if isinstance(error, ProxyError):
        return reason(error.original_error)
    if isinstance(error, NameResolutionError):
        return "its name is not known"
    if isinstance(error, NewConnectionError):  # a ConnectTimeoutError, too
        return _unnumbered(str(error).rpartition(": ")[2])
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return "no answer in time"
    cause = error.args[-1] if isinstance(error, ProtocolError) and error.args else error
    if isinstance(cause, IncompleteRead):
        return f"{cause.expected} bytes are missing"
    return _unnumbered(str(cause).rpartition(": ")[2]) or type(cause).__name__


def refused_by_tls(error: HTTPError, host: str, proxy: Proxy | None) -> OriginError | None:
    """Return the error of a host whose certificate is not taken, or that speaks no TLS; None: it is not that.

    To ask again is of no use, so this is no `Busy`.
    """
    cause: object = error
    if isinstance(error, ProxyError):  # that came before the host's turn
        cause, host = error.original_error, f"the proxy {proxy}"
    while isinstance(cause, HTTPError) and cause.args:
        cause = cause.args[-1]
    if isinstance(cause, ssl.SSLCertVerificationError):
        what = f"the certificate of {host} is not trusted: {cause.verify_message.rstrip('.')}"
        hint = "set SSL_CERT_FILE (or REQUESTS_CA_BUNDLE) to a file with the certificates that your network uses"
        if cause.verify_code in _OUT_OF_TIME:
            hint = "check this machine's clock, or tell whoever runs it"
        elif cause.verify_code in _WRONG_NAME:
            hint = "use the name that it was issued for"
        return OriginError(what, subject=host, hint=hint)
    if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        return OriginError(f"{host} does not speak TLS", subject=host, hint="write http://, or check the port")
    return None


def _unnumbered(text: str) -> str:
    return re.sub(r"^\[Errno \d+\] ", "", text)
