"""A canvas of 100 by 100 units, on which shapes are drawn large and made smooth by making them small."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Final, TypeAlias

from PIL import Image, ImageDraw, ImageFilter

SIDE: Final = 640
"""The width and height of a picture in pixels."""
_LARGER: Final = 2
_UNIT: Final = SIDE * _LARGER / 100

Colour: TypeAlias = str
Point: TypeAlias = tuple[float, float]


class Canvas:
    """A square picture; the origin is at the upper left. Colours are written as in `#f3e2c7`."""

    def __init__(self, top: Colour, bottom: Colour) -> None:
        """The background runs from one colour down to the other."""
        side = SIDE * _LARGER
        slope = Image.linear_gradient("L").resize((side, side))
        self._image = Image.composite(
            Image.new("RGB", (side, side), bottom), Image.new("RGB", (side, side), top), slope
        )
        self._draw = ImageDraw.Draw(self._image)

    def ellipse(self, x: float, y: float, width: float, height: float, fill: Colour, angle: float = 0) -> None:
        """An ellipse around that point, turned clockwise by so many degrees."""
        steps = range(0, 360, 5)
        points = [
            (width / 2 * math.cos(math.radians(step)), height / 2 * math.sin(math.radians(step))) for step in steps
        ]
        self.polygon([turned(point, angle, (x, y)) for point in points], fill)

    def box(self, x: float, y: float, width: float, height: float, fill: Colour, radius: float = 0) -> None:
        """A box whose upper left corner is there."""
        corners = (x * _UNIT, y * _UNIT, (x + width) * _UNIT, (y + height) * _UNIT)
        self._draw.rounded_rectangle(corners, radius * _UNIT, fill=fill)

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        """A shape with these corners."""
        self._draw.polygon([(x * _UNIT, y * _UNIT) for x, y in points], fill=fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """A line through these points with round ends and bends."""
        scaled = [(x * _UNIT, y * _UNIT) for x, y in points]
        self._draw.line(scaled, fill=fill, width=round(width * _UNIT), joint="curve")
        half = width * _UNIT / 2
        for x, y in (scaled[0], scaled[-1]):
            self._draw.ellipse((x - half, y - half, x + half, y + half), fill=fill)

    def curve(self, begin: Point, bend: Point, end: Point, width: float, fill: Colour) -> None:
        """A line from one point to another that is drawn towards a third."""
        points = []
        for step in range(25):
            t = step / 24
            points.append(
                tuple(
                    (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t * t * c for a, b, c in zip(begin, bend, end, strict=True)
                )
            )
        self.line([(x, y) for x, y in points], width, fill)

    def shadow(self, x: float, y: float, width: float, height: float) -> None:
        """A soft shadow on the ground around that point."""
        mask = Image.new("L", self._image.size)
        box = tuple(round(each * _UNIT) for each in (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        ImageDraw.Draw(mask).ellipse((box[0], box[1], box[2], box[3]), fill=70)
        # Blurring a small copy looks the same and costs a hundredth.
        small = mask.resize((100, 100)).filter(ImageFilter.GaussianBlur(1.6)).resize(mask.size)
        self._image.paste(Image.new("RGB", mask.size, "#3a2c20"), (0, 0), small)

    def text(self, x: float, y: float, text: str, size: float, fill: Colour) -> None:
        """A text around that point."""
        self._draw.text((x * _UNIT, y * _UNIT), text, fill=fill, font_size=size * _UNIT, anchor="mm")

    def png(self) -> bytes:
        """The picture as a file."""
        out = io.BytesIO()
        self._image.reduce(_LARGER).save(out, "PNG", compress_level=1)
        return out.getvalue()


def turned(point: Point, angle: float, around: Point = (0, 0)) -> Point:
    """The point, as seen from the middle, turned clockwise by so many degrees and moved to `around`."""
    radians = math.radians(angle)
    x, y = point
    return (
        around[0] + x * math.cos(radians) - y * math.sin(radians),
        around[1] + x * math.sin(radians) + y * math.cos(radians),
    )
