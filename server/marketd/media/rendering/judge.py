"""What a file is by its bytes: which kind of picture, how large, whether whole, and whether it is something else too.

It reads headers and the lengths of blocks and decodes nothing, so no file can make it work hard or take memory: ten
kilobytes of PNG may claim eighty million pixels. Runs in a child; standard library only.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from struct import unpack_from

MAX_PIXELS = 24_000_000
MAX_FRAMES = 200
# A scan of a JPEG goes over the whole picture and may have next to no bytes. Ten are usual.
MAX_SCANS = 40
# Of a JPEG or PNG; decoders look at each. A PNG of 20 MiB in the smallest usual pieces has a tenth of them.
MAX_BLOCKS = 50_000
JPEG, PNG, GIF, WEBP, AVIF = "JPEG", "PNG", "GIF", "WEBP", "AVIF"
MEDIA_TYPES = {kind: f"image/{kind.lower()}" for kind in (JPEG, PNG, GIF, WEBP, AVIF)}


class Refused(Exception):
    """The file is not taken. kind: `type`, `large` or `corrupt`; text says what it is, for a person."""

    def __init__(self, kind: str, text: str, limit: int = 0) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Judged:
    """What the headers say: the kind, and width and height as they are stored, 0 where only the decoder knows."""

    kind: str
    width: int
    height: int


# What browsers and others take for something else, wherever in a file it stands; each is long enough, or found in its
# structure, that compressed data does not have it by chance.
_TEXTS = (
    (re.compile(rb"<script[\s>/]"), "HTML"),
    (re.compile(rb"<html[\s>]"), "HTML"),
    (re.compile(rb"<!doctype\s"), "HTML"),
    (re.compile(rb"</svg>"), "SVG"),
    (re.compile(rb"<\?php\s"), "a PHP script"),
    (re.compile(rb"%pdf-[12]\."), "PDF"),
    (re.compile(rb"rar!\x1a\x07"), "a RAR archive"),
)
_ZIP_END = b"PK\x05\x06"
_STARTS = (
    (b"%PDF-", "PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"8BPS", "a Photoshop file"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"RIFF", "audio or video"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
)
_MARKUP = ((b"<svg", "SVG"), (b"<!doctype html", "HTML"), (b"<html", "HTML"), (b"<?php", "a PHP script"))


def judge(data: bytes) -> Judged:
    """Raises Refused for what is no picture of the five kinds, is too large, not whole, or something else as well."""
    read = _reader(data)
    try:
        judged = read(data)
    except (struct.error, IndexError):
        raise Refused("corrupt", "it ends before it should") from None
    check_size(judged.width, judged.height)
    other = _also(data)
    if other:
        raise Refused("type", f"This is a {judged.kind} picture and {other} as well, and is not taken")
    return judged


def check_size(width: int, height: int) -> None:
    """Raises Refused for too many pixels."""
    if width * height > MAX_PIXELS:
        raise Refused("large", "pixels", MAX_PIXELS)


def check_frames(frames: int) -> None:
    """Raises Refused for too many frames."""
    if frames > MAX_FRAMES:
        raise Refused("large", "frames", MAX_FRAMES)


def _reader(data: bytes) -> Callable[[bytes], Judged]:
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _gif
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp
    if data[4:8] == b"ftyp":
        brands = {data[at : at + 4] for at in (8, *range(16, min(_u32(data, 0), 256), 4))}
        if brands & {b"avif", b"avis"}:
            return _avif
        heif = brands & {b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1"}
        raise Refused("type", "This is HEIC" if heif else "This is video")
    raise Refused("type", f"This is {_named(data)}")


def _named(data: bytes) -> str:
    """What it is, as far as that can be told, for a person who wonders why it is refused."""
    for start, name in _STARTS:
        if data.startswith(start):
            return name
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n\x00").lower()
    if head.startswith(b"<"):
        found = [(head.find(mark), name) for mark, name in _MARKUP if mark in head]
        return min(found)[1] if found else "markup"
    return "no picture"


def _also(data: bytes) -> str:
    """What else the file is; empty when it is a picture and nothing more.

    Bytes behind the picture's end are no reason by themselves: telephones write films and second pictures there.
    """
    lower = data.lower()
    for pattern, name in _TEXTS:
        if pattern.search(lower):
            return name
    # The directory's end stands at the end of an archive, behind it only a comment whose length it says.
    at = data.rfind(_ZIP_END)
    if at >= 0 and at + 22 <= len(data) and at + 22 + int.from_bytes(data[at + 20 : at + 22], "little") <= len(data):
        entries, size = unpack_from("<HI", data, at + 10)
        if size <= at and (entries or not size) and (not entries or b"PK\x01\x02" in data):
            return "a ZIP archive"
    return ""


def _u32(data: bytes, at: int) -> int:
    return int(unpack_from(">I", data, at)[0])


# What ends the data of a scan: no byte that stands for itself, no restart, no filling.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _check_blocks(blocks: int) -> None:
    if blocks > MAX_BLOCKS:
        raise Refused("large", "blocks", MAX_BLOCKS)


def _jpeg(data: bytes) -> Judged:
    at, size, blocks = 2, (0, 0), 0
    while True:
        if data[at] != 0xFF:
            raise Refused("corrupt", "its blocks do not follow each other")
        while data[at] == 0xFF:
            at += 1
            blocks += 1
            _check_blocks(blocks)
        marker = data[at]
        at += 1
        if marker == 0xDA:
            break
        if marker == 0xD9:
            raise Refused("corrupt", "there is no picture in it")
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            continue
        length = int(unpack_from(">H", data, at)[0])
        if length < 2:
            raise Refused("corrupt", "its blocks do not follow each other")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = unpack_from(">HH", data, at + 3)
            size = (max(size[0], width), max(size[1], height))
        at += length
    if not all(size):
        raise Refused("corrupt", "it does not say how large it is")
    if data.rfind(b"\xff\xd9") < at:
        raise Refused("corrupt", "it ends before it should")
    _check_scans(data, at, blocks)
    return Judged(JPEG, *size)


def _check_scans(data: bytes, at: int, blocks: int) -> None:
    """at: behind the marker of the first scan. What is cut or stands behind the picture is not looked at."""
    scans = 1
    while found := _MARKER.search(data, at):
        at = found.end()
        marker = data[at - 1]
        if marker == 0xD9:
            return
        blocks += 1
        _check_blocks(blocks)
        scans += marker == 0xDA
        if scans > MAX_SCANS:
            raise Refused("large", "scans", MAX_SCANS)
        if marker != 0x01 and at + 2 <= len(data):
            at += int(unpack_from(">H", data, at)[0])


def _png(data: bytes) -> Judged:
    if data[12:16] != b"IHDR":
        raise Refused("corrupt", "it does not begin as it should")
    width, height = unpack_from(">II", data, 16)
    at = 8
    blocks = 0
    while True:
        blocks += 1
        _check_blocks(blocks)
        length, kind = _u32(data, at), data[at + 4 : at + 8]
        if at + 12 + length > len(data):
            raise Refused("corrupt", "it ends before it should")
        if kind == b"acTL":
            check_frames(_u32(data, at + 8))
        if kind == b"IEND":
            return Judged(PNG, width, height)
        at += 12 + length


def _gif(data: bytes) -> Judged:
    width, height, flags = unpack_from("<HHB", data, 6)
    at = 13 + _colours(flags)
    frames = 0
    while True:
        kind = data[at]
        if kind == 0x3B:
            break
        if kind == 0x2C:
            frames += 1
            check_frames(frames)
            left, top, wide, high, flags = unpack_from("<HHHHB", data, at + 1)
            # A frame beyond the screen makes the screen larger.
            width, height = max(width, left + wide), max(height, top + high)
            check_size(width, height)
            at += 11 + _colours(flags)
        elif kind == 0x21:
            at += 2
        else:
            raise Refused("corrupt", "its blocks do not follow each other")
        while data[at]:
            at += data[at] + 1
        at += 1
    if not frames:
        raise Refused("corrupt", "there is no picture in it")
    return Judged(GIF, width, height)


def _colours(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> Judged:
    end = 8 + int(unpack_from("<I", data, 4)[0])
    if end > len(data):
        raise Refused("corrupt", "it ends before it should")
    width = height = frames = 0
    at = 12
    while at + 8 <= end:
        kind, length = data[at : at + 4], int(unpack_from("<I", data, at + 4)[0])
        body = at + 8
        if body + length > end:
            raise Refused("corrupt", "it ends before it should")
        wide = high = 0
        if kind == b"VP8X":
            wide, high = 1 + _u24(data, body + 4), 1 + _u24(data, body + 7)
        elif kind == b"VP8 ":
            wide, high = (side & 0x3FFF for side in unpack_from("<HH", data, body + 6))
        elif kind == b"VP8L":
            bits = int(unpack_from("<I", data, body + 1)[0])
            wide, high = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif kind == b"ANMF":
            frames += 1
            check_frames(frames)
            wide, high = 1 + _u24(data, body + 6), 1 + _u24(data, body + 9)
        width, height = max(width, wide), max(height, high)
        at = body + length + (length & 1)
    if not (width and height):
        raise Refused("corrupt", "there is no picture in it")
    return Judged(WEBP, width, height)


def _u24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def _avif(data: bytes) -> Judged:
    at = 0
    while at < len(data):
        length = _u32(data, at)
        if length == 1:
            length = int(unpack_from(">Q", data, at + 8)[0])
        elif length == 0:
            length = len(data) - at
        if length < 8 or at + length > len(data):
            raise Refused("corrupt", "it ends before it should")
        at += length
    # Each item says how large it is: the picture, the tiles that it is made of, and what is beside it.
    for found in re.finditer(rb"\x00\x00\x00\x14ispe", data[: 1 << 20]):
        if found.start() + 20 <= len(data):
            check_size(*unpack_from(">II", data, found.start() + 12))
    return Judged(AVIF, 0, 0)
