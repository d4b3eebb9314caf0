"""Searching the catalog: the documents that stand for published products, what a query finds of them, and in what order."""
