"""How the server listens, as the settings say: its ports, its certificate, its limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from marketd.config import Settings
from marketd.transport.edge.admission import Bounds
from marketd.transport.edge.tls import ServerCertificate, TlsFiles
from marketd.transport.rules import RateClass
from marketd.transport.server import ServerOptions


def server_options(settings: Settings, *, reuse_port: bool, gateway_socket: Path | None = None) -> ServerOptions:
    """The options of a server. Raises CertificateUnusable when there is to be TLS and its files are not right."""
    options = ServerOptions(
        host=settings.host,
        port=settings.port,
        reuse_port=reuse_port,
        gateway_socket=gateway_socket,
        gateway_hops=1 + settings.gateway_trusted_hops,
        reflection=settings.show_reflection,
        channelz=settings.show_channelz,
        trusted_proxy_hops=settings.trusted_proxy_hops,
        rate_limits={RateClass(name): limit for name, limit in settings.limits().items()},
        bounds=Bounds.of(
            unary_of_address=settings.max_calls_of_address,
            streams_of_address=settings.max_streams_of_address,
            streams_of_account=settings.max_streams_of_account,
        ),
        max_connections=settings.max_connections,
        answer_ttl_seconds=settings.answer_cache_seconds,
    )
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return options
    certificate = ServerCertificate(
        TlsFiles(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)
    )
    asked_here = settings.tls_client_ca_file is not None and settings.internal_port is None
    asked_inside = settings.internal_port is not None
    return replace(
        options,
        credentials=certificate.credentials(ask_clients=asked_here),
        internal_port=settings.internal_port,
        internal_compression=settings.internal_compression,
        internal_credentials=certificate.credentials(ask_clients=True) if asked_inside else None,
        services=settings.tls_services,
    )
