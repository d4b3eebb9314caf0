"""Certificates made on the spot: an authority, and what it signs, good and bad."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

SERVER_NAMES = ("localhost", "127.0.0.1")
AN_HOUR = timedelta(hours=1)
"""Minus this is the lifetime of what ended an hour ago."""


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, as PEM."""

    chain: bytes
    key: bytes

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The files `server.pem` and `server.key`, each replaced whole."""
        paths = (folder / "server.pem", folder / "server.key")
        for path, content in zip(paths, (self.chain, self.key), strict=True):
            partial = path.with_suffix(".part")
            partial.write_bytes(content)
            partial.replace(path)
        return paths


class Authority:
    """Signs certificates; its own is `pem`."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._certificate = self._build(self._name, self._key.public_key(), (), timedelta(days=2), is_ca=True)
        self.pem = self._certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        common_name: str = "",
        names: Sequence[str] = (),
        *,
        lifetime: timedelta = timedelta(days=1),
        begin: timedelta = timedelta(days=-3),
    ) -> Issued:
        """A certificate for DNS names, addresses and URIs.

        lifetime, begin: from now on; below zero the one is over, above zero the other has not begun.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(common_name or "nobody")
        certificate = self._build(subject, key.public_key(), names, lifetime, begin=begin, is_ca=False)
        return Issued(
            certificate.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    def server(self, common_name: str = "server") -> Issued:
        """A certificate for a server on this machine."""
        return self.issue(common_name, SERVER_NAMES)

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        names: Sequence[str],
        lifetime: timedelta,
        *,
        is_ca: bool,
        begin: timedelta = timedelta(days=-3),
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begin)
            .not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            # Python 3.13 takes no authority that does not say it may sign.
            .add_extension(_usage(is_ca), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        return builder.sign(self._key, hashes.SHA256())


def _usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
