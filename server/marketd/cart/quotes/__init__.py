"""Quotes: what an order of a whole cart would cost, kept for PlaceOrder under a signed token."""
