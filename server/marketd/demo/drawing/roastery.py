"""What a coffee roastery sells besides cups."""

from __future__ import annotations

from random import Random

from marketd.demo.drawing.canvas import Canvas, Colour


def _bean(canvas: Canvas, x: float, y: float, size: float, angle: float, colour: Colour = "#5a3420") -> None:
    canvas.ellipse(x, y, size, size * 0.68, colour, angle)
    canvas.ellipse(x, y, size * 0.86, size * 0.1, "#2e180d", angle + 8)


def bag(canvas: Canvas, chance: Random, colour: Colour) -> None:
    """A bag of beans with a label, and some beans before it."""
    canvas.shadow(50, 86, 62, 9)
    canvas.polygon([(30, 24), (70, 24), (74, 84), (26, 84)], colour)
    canvas.polygon([(30, 24), (38, 24), (36, 84), (26, 84)], _darker(colour))
    canvas.polygon([(28.5, 15), (71.5, 15), (70, 26), (30, 26)], _darker(colour))
    canvas.box(31, 18.5, 38, 2.2, "#e9dcc6", 1)
    canvas.box(35, 40, 31, 30, "#f6eddd", 2)
    _bean(canvas, 50.5, 51, 15, -35)
    canvas.box(40, 61, 21, 1.8, colour, 0.9)
    canvas.box(43.5, 64.6, 14, 1.4, "#b8a78d", 0.7)
    for _ in range(9):
        _bean(canvas, chance.uniform(18, 82), chance.uniform(84, 90), 6, chance.uniform(0, 180))


def bottle(canvas: Canvas, chance: Random) -> None:
    """A bottle of cold coffee."""
    canvas.shadow(50, 88, 40, 7)
    canvas.box(43, 12, 14, 9, "#2f2a28", 2)
    canvas.polygon([(45, 20), (55, 20), (57, 32), (64, 40), (64, 60), (36, 60), (36, 40), (43, 32)], "#6b3e22")
    canvas.box(36, 38, 28, 50, "#53301b", 5)
    canvas.box(36, 50, 28, 24, "#f2e7d2")
    canvas.ellipse(50, 59, 10, 10, "#c58a4a")
    canvas.box(41, 67.5, 18, 2, "#53301b", 1)
    canvas.box(39, 40, 2.4, 46, "#8d5d3b", 1.2)
    for x, y in ((24, 86), (76, 86), (80, 80)):
        canvas.box(x - 4, y - 4, 8, 8, "#dceef4", 1.6)
        canvas.box(x - 2.6, y - 2.8, 2.4, 3.6, "#ffffff", 0.8)
    chance.random()


def carton(canvas: Canvas, chance: Random) -> None:
    """A carton of oat milk with an ear of oats."""
    canvas.shadow(50, 88, 50, 8)
    canvas.polygon([(32, 34), (60, 34), (60, 88), (32, 88)], "#f4ead5")
    canvas.polygon([(60, 34), (72, 30), (72, 83), (60, 88)], "#d9c7a2")
    canvas.polygon([(32, 34), (60, 34), (66, 20), (38, 20)], "#8fb08c")
    canvas.polygon([(60, 34), (72, 30), (66, 20)], "#6f9270")
    canvas.box(37.5, 15.5, 29, 5.5, "#6f9270", 1)
    canvas.box(32, 74, 28, 14, "#8fb08c")
    canvas.line([(46, 70), (46, 46)], 1, "#b58b3d")
    for place in range(5):
        for side in (-1, 1):
            canvas.ellipse(46 + side * 3.6, 64 - place * 4.6, 3.2, 6.4, "#d3a550", side * 28)
    canvas.ellipse(46, 40.5, 3.2, 6.4, "#d3a550")
    chance.random()


def pour_over(canvas: Canvas, chance: Random) -> None:
    """A cone with paper on a glass server."""
    canvas.shadow(50, 88, 56, 8)
    canvas.polygon([(36, 52), (64, 52), (74, 84), (26, 84)], "#cfe3e6")
    canvas.ellipse(50, 84, 48, 8, "#b9d3d7")
    canvas.polygon([(31.5, 68), (68.5, 68), (73, 83), (27, 83)], "#5b341d")
    canvas.ellipse(50, 83.4, 46, 6.6, "#4a2917")
    canvas.ellipse(50, 68, 37, 4.6, "#7d4d2d")
    canvas.line([(71, 60), (82, 62), (80, 78), (73, 79)], 2.6, "#8a5a34")
    canvas.box(33, 49, 34, 4.4, "#b57a48", 2)
    canvas.polygon([(24, 22), (76, 22), (56, 50), (44, 50)], "#f7f2e8")
    canvas.polygon([(28, 28), (72, 28), (56, 50), (44, 50)], "#d8804f")
    canvas.ellipse(50, 22, 52, 10, "#fffdf8")
    canvas.ellipse(50, 22.6, 44, 7.4, "#60381f")
    canvas.line([(50, 54), (50, 60)], 1.2, "#5b341d")
    chance.random()


def grinder(canvas: Canvas, chance: Random) -> None:
    """A hand mill with its crank."""
    canvas.shadow(50, 88, 44, 8)
    canvas.line([(50, 20), (76, 15)], 2.6, "#4c5358")
    canvas.ellipse(78, 13.5, 8, 8, "#7a4a28")
    canvas.box(47.6, 18, 4.8, 12, "#4c5358", 1)
    canvas.box(34, 28, 32, 30, "#aab4b9", 3)
    canvas.box(37, 28, 5, 30, "#d5dde0", 1)
    canvas.box(32, 56, 36, 6, "#6e7a80", 2)
    canvas.box(35, 61, 30, 26, "#8a5630", 3)
    canvas.box(38, 61, 4.6, 26, "#a8703f", 1)
    for _ in range(8):
        _bean(canvas, chance.uniform(16, 84), chance.uniform(85, 91), 6, chance.uniform(0, 180))


def _darker(colour: Colour) -> Colour:
    return "#" + "".join(f"{int(int(colour[at : at + 2], 16) * 0.78):02x}" for at in (1, 3, 5))
