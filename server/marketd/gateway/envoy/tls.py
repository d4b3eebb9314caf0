"""Encryption on both sides: the gateway's own certificate, and whom it believes to be a server."""

from __future__ import annotations

from typing import Any

from marketd.gateway.envoy.names import extension, typed
from marketd.gateway.gateway import CERTIFICATE, Gateway


def downstream_tls(gateway: Gateway) -> dict[str, Any]:
    """How clients are spoken to."""
    context: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
    }
    if gateway.tls_secret is None:
        context["tls_certificates"] = [_files(gateway)]
    else:
        source = {"path_config_source": {"path": str(gateway.tls_secret)}, "resource_api_version": "V3"}
        context["tls_certificate_sds_secret_configs"] = [{"name": CERTIFICATE, "sds_config": source}]
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context=context,
    )


def secret(gateway: Gateway) -> dict[str, Any]:
    """What stands in the file `tls_secret`: the pair, read again when a file in its folder is replaced by renaming."""
    folder = gateway.tls_cert_file.parent if gateway.tls_cert_file is not None else ""
    watched = {"watched_directory": {"path": str(folder)}}
    named = typed(
        "envoy.extensions.transport_sockets.tls.v3.Secret",
        name=CERTIFICATE,
        tls_certificate={**_files(gateway), **watched},
    )
    return {"resources": [named]}


def _files(gateway: Gateway) -> dict[str, Any]:
    return {
        "certificate_chain": {"filename": str(gateway.tls_cert_file)},
        "private_key": {"filename": str(gateway.tls_key_file)},
    }


def upstream_tls(gateway: Gateway) -> dict[str, Any]:
    """How servers elsewhere are spoken to: each must show a certificate of its own name, by a signer that is known."""
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        auto_host_sni=True,
        auto_sni_san_validation=True,
        common_tls_context={
            "alpn_protocols": ["h2"],
            "validation_context": {"trusted_ca": {"filename": str(gateway.upstream_ca_file)}},
        },
    )
