"""Search: what buyers find products by, kept beside the products and derived from them.

documents.py writes what search reads of a product, words.py counts in how many documents a word stands, pending.py and
drain.py bring in what was changed in bulk, rebuild.py makes everything anew. Lock order: a product's row is locked
before its document is written, so the last writer has seen the newest state of the product.
"""
