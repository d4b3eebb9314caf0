"""What is wrong with a trace file."""

from __future__ import annotations


class TraceError(Exception):
    """A trace that cannot be read, in a sentence that says where."""
