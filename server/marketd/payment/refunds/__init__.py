"""Refunds: money set aside first, then given back by the provider, then settled."""
