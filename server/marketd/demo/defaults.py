"""What the demo uses when nothing else is said: its own products and ride, and the logins of `serve --demo`.

The password is printed to everybody; `serve --demo` refuses to run in production.
"""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"
PRODUCTS = DATA / "products.csv"
TRACE = DATA / "trace.csv"

DEFAULT_TARGET = "127.0.0.1:50051"
ADMIN_EMAIL = "admin@demo.example.com"
VISITOR_EMAIL = "visitor@demo.example.com"
PASSWORD = "demo-market-2026"  # noqa: S105 - known to everybody on purpose

SLIP = "celebartion cakes"
"""A search for something of PRODUCTS with two letters the wrong way round."""
CODE = "WELCOME10"
"""The marketplace's promo code: a tenth off everything."""
SHOP_CODE = "BAKERY2"
"""The first shop's promo code, for its own goods."""
