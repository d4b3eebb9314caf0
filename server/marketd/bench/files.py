"""A file to import that looks as those of shops do: half of its products with one variant, the others with two to nine;
descriptions of about a kilobyte, one to three pictures each, some of them in rows of their own.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

_COLUMNS = (
    "Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Published", "Option1 Name", "Option1 Value",
    "Option2 Name", "Option2 Value", "Variant SKU", "Variant Grams", "Variant Inventory Tracker",
    "Variant Inventory Qty", "Variant Inventory Policy", "Variant Price", "Variant Compare At Price",
    "Variant Requires Shipping", "Variant Taxable", "Variant Barcode", "Image Src", "Image Position", "Image Alt Text",
    "Gift Card", "SEO Title", "SEO Description", "Variant Image", "Variant Weight Unit", "Status",
)  # fmt: skip
_WORDS = (
    *("light", "strong", "cotton", "linen", "oak", "steel", "soft", "warm", "cool", "quiet", "handmade", "small"),
    *("large", "daily", "garden", "kitchen", "travel", "winter", "summer", "woven", "plain", "striped", "blue"),
    *("green", "copper", "ceramic", "glass", "paper", "felt", "wool", "leather", "canvas", "simple", "round"),
)
_VARIANTS = (1, 1, 1, 1, 1, 2, 3, 4, 6, 9)
_SIZES = ("XS", "S", "M", "L", "XL", "XXL", "3XL", "4XL", "5XL")


def write_shop_file(path: Path, rows: int, shop: str) -> int:
    """Write a file of exactly `rows` rows; gives the number of its products. Of one shop and size always the same."""
    products = written = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, _COLUMNS, restval="")
        out.writeheader()
        while written < rows:
            product = _product(products, shop)[: rows - written]
            out.writerows(product)
            written += len(product)
            products += 1
    return products


def _product(number: int, shop: str) -> list[dict[str, Any]]:
    digest = hashlib.sha256(f"{shop}/{number}".encode()).digest()
    words = [_WORDS[byte % len(_WORDS)] for byte in digest]
    variants = _VARIANTS[digest[0] % len(_VARIANTS)]
    pictures = 1 + digest[1] % 3
    handle = f"{words[0]}-{words[1]}-{words[2]}-{number}"
    rows = []
    for place in range(max(variants, pictures)):
        row: dict[str, Any] = {"Handle": handle}
        if place == 0:
            row |= {
                "Title": f"{words[0].capitalize()} {words[1]} {words[2]} {number}",
                "Body (HTML)": _body(words, digest),
                "Vendor": f"Maker {digest[2] % 40}",
                "Type": f"Kind {digest[3] % 60}",
                "Tags": ", ".join(sorted(set(words[3:9]))),
                "Published": "true",
                "Option1 Name": "Size" if variants > 1 else "Title",
                "Gift Card": "false",
                "SEO Title": words[4],
                "Status": "active",
            }
        if place < variants:
            price = 199 + int.from_bytes(digest[4:6], "big") % 20_000 + place
            row |= {
                "Option1 Value": _SIZES[place] if variants > 1 else "Default Title",
                "Variant SKU": f"{words[0][:3].upper()}-{number}-{place}",
                "Variant Grams": f"{100 + digest[6]}.0",
                "Variant Inventory Tracker": "shopify",
                "Variant Inventory Qty": digest[7] % 90,
                "Variant Inventory Policy": "deny",
                "Variant Price": f"{price // 100}.{price % 100:02}",
                "Variant Compare At Price": f"{price // 100 + 10}.00" if digest[8] % 4 == 0 else "",
                "Variant Requires Shipping": "true",
                "Variant Taxable": "true",
                "Variant Weight Unit": "kg",
            }
        if place < pictures:
            row |= {
                "Image Src": f"https://pictures.example/{shop}/{number}/{place}.jpg?v=1580000000",
                "Image Position": place + 1,
                "Image Alt Text": f"{words[0]} {words[1]}, seen from side {place + 1}",
            }
        rows.append(row)
    return rows


def _body(words: list[str], digest: bytes) -> str:
    text = " ".join(words)
    items = "".join(f"<li>{word} and {other}</li>" for word, other in zip(words[:8], words[8:16], strict=True))
    return (
        f"<h2>{words[0]} {words[1]}</h2>\n<p><strong>{text}</strong>, {text}.</p>\n<ul>{items}</ul>\n"
        f'<p>{" ".join(reversed(words))}. <a href="https://maker.example/{digest[9]}">more</a></p>'
    )
