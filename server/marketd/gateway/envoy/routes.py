"""Which path leads where, on every host name."""

from __future__ import annotations

from typing import Any, Final

from marketd.gateway.envoy import files
from marketd.gateway.envoy.cors import cors
from marketd.gateway.envoy.names import ABORT, BUFFER, CLUSTER, CORS, LUA, METADATA, TRANSCODER, off, seconds, typed
from marketd.gateway.envoy.pages import LARGEST_BYTES, page_routes
from marketd.gateway.envoy.replies import NATIVE, WEB
from marketd.gateway.envoy.rest import takes, upload_paths
from marketd.gateway.gateway import Gateway
from marketd.gateway.static import hello_pages

REST: Final = "/v1/"
_KEYS: Final = "/.well-known/jwks.json"
_HEALTH_WATCH: Final = "/grpc.health.v1.Health/Watch"
# A worker that is told of no change of health for an hour is asked anew; the watch has no heartbeat.
_HEALTH_WATCH_SECONDS: Final = 3600.0
_POST: Final = {"name": ":method", "string_match": {"exact": "POST"}}
_TRAILERS: Final = {"name": "te", "string_match": {"contains": "trailers"}}


def routes(gateway: Gateway) -> dict[str, Any]:
    """The table of routes."""
    host: dict[str, Any] = {
        "name": "all",
        "domains": ["*"],
        "routes": [
            *([_preflight()] if gateway.origins else ()),
            *_grpc([_POST, _TRAILERS, _typed_as(NATIVE)]),
            *_grpc([_POST, _typed_as(WEB)]),
            # What is not quite gRPC the core of a worker would reset without a word, as if there were none.
            _refused({"prefix": "/", "headers": [_typed_as(f"{NATIVE}|{WEB}")]}, 415),
            *({**_to_workers({"path": path}), **takes(gateway.upload_bytes)} for path in upload_paths()),
            _to_workers({"prefix": REST}),
            _to_workers({"path": _KEYS}),
            *page_routes(gateway),
            *(_refused({"prefix": package}, 415) for package in ("/marketplace.", "/grpc.")),
            *_media(gateway),
            *_pages(gateway),
            _refused({"prefix": "/"}, 404),
        ],
    }
    policy = cors(gateway)
    if policy is not None:
        host["typed_per_filter_config"] = {CORS: policy}
    return {
        "name": "paths",
        "virtual_hosts": [host],
        # Whom the gateway sees goes last, and is what the workers count by; what stands in front of it is not read.
        "request_headers_to_add": [
            {
                "header": {"key": "x-forwarded-for", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"},
                "append_action": "APPEND_IF_EXISTS_OR_ADD",
            }
        ],
        "max_direct_response_body_size_bytes": LARGEST_BYTES,
    }


def _typed_as(regex: str) -> dict[str, Any]:
    return {"name": "content-type", "string_match": {"safe_regex": {"regex": regex}}}


def _grpc(headers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        _to_workers({"path": _HEALTH_WATCH, "headers": headers}, grpc=True, idle_seconds=_HEALTH_WATCH_SECONDS),
        _to_workers({"prefix": "/", "headers": headers}, grpc=True),
    ]


def _media(gateway: Gateway) -> list[dict[str, Any]]:
    """Public pictures, and nothing else at their path: pages of somebody's own do not stand in for them."""
    found = []
    if gateway.media_url is not None:
        found.append(files.media_redirect(gateway.media_url))
    elif gateway.media is not None:
        found.append(files.media_route(gateway.media))
    return [*found, _refused({"prefix": files.MEDIA}, 404)]


def _pages(gateway: Gateway) -> list[dict[str, Any]]:
    if gateway.static is None:
        return []
    policy = files.PAGE_POLICY if gateway.static == hello_pages() else files.OWNERS_POLICY
    return [files.static_route(gateway.static, policy)]


def _to_workers(match: dict[str, Any], *, grpc: bool = False, idle_seconds: float | None = None) -> dict[str, Any]:
    action: dict[str, Any] = {
        "cluster": CLUSTER,
        # The workers bound every call; a time-out here would cut the watches.
        "timeout": "0s",
        "retry_policy": {
            # Only what no worker has begun: nothing is executed twice.
            "retry_on": "connect-failure,refused-stream",
            "num_retries": 3,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3."
                        "PreviousHostsPredicate"
                    },
                }
            ],
            "host_selection_retry_max_attempts": 3,
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
        },
    }
    if idle_seconds is not None:
        action["idle_timeout"] = seconds(idle_seconds)
    route: dict[str, Any] = {"match": match, "route": action}
    if grpc:
        route["typed_per_filter_config"] = {LUA: off(), BUFFER: off(), METADATA: off(), TRANSCODER: off()}
    return route


def _preflight() -> dict[str, Any]:
    """A browser's question whether a page may call: the filter for that answers it, and where not, this route."""
    asks = [
        {"name": ":method", "string_match": {"exact": "OPTIONS"}},
        {"name": "access-control-request-method", "present_match": True},
    ]
    refuse = typed(
        "envoy.extensions.filters.http.fault.v3.HTTPFault",
        abort={"http_status": 405, "percentage": {"numerator": 100}},
    )
    return {
        "match": {"prefix": "/", "headers": asks},
        # Never gone to; the filter reads its policy on routes that lead somewhere, and on no others.
        "route": {"cluster": CLUSTER},
        "typed_per_filter_config": {ABORT: refuse, LUA: off(), BUFFER: off(), METADATA: off(), TRANSCODER: off()},
    }


def _refused(match: dict[str, Any], status: int) -> dict[str, Any]:
    return {
        "match": match,
        "direct_response": {"status": status},
        "typed_per_filter_config": {LUA: off(), BUFFER: off(), TRANSCODER: off()},
    }
