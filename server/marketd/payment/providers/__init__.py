"""Providers: who moves the money. A real one lives elsewhere; the sandbox keeps its own books here."""
