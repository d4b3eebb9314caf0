"""Files that Envoy hands out itself: static pages, and the public pictures under `/media/`.

Envoy's `file_server` reads and sends them; `files.lua` adds what it leaves open. Only paths that a pattern knows get so
far: what is hidden, what climbs, and what else lies in the pictures' folder is a missing page like any other.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from marketd.gateway.envoy.names import BUFFER, FILE_SERVER, FILES, LUA, TRANSCODER, extension, off, typed

MEDIA: Final = "/media/"
MEDIA_PATH: Final = rf"{MEDIA}[0-9a-f]{{64}}\.webp"
# Segments without a dot in front: letters, digits and marks that are no syntax, blanks and UTF-8 beyond ASCII escaped.
# A slash, a backslash, a NUL, a percent sign or a dot that is escaped matches nothing.
STATIC_PATH: Final = (
    r"/|(?:/[A-Za-z0-9_~!$&'()*+,;=:@-](?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%20|%[89A-Fa-f][0-9A-Fa-f])*)+/?"
)
PROGRAM_SIZE: Final = 1_000
"""Envoy refuses patterns of more steps than 100 unless its runtime says otherwise; the two above have some more."""

TAGGED_BYTES: Final = 512 * 1024
"""Larger files have no etag: the whole file is read for it."""

PAGE_POLICY: Final = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob: https: http:",
        "style-src 'self' 'unsafe-inline'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""For the pages that come with marketd: all is their own but pictures, which shops may keep elsewhere."""
OWNERS_POLICY: Final = "object-src 'none'; frame-ancestors 'self'"
"""For somebody's own pages: what they load is their owner's decision, and a <meta> in them can be stricter."""
_PICTURE_POLICY: Final = "default-src 'none'; sandbox"

_CONTENT_TYPES: Final = {
    "avif": "image/avif",
    "css": "text/css; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "gif": "image/gif",
    "htm": "text/html; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "md": "text/markdown; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "otf": "font/otf",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "ttf": "font/ttf",
    "txt": "text/plain; charset=utf-8",
    "wasm": "application/wasm",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xml": "application/xml",
}
COMPRESSED_TYPES: Final = (
    "text/html",
    "text/css",
    "text/javascript",
    "text/plain",
    "text/csv",
    "text/markdown",
    "application/json",
    "application/x-ndjson",
    "image/svg+xml",
    "application/manifest+json",
    "application/wasm",
    "application/xml",
)
"""What is worth compressing, of the workers' answers too."""

_NO_REST: Final = {LUA: off(), BUFFER: off(), TRANSCODER: off()}
_SERVER_TYPE: Final = "envoy.extensions.filters.http.file_server.v3.FileServerConfig"
_LUA_TYPE: Final = "envoy.extensions.filters.http.lua.v3"
_SCRIPT: Final = "files.lua"
_READERS: Final = {"thread_pool": {"thread_count": 2}}


def filters() -> list[dict[str, Any]]:
    """The two filters; a route that does not mention them is not touched. A compressor stands before them."""
    script = resources.files(__package__).joinpath(_SCRIPT).read_text()
    return [
        extension(FILES, f"{_LUA_TYPE}.Lua", source_codes={_SCRIPT: {"inline_string": script}}),
        extension(FILE_SERVER, _SERVER_TYPE, manager_config=_READERS),
    ]


def static_route(folder: Path, policy: str = OWNERS_POLICY) -> dict[str, Any]:
    """Pages from a folder, at `/`."""
    context = {"cache": "no-cache", "policy": policy, "tagged_bytes": TAGGED_BYTES}
    return _route("static", STATIC_PATH, "/", folder, context)


def media_route(folder: Path) -> dict[str, Any]:
    """Public pictures from the store's folder; their names are made of their bytes, so they never change."""
    context = {"cache": "public, max-age=31536000, immutable", "policy": _PICTURE_POLICY, "immutable": True}
    return _route("media", MEDIA_PATH, MEDIA, folder, context)


def media_redirect(bucket_url: str) -> dict[str, Any]:
    """Public pictures from where a bucket shows them: a web address that ends with a slash."""
    target = urlsplit(bucket_url)
    host = f"[{target.hostname}]" if ":" in (target.hostname or "") else target.hostname
    redirect: dict[str, Any] = {
        "scheme_redirect": target.scheme,
        "host_redirect": host,
        "port_redirect": target.port or {"http": 80, "https": 443}[target.scheme],
        "regex_rewrite": {"pattern": {"regex": f"^{MEDIA}"}, "substitution": target.path},
        "response_code": "FOUND",
        "strip_query": True,
    }
    return {
        "name": "media",
        "match": {"safe_regex": {"regex": MEDIA_PATH}},
        "redirect": redirect,
        # The bucket may move; what lies there does not change.
        "response_headers_to_add": [
            {
                "header": {"key": "cache-control", "value": "public, max-age=300"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        "typed_per_filter_config": _NO_REST,
    }


def _route(name: str, path: str, prefix: str, folder: Path, context: dict[str, Any]) -> dict[str, Any]:
    inside = f"{folder}/"
    return {
        "name": name,
        "match": {"safe_regex": {"regex": path}},
        # Reached by nobody: the file server answers before the router.
        "direct_response": {"status": 404},
        "typed_per_filter_config": {
            **_NO_REST,
            FILES: typed(
                f"{_LUA_TYPE}.LuaPerRoute",
                name=_SCRIPT,
                filter_context={**context, "prefix": prefix, "folder": inside},
            ),
            FILE_SERVER: typed(
                _SERVER_TYPE,
                manager_config=_READERS,
                path_mappings=[{"request_path_prefix": prefix, "file_path_prefix": inside}],
                content_types=_CONTENT_TYPES,
                default_content_type="application/octet-stream",
                directory_behaviors=[{"default_file": "index.html"}],
            ),
        },
    }
