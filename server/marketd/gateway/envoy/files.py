"""Files that Envoy hands out itself: static pages, and the public pictures under `/media/`.

Envoy's `file_server` reads and sends them; `files.lua` adds what it leaves open. Only paths that a pattern knows get so
far: what is hidden, what climbs, and what else lies in the pictures' folder is a missing page like any other.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

Config = dict[str, Any]

MEDIA_PATH: Final = r"/media/[0-9a-f]{64}\.webp"
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
    "image/svg+xml",
    "application/manifest+json",
    "application/wasm",
    "application/xml",
)
"""What is worth compressing besides JSON."""

_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions.filters.http"
_SERVER: Final = "envoy.filters.http.file_server"
_LUA: Final = "envoy.filters.http.lua"
_SCRIPT: Final = "files.lua"
_READERS: Final = {"thread_pool": {"thread_count": 2}}


class StaticFolderUnfit(Exception):
    """The folder of static pages cannot be handed out; the text says why, and what to do."""


def check_static_folder(folder: Path) -> None:
    """Whether the folder can be handed out whole: links out of it are followed, so there may be none.

    Raises StaticFolderUnfit.
    """
    if not folder.is_dir():
        raise StaticFolderUnfit(f"{folder} is not a folder; name the one that holds index.html.")
    root = folder.resolve()
    for parent, folders, files in os.walk(root):
        for name in (*folders, *files):
            each = Path(parent, name)
            if each.is_symlink() and not each.resolve().is_relative_to(root):
                raise StaticFolderUnfit(
                    f"{each.relative_to(root)} in {folder} is a link that leads out of the folder; put a copy there, "
                    "or remove it."
                )


def filters() -> list[Config]:
    """The two filters; a route that does not mention them is not touched. A compressor stands before them."""
    script = resources.files(__package__).joinpath(_SCRIPT).read_text()
    return [
        {
            "name": _LUA,
            "typed_config": {
                "@type": f"{_EXTENSIONS}.lua.v3.Lua",
                "source_codes": {_SCRIPT: {"inline_string": script}},
            },
        },
        {
            "name": _SERVER,
            "typed_config": {
                "@type": f"{_EXTENSIONS}.file_server.v3.FileServerConfig",
                "manager_config": _READERS,
            },
        },
    ]


def static_route(folder: str, policy: str = OWNERS_POLICY) -> Config:
    """Pages from a folder, at `/`."""
    context = {"cache": "no-cache", "policy": policy, "tagged_bytes": TAGGED_BYTES}
    return _route("static", STATIC_PATH, "/", folder, context)


def media_route(folder: str) -> Config:
    """Public pictures from the store's folder; their names are made of their bytes, so they never change."""
    context = {"cache": "public, max-age=31536000, immutable", "policy": _PICTURE_POLICY, "immutable": True}
    return _route("media", MEDIA_PATH, "/media/", folder, context)


def media_redirect(bucket_url: str) -> Config:
    """Public pictures from where a bucket shows them: a web address that ends with a slash."""
    target = urlsplit(bucket_url)
    redirect: Config = {
        "scheme_redirect": target.scheme,
        "host_redirect": target.hostname,
        "port_redirect": target.port or {"http": 80, "https": 443}[target.scheme],
        "regex_rewrite": {"pattern": {"regex": "^/media/"}, "substitution": target.path.replace("\\", r"\\")},
        "response_code": "FOUND",
        "strip_query": True,
    }
    return {
        "name": "media",
        "match": {"safe_regex": {"regex": MEDIA_PATH}},
        "redirect": redirect,
        # The bucket may move; what lies there does not change.
        "response_headers_to_add": [_header("cache-control", "public, max-age=300")],
    }


def _header(name: str, value: str) -> Config:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _route(name: str, path: str, prefix: str, folder: str, context: Config) -> Config:
    inside = folder.rstrip("/") + "/"
    return {
        "name": name,
        "match": {"safe_regex": {"regex": path}},
        # Reached by nobody: the file server answers before the router.
        "direct_response": {"status": 404},
        "typed_per_filter_config": {
            _LUA: {
                "@type": f"{_EXTENSIONS}.lua.v3.LuaPerRoute",
                "name": _SCRIPT,
                "filter_context": {**context, "prefix": prefix, "folder": inside},
            },
            _SERVER: {
                "@type": f"{_EXTENSIONS}.file_server.v3.FileServerConfig",
                "manager_config": _READERS,
                "path_mappings": [{"request_path_prefix": prefix, "file_path_prefix": inside}],
                "content_types": _CONTENT_TYPES,
                "default_content_type": "application/octet-stream",
                "directory_behaviors": [{"default_file": "index.html"}] if name == "static" else [],
            },
        },
    }
