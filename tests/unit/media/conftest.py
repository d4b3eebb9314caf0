"""The fixtures of the media's tests."""

from tests.worlds.buckets import weed

__all__ = ["weed"]
