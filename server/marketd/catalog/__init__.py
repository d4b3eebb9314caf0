"""Catalog: categories, brands, products with their variants and pictures, and bringing them in from files."""
