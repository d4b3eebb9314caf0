"""Receipts: what a paid order cost, with the taxes in it, as values, as text and as HTML."""
