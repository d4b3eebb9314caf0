"""How texts are spelled before they become words or codes: SQL fragments, the same for documents and for queries.

A word is found however it was typed: without case and accents, and with nothing of the punctuation that PostgreSQL's
parser would read as addresses, paths or compounds. So `Wi-Fi/USB` are three words; closeness brings them together.
"""

from __future__ import annotations

from typing import Final

# What is only a mark goes before compatibility forms turn it into letters: Core™ is not `coretm`.
_MARKS: Final = "[®™©℠℗]"
# An apostrophe joins (`men's` is `mens`), all other punctuation parts; unaccent has made typographic forms plain.
# Expressions, because translate() takes ten times as long.
_JOINING: Final = "['`]"
_PARTING: Final = r"[-!-,/:-@[-_{-~]|\.(?![0-9])|(?<![0-9])\."
DESCRIPTION_CHARACTERS: Final = 4_000
"""So much of a description is searched: what stands behind it says little about what the product is."""


def plain_sql(text: str) -> str:
    """SQL: the text `text` (an expression) as words of lower-case letters and digits with blanks between them.

    A dot stays between digits: 17.3 is one word.
    """
    unmarked = f"regexp_replace({text}, '{_MARKS}', ' ', 'g')"
    folded = f"lower(unaccent({_composed(unmarked)}))"
    joined = f"regexp_replace({folded}, {_quoted(_JOINING)}, '', 'g')"
    return f"regexp_replace({joined}, '{_PARTING}', ' ', 'g')"


def code_sql(text: str) -> str:
    """SQL: a SKU or barcode as it is looked up: letters and digits in lower case, without leading zeros.

    So an EAN of 13 digits, its UPC of 12 and the same with hyphens are one code.
    """
    return f"ltrim(regexp_replace(lower({_composed(text)}), '[^[:alnum:]]', '', 'g'), '0')"


def markup_free_sql(html: str) -> str:
    """SQL: the beginning of a description that descriptions.py has made safe, without tags and entities."""
    bounded = f"left({html}, {4 * DESCRIPTION_CHARACTERS})"
    return f"left(regexp_replace({bounded}, '<[^>]*>|&[a-zA-Z0-9#]+;', ' ', 'g'), {DESCRIPTION_CHARACTERS})"


def attribute_key_sql(name: str, value: str) -> str:
    """SQL: the number of a pair of name and value, equal for pairs that differ only in case."""
    folded = " || chr(31) || ".join(f"lower(normalize({part}, NFC))" for part in (name, value))
    return f"('x' || left(md5({folded}), 16))::bit(64)::bigint"


def vector_sql(language: str, text: str, weight: str) -> str:
    """SQL: the words of a plain text, each as it is written and as the configuration `language` reduces it.

    Both stand at one position, so a word counts once and neighbours stay neighbours: joined by `||` the second half
    would follow behind the first. language: an expression of type regconfig. weight: A to D.
    """
    halves = f"to_tsvector('simple', {text})::text || ' ' || to_tsvector({language}, {text})::text"
    return f"setweight(({halves})::tsvector, '{weight}')"


def lexemes_sql(vector: str) -> str:
    """SQL: the lexemes of a document's vector for the counts; the empty one stands for the document itself."""
    return f"CASE WHEN {vector} IS NOT NULL THEN ARRAY[''] || tsvector_to_array({vector}) END"


def _composed(text: str) -> str:
    """SQL: the text in its compatibility form; to see that it is in it already takes a third of the time."""
    return f"CASE WHEN {text} IS NFKC NORMALIZED THEN {text} ELSE normalize({text}, NFKC) END"


def _quoted(characters: str) -> str:
    return "'" + characters.replace("'", "''") + "'"
