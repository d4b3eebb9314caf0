"""What a gateway's configuration is made of; the machine's paths, ports and bounds come in here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from marketd.config import Settings
from marketd.config.forms import split_port

DESCRIPTORS: Final = "marketplace.binpb"
OPENAPI: Final = "openapi.json"
DOCS: Final = "docs"
CERTIFICATE: Final = "gateway"
"""What the pair of a certificate and its key is called in its file."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where one server listens: a Unix socket of a worker beside the gateway, or a host and a port."""

    socket: Path | None = None
    host: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Admin:
    """Where Envoy's own interface listens; whoever reaches it can end the gateway, so it is never public."""

    socket: Path | None = None
    port: int = 9901


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway. Paths may be relative; Envoy then takes them from the folder in which it is started."""

    host: str
    port: int
    upstreams: tuple[Upstream, ...]
    descriptors: Path = Path(DESCRIPTORS)
    openapi: Path = Path(OPENAPI)
    docs: Path = Path(DOCS)
    admin: Admin = Admin()
    upstream_ca_file: Path | None = None
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    tls_secret: Path | None = None
    """A file that names both; through it Envoy takes up a pair that was replaced. None reads them at the start."""
    origins: tuple[str, ...] = ()
    trusted_hops: int = 0
    static: Path | None = None
    media: Path | None = None
    media_url: str | None = None
    access_log: bool = True
    max_connections: int = 10_000
    connections_of_address: int = 0
    body_bytes: int = 1024 * 1024
    upload_bytes: int = 6 * 1024 * 1024
    """For files in JSON: base64 makes four bytes of three."""
    idle_seconds: float = 60.0

    @property
    def beside_workers(self) -> bool:
        """Whether it reaches the workers of its own machine by their sockets, one an upstream."""
        return all(upstream.socket is not None for upstream in self.upstreams)


def gateway_of(settings: Settings, upstreams: tuple[Upstream, ...] = ()) -> Gateway:
    """The gateway that the settings describe; without `upstreams` it calls those of the settings."""
    host, port = settings.gateway_address
    return Gateway(
        host=host,
        port=port,
        upstreams=upstreams or upstreams_of(settings),
        upstream_ca_file=settings.gateway_upstream_ca_file,
        tls_cert_file=settings.gateway_tls_cert_file,
        tls_key_file=settings.gateway_tls_key_file,
        origins=settings.gateway_origins,
        trusted_hops=settings.gateway_trusted_hops,
        static=settings.gateway_static,
        media=settings.media_folder if settings.media_bucket_url is None else None,
        media_url=settings.media_bucket_public_url,
        access_log=settings.show_access_log,
        max_connections=settings.gateway_max_connections,
        connections_of_address=settings.gateway_connections_of_address,
        body_bytes=settings.gateway_body_bytes,
        idle_seconds=settings.gateway_idle_seconds,
    )


def upstreams_of(settings: Settings) -> tuple[Upstream, ...]:
    """The servers that the settings name, or the one at their host and port."""
    named = [split_port(text) for text in settings.gateway_upstreams] or [(settings.host, settings.port)]
    return tuple(Upstream(host=host, port=port) for host, port in named)
