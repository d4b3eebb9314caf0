"""What a bakery and a café have on the shelf."""

from __future__ import annotations

import math
from random import Random

from marketd.demo.drawing.canvas import Canvas, Colour, turned

_CRUST, _LIGHT, _DARK = "#b8743a", "#e0a96d", "#8a5226"


def loaf(canvas: Canvas, chance: Random, crust: Colour = _CRUST, *, seeds: bool = False) -> None:
    """A round bread with three cuts; with seeds, if it has any."""
    canvas.shadow(50, 76, 70, 12)
    canvas.ellipse(50, 57, 68, 44, crust)
    canvas.ellipse(50, 53, 62, 34, _LIGHT if crust == _CRUST else "#a9713f")
    for x in (34, 50, 66):
        canvas.curve((x - 5, 66), (x + 5, 54), (x + 2, 41), 3.4, "#f7e3c0")
    for _ in range(60 if seeds else 14):
        angle, far = chance.uniform(0, 360), chance.uniform(0.2, 1) ** 0.5
        x, y = 50 + 27 * far * math.cos(angle), 54 + 15 * far * math.sin(angle)
        canvas.ellipse(x, y, 2.1, 1.1, "#f3e6c8" if seeds else "#fff6e4", chance.uniform(0, 180))


def baguette(canvas: Canvas, chance: Random) -> None:
    """Two long loaves, one over the other."""
    canvas.shadow(50, 74, 76, 12)
    for x, y, angle in ((47, 57, -24), (54, 50, -32)):
        canvas.ellipse(x, y, 84, 15, _DARK, angle)
        canvas.ellipse(x, y - 1, 82, 12.5, "#d6994f", angle)
        for place in range(-3, 4):
            cut = turned((place * 10.5, -0.5), angle, (x, y))
            canvas.ellipse(*cut, 9, 3.2, "#f6dfb4", angle + 28)
    chance.random()


def croissant(canvas: Canvas, chance: Random) -> None:
    """A crescent of seven folds."""
    canvas.shadow(50, 72, 70, 10)
    for place in (-3, 3, -2, 2, -1, 1, 0):
        angle = place * 24
        x, y = 50 + 31 * math.sin(math.radians(angle)), 78 - 31 * math.cos(math.radians(angle))
        size = 27 - abs(place) * 4.2
        canvas.ellipse(x, y, size * 0.95, size * 1.15, _DARK, angle)
        canvas.ellipse(x, y - 1, size * 0.82, size, "#d9973f", angle)
        canvas.ellipse(x - 1.5, y - size * 0.22, size * 0.4, size * 0.3, "#f0c274", angle)
    chance.random()


def knot(canvas: Canvas, chance: Random) -> None:
    """A rolled bun with cinnamon in its turns and sugar on top."""
    canvas.shadow(50, 76, 64, 12)
    canvas.ellipse(50, 54, 60, 50, _DARK)
    canvas.ellipse(50, 52, 57, 46, "#dba35c")
    points = []
    for step in range(110):
        angle, far = step * 0.165, 1.5 + step * 0.215
        points.append((50 + far * math.cos(angle), 52 + far * 0.8 * math.sin(angle)))
    canvas.line(points, 3.2, "#8a4a22")
    canvas.line([(x - 0.7, y - 0.9) for x, y in points], 0.9, "#b87840")
    for _ in range(26):
        canvas.box(chance.uniform(32, 66), chance.uniform(38, 64), 1.8, 1.8, "#fff8ea", 0.4)


def almond_slice(canvas: Canvas, chance: Random) -> None:
    """A flat slice with flakes of almond."""
    canvas.shadow(50, 74, 74, 10)
    canvas.polygon([(16, 56), (62, 42), (86, 54), (40, 70)], "#e3ae62")
    canvas.polygon([(16, 56), (40, 70), (40, 76), (16, 62)], "#a86a30")
    canvas.polygon([(40, 70), (86, 54), (86, 60), (40, 76)], "#c98845")
    for _ in range(46):
        a, b = chance.uniform(0.06, 0.94), chance.uniform(0.08, 0.92)
        x, y = 16 + 46 * a + 24 * b, 56 - 14 * a + 14 * b
        canvas.ellipse(x, y, 4.6, 2.2, chance.choice(("#fdf0d0", "#f6deb0", "#fff7e2")), chance.uniform(-40, 40))


def tart(canvas: Canvas, chance: Random, filling: Colour = "#f7d44c") -> None:
    """A tart from above, with slices of lemon."""
    canvas.shadow(50, 60, 78, 66)
    for place in range(32):
        canvas.ellipse(*turned((34, 0), place * 11.25, (50, 52)), 8, 8, "#c98a4b")
    canvas.ellipse(50, 52, 68, 68, "#dca466")
    canvas.ellipse(50, 52, 60, 60, filling)
    canvas.ellipse(47, 49, 50, 48, "#fae37d")
    for angle in (20, 140, 260):
        x, y = turned((14, 0), angle, (50, 52))
        canvas.ellipse(x, y, 19, 19, "#f0b92f")
        canvas.ellipse(x, y, 16, 16, "#fff3b8")
        for part in range(8):
            canvas.line([(x, y), turned((7.4, 0), part * 45 + angle, (x, y))], 0.8, "#f0c63f")
    chance.random()


def cake(canvas: Canvas, chance: Random) -> None:
    """Two storeys with icing and berries."""
    canvas.shadow(50, 82, 72, 12)
    canvas.ellipse(50, 79, 72, 10, "#f4efe6")
    for x, y, width, height, colour in ((22, 56, 56, 23, "#f3b9c6"), (32, 36, 36, 22, "#fbe3e8")):
        canvas.box(x, y, width, height, colour, 2.5)
        canvas.box(x, y + height * 0.62, width, 2.2, "#c9788c")
        canvas.box(x - 1, y - 2, width + 2, 6, "#fffaf4", 3)
        for place in range(int((width - 4) // 7.2) + 1):
            canvas.ellipse(x + 3.4 + place * 7.2, y + 4, 5.4, 4 + 6 * chance.random(), "#fffaf4")
    for x in (38, 46, 54, 62):
        canvas.ellipse(x, 33, 6.4, 6.4, "#c02a4a")
        canvas.ellipse(x - 1.2, 31.6, 1.8, 1.4, "#f0a0b0")
    canvas.line([(50, 30), (50, 17)], 1.6, "#6fb7c9")
    canvas.ellipse(50, 14, 3.4, 5.6, "#f6b531")


def cup(canvas: Canvas, chance: Random, colour: Colour = "#5f7f86") -> None:
    """A cup of coffee."""
    canvas.shadow(48, 80, 62, 10)
    canvas.ellipse(76, 53, 24, 24, colour)
    canvas.ellipse(76, 53, 14, 14, "#e8dccb")
    canvas.polygon([(24, 36), (74, 36), (67, 78), (31, 78)], colour)
    canvas.ellipse(49, 78, 36, 6, colour)
    canvas.polygon([(24, 36), (74, 36), (72.5, 45), (25.5, 45)], "#e9dfcf")
    canvas.ellipse(49, 36, 50, 13, "#efe6d8")
    canvas.ellipse(49, 36.6, 44, 10, "#4a2c1a")
    canvas.ellipse(46, 36, 20, 4.4, "#7a4d2c")
    for x in (40, 50, 60):
        canvas.curve((x, 27), (x + 5, 21), (x - 1, 14), 1.4, "#ffffff")
    for _ in range(30):
        canvas.ellipse(chance.uniform(32, 66), chance.uniform(49, 74), 0.9, 0.9, "#4d6a70")
