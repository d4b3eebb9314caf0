"""Exports: a shop's products as the file that imports read."""
