"""The client's side of TLS. What is refused here would be refused again, so that nobody waits for it."""

from __future__ import annotations

import re
import socket
import ssl
from typing import Final

from .errors import BadOption, ConnectionLost, Error, ProtocolError, Unauthorized

_CERTIFICATE: Final = re.compile(r"alert (certificate|bad certificate|unknown ca)")
_VERSION: Final = re.compile(r"wrong version number|alert protocol version|unsupported protocol")


def context_of(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """What is trusted (the authorities of `ca`, else those of the system) and what is shown. Reads the files."""
    if cert is None and key is not None:
        raise BadOption("BAD_OPTION", "key is given without cert")
    # This kind of context checks the server's certificate and its name.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        if ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=ca)
        if cert is not None:
            # Without a password Python would ask for it on the terminal.
            context.load_cert_chain(cert, key, password="")
    except OSError as error:
        raise BadOption("BAD_OPTION", f"ca, cert or key ({', '.join(name for name in (ca, cert, key) if name)}) is of no use: {error}") from None
    return context


def secure(plain: socket.socket, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
    """The socket after the handshake; `name` is what the certificate must be for."""
    return context.wrap_socket(plain, server_hostname=name)


def failure_of(url: str, error: OSError) -> Error:
    """What a failed read, write or handshake means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unauthorized("UNAUTHORIZED", f"{url}: its certificate is not trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").lower().replace("_", " ")
        if _CERTIFICATE.search(reason):
            return Unauthorized("UNAUTHORIZED", f"{url}: the server wants a certificate of its clients, or another than this one")
        if _VERSION.search(reason):
            return ProtocolError("PROTOCOL", f"{url}: no TLS 1.3 is spoken there")
    return ConnectionLost("CONNECTION_LOST", f"{url}: {error}")
