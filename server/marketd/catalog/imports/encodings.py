"""What an import file is as bytes: its encoding where it is text, and what it is called where it is none. Pure but for
the file.

UTF-8 is known by itself: no other text of any length passes for it. UTF-16 is known by its mark. Windows-1252 has no
mark, so it is taken only where the letters are those of one Western language; Czech, Polish, Turkish, Russian or
Chinese texts in encodings of their own would come out as nonsense that nobody notices, and are refused.
"""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

from marketd.catalog.errors import ImportFileInvalid

_PIECE = 1 << 16

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook; unpack it, or save the sheet as CSV (UTF-8)"),
    (b"PK\x05\x06", "an empty ZIP archive; send the CSV file itself"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook; save the sheet as CSV (UTF-8)"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"%PDF", "a PDF; export the products as CSV"),
    (b"\x89PNG", "a picture; export the products as CSV"),
    (b"\xff\xd8\xff", "a picture; export the products as CSV"),
    (b"{\\rtf", "a text document (RTF); export the products as CSV"),
    (b"SQLite format 3\0", "a database; export the products as CSV"),
    (b"\xff\xfe\0\0", "UTF-32; save it as UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32; save it as UTF-8"),
)
_MARKUP = re.compile(rb"\s*<(?:!doctype|html|head|body|table|\?xml|rss|feed|\w+>)", re.IGNORECASE)
_JSON = re.compile(rb"\s*(?:\{\s*[\"}]|\[\s*[\[{\"\]])")

# What is the same in the Windows encodings of all Latin scripts, so that it cannot be read wrong.
_SURE = frozenset("€‚„…†‡‰‹‘’“”•–—™› §©«¬\u00ad®°±´µ¶·»äëöüÄËÖÜéÉáÁíÍóÓúÚçÇßâÂîÎôÔ×÷\u00a0")  # noqa: RUF001
# The letters of the languages of Windows-1252, and some that no longer text in each is without.
_LANGUAGES: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (frozenset("äöüßÄÖÜéèêàáôçñÉ"), frozenset("äöüßÄÖÜ")),
    (frozenset("éàèùâêîôûëïüÿçœæÉÀÈÙÂÊÎÔÛËÏÜŸÇŒÆ"), frozenset("éÉ")),
    (frozenset("áéíóúüñÁÉÍÓÚÜÑ"), frozenset("áéíóúÁÉÍÓÚñÑ")),
    (frozenset("àèéìíòóùúÀÈÉÌÍÒÓÙÚîÎ"), frozenset("àèé")),
    (frozenset("ãõáéíóúâêôàçüÃÕÁÉÍÓÚÂÊÔÀÇÜ"), frozenset("ãç")),
    (frozenset("åäöÅÄÖéÉüÜ"), frozenset("äöÄÖ")),
    (frozenset("æøåÆØÅéÉèÈêÊòÒôÔóÓäöü"), frozenset("åæÆÅ")),
    (frozenset("éëïöüóáèàêÉËÏÖÜ"), frozenset("éë")),
)
# Signs that are letters in other encodings, so they must stand as signs do: before a word, or behind one.
_BEFORE = frozenset("¡¿£¥¢")
_BEHIND = frozenset("¹²³¼½¾ºª")
_RUN = re.compile(r"(.?)([^\x00-\x7f]+)(.?)", re.DOTALL)
_NOT_INSIDE = frozenset("‚„†‡‰‹›“”•…™")  # noqa: RUF001


def encoding_of(file: BinaryIO) -> str:
    """The name of the file's encoding: utf-8-sig (for all that is UTF-8), utf-16, cp1252; the file is read from its
    start and left there. "utf-8" when it is none of them, for whoever reads it to find the row.

    Raises ImportFileInvalid for what is no text, saying what it is.
    """
    file.seek(0)
    try:
        head = file.read(_PIECE)
        _refuse_what_is_no_table(head)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if min(head[0:200:2].count(0), head[1:200:2].count(0)) > 10:
            raise ImportFileInvalid(1, "", "this is no CSV file and no text; export the products as CSV")
        if head[:200].count(0) > 20:
            raise ImportFileInvalid(1, "", "the file seems to be UTF-16 without its mark; save it as UTF-8")
        if _is_utf8(file):
            return "utf-8-sig"
        return "cp1252" if _is_western(file) else "utf-8"
    finally:
        file.seek(0)


def _refuse_what_is_no_table(head: bytes) -> None:
    for signature, said in _SIGNATURES:
        if head.startswith(signature):
            raise ImportFileInvalid(1, "", f"this is no CSV file but {said}")
    text = head.removeprefix(codecs.BOM_UTF8)
    if _MARKUP.match(text):
        raise ImportFileInvalid(1, "", "this is no CSV file but a web page or XML; export the products as CSV")
    if _JSON.match(text):
        raise ImportFileInvalid(1, "", "this is no CSV file but JSON; export the products as CSV")


def _is_utf8(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        while piece := file.read(_PIECE):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_western(file: BinaryIO) -> bool:
    """Whether the file is surely Windows-1252."""
    found: set[str] = set()
    file.seek(0)
    for line in iter(lambda: file.readline(_PIECE), b""):
        if line.isascii():
            continue
        try:
            text = line.decode("cp1252")
        except UnicodeDecodeError:
            return False
        for before, run, behind in _RUN.findall(text):
            if not _may_stand(before, run, behind):
                return False
            found.update(run)
    letters = {char for char in found - _BEHIND if char.isalpha()}
    if not found - letters <= _SURE | _BEFORE | _BEHIND:
        return False
    return letters <= _SURE or any(letters <= known and letters & needed for known, needed in _LANGUAGES)


def _may_stand(before: str, run: str, behind: str) -> bool:
    """Whether these characters above ASCII may stand between two others.

    Letters of a language stand between others; a text in another script would have long runs of them.
    """
    if sum(map(str.isalpha, run)) > 3:
        return False
    inside = before.isalpha() and behind.isalpha()
    return not (
        (inside and any(char in _NOT_INSIDE for char in run) and len(run) == 1)
        or (before.isalpha() and run[0] in _BEFORE)
        or (behind.isalpha() and run[-1] in _BEHIND)
    )
