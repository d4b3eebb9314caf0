"""Where the gateway listens, and what every request passes on its way in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from marketd.gateway.envoy.access_log import access_log
from marketd.gateway.envoy.addresses import filter_chains
from marketd.gateway.envoy.bounds import connection_options, http2_options, listener_bounds, stream_times
from marketd.gateway.envoy.files import COMPRESSED_TYPES, filters
from marketd.gateway.envoy.metadata import no_keys, rest_metadata
from marketd.gateway.envoy.names import ABORT, CLUSTER, COMPRESSOR, CORS, GRPC_WEB, HEALTH, ROUTER, extension
from marketd.gateway.envoy.replies import HEALTH_PATH, local_replies
from marketd.gateway.envoy.rest import rest_script, whole_requests
from marketd.gateway.envoy.routes import routes
from marketd.gateway.envoy.tls import downstream_tls
from marketd.gateway.envoy.transcoding import transcoder
from marketd.gateway.gateway import Gateway
from marketd.transport.last_words import STREAM_ERRORS

_NAME: Final = "gateway"
_HTTP: Final = "envoy.filters.network.http_connection_manager"
# What clients claim of their address: x-forwarded-for alone counts, and in it what proxies wrote that are known.
_CLAIMS: Final = ("forwarded", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")


def listener(gateway: Gateway, services: Sequence[str]) -> dict[str, Any]:
    """The one public address: HTTP/1.1 and HTTP/2, over TLS or in the open."""
    chain: dict[str, Any] = {"filters": [_connection_manager(gateway, services)]}
    if gateway.tls_cert_file is not None:
        chain["transport_socket"] = downstream_tls(gateway)
        chain["transport_socket_connect_timeout"] = "5s"
    return {
        "name": _NAME,
        "address": {"socket_address": {"address": gateway.host, "port_value": gateway.port}},
        # Connections are shared out evenly among the threads by the system.
        "enable_reuse_port": True,
        **listener_bounds(gateway),
        **filter_chains(gateway, chain),
    }


def _connection_manager(gateway: Gateway, services: Sequence[str]) -> dict[str, Any]:
    return extension(
        _HTTP,
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        codec_type="AUTO",
        stat_prefix=_NAME,
        server_name="marketd",
        use_remote_address=True,
        # The routes append whom the gateway sees: Envoy itself writes the machine's own address for one on loopback.
        skip_xff_append=True,
        xff_num_trusted_hops=gateway.trusted_hops,
        early_header_mutation_extensions=[_forget_claims()],
        # The workers judge a client's x-request-id, and make one where there is none.
        generate_request_id=False,
        preserve_external_request_id=True,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        common_http_protocol_options=connection_options(),
        http2_protocol_options=http2_options(),
        **stream_times(gateway),
        access_log=access_log(gateway),
        local_reply_config=local_replies(),
        route_config=routes(gateway),
        http_filters=_filters(gateway, services),
    )


def _forget_claims() -> dict[str, Any]:
    """Drop what only proxies may say, before anything is read: no client is one, from whatever network it comes.

    With Envoy's own headers a client could shorten time-outs and have calls repeated.
    """
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[
            {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}},
            no_keys(),
            *({"remove": name} for name in _CLAIMS),
            # By it a call is known as one of REST: the script for those says it, and nobody else.
            {"remove": STREAM_ERRORS},
        ],
    )


def _filters(gateway: Gateway, services: Sequence[str]) -> list[dict[str, Any]]:
    """In the order in which a request meets them; an answer meets them from below."""
    return [
        extension(CORS, "envoy.extensions.filters.http.cors.v3.Cors"),
        {**extension(ABORT, "envoy.extensions.filters.http.fault.v3.HTTPFault"), "disabled": True},
        _health(),
        _compressor(),
        *filters(),
        extension(GRPC_WEB, "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"),
        rest_metadata(),
        rest_script(services),
        whole_requests(gateway),
        transcoder(gateway, services),
        extension(ROUTER, "envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True),
    ]


def _health() -> dict[str, Any]:
    return extension(
        HEALTH,
        "envoy.extensions.filters.http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[
            {"name": ":path", "string_match": {"exact": HEALTH_PATH}},
            # The filter would make an error of gRPC's of the good news.
            {
                "name": "content-type",
                "string_match": {"prefix": "application/grpc"},
                "invert_match": True,
                "treat_missing_header_as_empty": True,
            },
        ],
        # One worker that serves is enough.
        cluster_min_healthy_percentages={CLUSTER: {"value": 1}},
    )


def _compressor() -> dict[str, Any]:
    """gzip for text. gRPC is left as it is: the workers take no compressed messages either."""
    return extension(
        COMPRESSOR,
        "envoy.extensions.filters.http.compressor.v3.Compressor",
        response_direction_config={
            "common_config": {
                "min_content_length": 1024,
                "content_type_matcher": [{"prefix": each} for each in COMPRESSED_TYPES],
            },
            "disable_on_etag_header": False,
        },
        compressor_library=extension(
            "gzip", "envoy.extensions.compression.gzip.compressor.v3.Gzip", compression_level="COMPRESSION_LEVEL_5"
        ),
    )
