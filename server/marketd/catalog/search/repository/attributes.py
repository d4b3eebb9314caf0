"""How options and attributes stand in a search document: one number for each name with a value.

Counting a hundred thousand numbers is what a facet can afford; of texts it would cost three times as much, and the
documents would no longer be narrow. The number is a hash, so that writing a document asks nobody for an id and meets no
lock; `search_attributes` says which name and value it stands for. Case and the blanks around make no difference.
"""

from __future__ import annotations


def attribute_key_sql(name: str, value: str) -> str:
    """The number of a name with a value, both SQL expressions of type text; a bigint."""
    return f"hashtextextended({folded_sql(name)} || E'\\x1f' || {folded_sql(value)}, 0)"


def folded_sql(text: str) -> str:
    """What names and values compare by."""
    return f"lower(btrim({text}))"
