"""The page of the OpenAPI document: what it loads is here, as it was pinned, with its licences, and in the package."""

from __future__ import annotations

import hashlib
import re

from marketd.gateway.envoy.pages import LARGEST_BYTES, page_routes
from marketd.gateway.gateway import Gateway

from tools import rapidoc


def test_the_component_is_the_one_that_is_pinned() -> None:
    for name, pinned in rapidoc.FILES.values():
        assert hashlib.sha256((rapidoc.TARGET / name).read_bytes()).hexdigest() == pinned, name


def test_the_page_loads_only_what_lies_beside_it() -> None:
    page = (rapidoc.TARGET / "index.html").read_text()
    loaded = set(re.findall(r"""(?:src|href|spec-url)="([^"]+)\"""", page))
    assert loaded == {"data:,", "page.css", "rapidoc-min.js", "../openapi.json"}
    assert "<script>" not in page
    assert "http" not in page
    assert 'load-fonts="false"' in page


def test_every_file_of_the_page_has_its_route_and_fits() -> None:
    routes = page_routes(Gateway(host="127.0.0.1", port=1, upstreams=()))
    served = {route["direct_response"]["body"]["filename"] for route in routes if "direct_response" in route}
    assert served == {f"docs/{file.name}" for file in rapidoc.TARGET.iterdir()} | {"openapi.json"}
    assert all(file.stat().st_size < LARGEST_BYTES for file in rapidoc.TARGET.iterdir())
