"""TLS: the server's certificate from files that may change while it runs, and whom a client's certificate names.

The core asks for the certificate at each handshake. Open connections keep the keys they were made with, so a renewed
certificate drops no call; those connections end by their age.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid5

import grpc
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.values.clock import Clock, SystemClock
from marketd.transport.start_errors import CertificateUnusable

_log = structlog.get_logger(__name__)

# Makes a service's name the id that it is known by in audit, limits and request ids; it must never change.
_SERVICE_NAMES = UUID("6f0f3c1e-8a54-5d0e-9a3b-2a1f7e1c77d1")

_Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]
"""Which state of the files was looked at, by inode, size and time; None for a file that is not there."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the server's chain (its own certificate first), its key, and whose clients' certificates count."""

    cert: Path
    key: Path
    client_ca: Path | None = None


class _NotBegun(CertificateUnusable):
    """The certificate is right and too early; it is worth another look at `begin`, though its files stay the same."""

    def __init__(self, path: Path, begin: datetime) -> None:
        super().__init__(f"{path} is good only from {begin:%Y-%m-%d %H:%M} UTC on")
        self.begin = begin


class ServerCertificate:
    """The certificate of a server as its files have it now.

    Files that change are read at the next handshake. What does not fit together (one of two files is new, a file is
    missing or half there, the certificate is over or not good yet) is logged once and left alone: the former
    certificate goes on. One that was too early is taken up when its time comes.
    """

    def __init__(self, files: TlsFiles, clock: Clock | None = None) -> None:
        """Raises CertificateUnusable."""
        self._files = files
        self._clock = clock or SystemClock()
        self._stamp = self._look()
        self._refused_stamp: _Stamp | None = None
        self._refused_until: datetime | None = None
        self._pem = self._read()
        self.version = 1

    def credentials(self, *, ask_clients: bool) -> grpc.ServerCredentials:
        """Credentials for one port; with `ask_clients` nobody gets in without a certificate of the client CA's."""
        given = self.version

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            self.refresh()
            if given == self.version:
                return None
            given = self.version
            return self._configuration(ask_clients=ask_clients)

        first = self._configuration(ask_clients=ask_clients)
        return grpc.dynamic_ssl_server_credentials(
            first,
            renewed,  # type: ignore[arg-type]  # None, which the types forget, says that nothing has changed
            require_client_authentication=ask_clients,
        )

    def refresh(self) -> None:
        """Read the files again if they changed. Called in a thread of the core's, where nothing may be raised."""
        stamp = self._look()
        if stamp == self._stamp or self._is_refused(stamp):
            return
        refused: CertificateUnusable | None = None
        pem = self._pem
        try:
            pem = self._read()
        except CertificateUnusable as error:
            refused = error
        if self._look() != stamp:
            # Written while we read: what we have may be half of each pair, and says nothing about the whole one.
            return
        if refused is not None:
            self._refused_stamp = stamp
            self._refused_until = refused.begin if isinstance(refused, _NotBegun) else None
            _log.error("certificate_not_renewed", why=str(refused))
            return
        self._pem, self._stamp, self._refused_stamp = pem, stamp, None
        self.version += 1
        _log.info("certificate_renewed")

    def _is_refused(self, stamp: _Stamp) -> bool:
        """Whether the files are those that were refused, and nothing but their change can mend that."""
        if stamp != self._refused_stamp:
            return False
        return self._refused_until is None or self._clock.now() < self._refused_until

    def _configuration(self, *, ask_clients: bool) -> grpc.ServerCertificateConfiguration:
        chain, key, client_ca = self._pem
        return grpc.ssl_server_certificate_configuration(
            [(key, chain)], root_certificates=client_ca if ask_clients else None
        )

    def _paths(self) -> list[Path]:
        files = self._files
        return [files.cert, files.key, *([files.client_ca] if files.client_ca is not None else [])]

    def _look(self) -> _Stamp:
        return tuple(_stamp_of(path) for path in self._paths())

    def _read(self) -> tuple[bytes, bytes, bytes | None]:
        try:
            texts = [path.read_bytes() for path in self._paths()]
        except OSError as error:
            raise CertificateUnusable(f"{error.filename} cannot be read ({error.strerror})") from error
        chain, key = texts[:2]
        client_ca = texts[2] if len(texts) > 2 else None
        _check(self._files, chain, key, client_ca, self._clock.now())
        return chain, key, client_ca


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path method would say the same slower
    except OSError:
        # Reading it says why, in words; here it is a state like any other, so that it is logged once.
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _check(files: TlsFiles, chain: bytes, key: bytes, client_ca: bytes | None, now: datetime) -> None:
    """The core says no more than that it will not; these say what is wrong."""
    try:
        certificate = load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise CertificateUnusable(f"{files.cert} holds no PEM certificate") from None
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateUnusable(f"{files.key} holds no PEM key, or one with a passphrase") from None
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*spki) != private.public_key().public_bytes(*spki):
        raise CertificateUnusable(f"{files.key} is not the key of {files.cert}")
    if certificate.not_valid_after_utc <= now:
        raise CertificateUnusable(f"{files.cert} ended on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if client_ca is not None:
        try:
            load_pem_x509_certificates(client_ca)
        except ValueError:
            raise CertificateUnusable(f"{files.client_ca} holds no PEM certificate") from None
    # Last: what is too early is read again in its time, and must then be right in everything else.
    if certificate.not_valid_before_utc > now:
        raise _NotBegun(files.cert, certificate.not_valid_before_utc)


@dataclass(frozen=True, slots=True)
class PeerService:
    """An internal service as its certificate names it; one that is a service account can be revoked as such."""

    service_id: UUID
    is_account: bool

    def caller(self, address: str) -> Caller:
        """Whom a service without an account calls as."""
        return Caller(self.service_id, None, frozenset({Role.SERVICE}), address)


class PeerServices:
    """Which internal service a verified client certificate names."""

    def __init__(self, services: Mapping[str, str]) -> None:
        """services: by a name in the certificate (a DNS or URI subject alternative name, or the common name of one
        without any), the service's name; the id of a service account makes calls by certificate that account's.
        """
        self._services = {name: _service(service) for name, service in services.items()}

    def find(self, context: Any) -> PeerService | None:
        """The service at the other end of a call's connection; None for everybody else."""
        found = context.auth_context()
        # RFC 6125: the common name counts only where there are no alternative names.
        names: Sequence[bytes] = found.get("x509_subject_alternative_name") or found.get("x509_common_name") or ()
        for name in names:
            service = self._services.get(name.decode(errors="replace"))
            if service is not None:
                return service
        return None


def _service(service: str) -> PeerService:
    try:
        return PeerService(UUID(service), is_account=True)
    except ValueError:
        return PeerService(uuid5(_SERVICE_NAMES, service), is_account=False)
