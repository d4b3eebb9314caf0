"""Variants one by one and many at once: always under the lock of their product, which shows what becomes of them."""
