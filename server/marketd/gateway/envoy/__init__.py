"""Envoy's configuration as plain dictionaries, in the shape of its own API (v3)."""
