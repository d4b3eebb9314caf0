"""Searching the catalog: the documents that stand for published products, and what a query finds of them, in order."""
