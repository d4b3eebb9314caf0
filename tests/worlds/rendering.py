"""Pictures for tests that look at everything but the rendering: no children, and any bytes are a picture."""

from __future__ import annotations

import os
from collections.abc import Hashable

from marketd.kernel.slice import Parts
from marketd.media.rendering.pool import RenderPool
from marketd.media.taking import MediaTaker, taker_of
from marketd.media.values import RENDITIONS, Rendered, RenderedSize


class _NoChildren(RenderPool):
    """Each size has its name and the file's bytes."""

    async def render(self, file: int, owner: Hashable = None) -> Rendered:
        content = os.pread(file, 1_000_000, 0)
        sizes = (RenderedSize(name, 40, 30, name.encode() + content) for name in RENDITIONS)
        return Rendered("image/jpeg", 40, 30, tuple(sizes))


def quick_taker(parts: Parts) -> MediaTaker:
    """One that puts into the store of these parts, without children."""
    settings, store = parts.settings, taker_of(parts).store
    return MediaTaker(
        parts.tx,
        parts.clock,
        store,
        _NoChildren(1),
        max_bytes=settings.max_media_bytes,
        quota=settings.media_quota_bytes,
    )
