"""`/openapi.json` and the readable page of it under `/docs/`, which Envoy holds in memory and answers by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from marketd.gateway.envoy.names import LUA, TRANSCODER, off
from marketd.gateway.gateway import Gateway

LARGEST_BYTES: Final = 4 * 1024 * 1024
"""Envoy refuses to start with a larger answer of its own; the script of the page is the largest."""

_JSON: Final = "application/json"
_HTML: Final = "text/html; charset=utf-8"
_CSS: Final = "text/css; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # The component writes styles into its own elements.
        "style-src 'self' 'unsafe-inline'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_READ: Final = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
_FRESH: Final = "no-cache"
_KEPT: Final = "public, max-age=86400"


@dataclass(frozen=True, slots=True)
class _Page:
    """A file of the page: its type, and how long browsers keep it."""

    file: str
    content_type: str
    cache: str = _KEPT


_PAGES: Final = (
    _Page("index.html", _HTML, _FRESH),
    _Page("page.css", _CSS),
    _Page("rapidoc-min.js", _SCRIPT),
    _Page("rapidoc-min.js.LICENSE.txt", _TEXT),
    _Page("rapidoc-LICENSE.txt", _TEXT),
)


def page_routes(gateway: Gateway) -> list[dict[str, Any]]:
    """The routes; any other path under `/docs/` is a missing page."""
    pages = [
        _file(f"/docs/{'' if page.file == 'index.html' else page.file}", str(gateway.docs / page.file), page)
        for page in _PAGES
    ]
    document = _Page("openapi.json", _JSON, _FRESH)
    # Whoever makes a client or a page of it elsewhere may read it: it holds nothing of anybody.
    open_to_all = _header("access-control-allow-origin", "*")
    moved = {
        "match": {"path": "/docs", "headers": [_READ]},
        "redirect": {"path_redirect": "/docs/"},
        # A path alone: what a client calls this host, and whether a proxy in front speaks TLS, need not be true.
        "response_headers_to_add": [_header("location", "/docs/"), _header("cache-control", _FRESH)],
        "typed_per_filter_config": {LUA: off(), TRANSCODER: off()},
    }
    return [_file("/openapi.json", str(gateway.openapi), document, open_to_all), moved, *pages]


def _file(path: str, file: str, page: _Page, *more: dict[str, Any]) -> dict[str, Any]:
    return {
        "match": {"path": path, "headers": [_READ]},
        "direct_response": {"status": 200, "body": {"filename": file}},
        "response_headers_to_add": [
            _header("content-type", page.content_type),
            _header("cache-control", page.cache),
            _header("content-security-policy", _POLICY),
            _header("x-content-type-options", "nosniff"),
            _header("referrer-policy", "no-referrer"),
            *more,
        ],
        "typed_per_filter_config": {LUA: off(), TRANSCODER: off()},
    }


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
