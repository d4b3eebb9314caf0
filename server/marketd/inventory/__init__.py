"""Inventory: how many pieces of a variant there are, how many are promised, and why the number changed."""
