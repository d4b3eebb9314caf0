"""What a flower shop sells."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from marketd.demo.drawing.canvas import Canvas, Colour, turned


def _leaf(canvas: Canvas, x: float, y: float, size: float, angle: float, colour: Colour) -> None:
    canvas.ellipse(x, y, size, size * 0.42, colour, angle)
    canvas.line([turned((-size * 0.42, 0), angle, (x, y)), turned((size * 0.42, 0), angle, (x, y))], 0.5, "#ffffff")


def _flower(canvas: Canvas, x: float, y: float, size: float, petals: Colour, heart: Colour, turn: float) -> None:
    for place in range(6):
        canvas.ellipse(
            *turned((size * 0.32, 0), place * 60 + turn, (x, y)), size * 0.46, size * 0.34, petals, place * 60 + turn
        )
    canvas.ellipse(x, y, size * 0.34, size * 0.34, heart)


def _rose(canvas: Canvas, x: float, y: float, size: float, colours: Sequence[Colour]) -> None:
    for place, colour in enumerate(colours):
        part = size * (1 - place * 0.22)
        canvas.ellipse(x + (place % 2) * 0.6, y - place * 0.5, part, part * 0.94, colour)
    canvas.curve(
        (x - size * 0.12, y), (x + size * 0.14, y - size * 0.22), (x + size * 0.1, y + size * 0.1), 0.7, "#6d0f22"
    )


def _wrapping(canvas: Canvas, paper: Colour, fold: Colour, ribbon: Colour) -> None:
    canvas.polygon([(24, 50), (76, 50), (57, 90), (43, 90)], paper)
    canvas.polygon([(24, 50), (50, 56), (46, 90), (43, 90)], fold)
    canvas.polygon([(36.5, 70), (63.5, 70), (61.4, 74.6), (38.6, 74.6)], ribbon)
    for side in (-1, 1):
        canvas.polygon([(50, 72.3), (50 + side * 10, 67), (50 + side * 10, 77.6)], ribbon)
        canvas.line([(50, 73), (50 + side * 4.5, 84)], 1.6, ribbon)
    canvas.ellipse(50, 72.3, 4.4, 4.4, fold)


def bouquet(canvas: Canvas, chance: Random) -> None:
    """Flowers of the season in paper."""
    canvas.shadow(50, 91, 34, 6)
    for _ in range(16):
        _leaf(canvas, chance.uniform(24, 76), chance.uniform(26, 54), 20, chance.uniform(-150, -30), "#5d8f5a")
    blooms = [(50, 26), (34, 32), (66, 32), (25, 44), (75, 44), (42, 42), (58, 42), (50, 54), (34, 53), (66, 53)]
    colours = ("#f2a65a", "#e8646f", "#f7d154", "#c77dbb", "#fdf3e7")
    for place, (x, y) in enumerate(blooms):
        _flower(canvas, x, y, 17, colours[place % 5], "#8a5a2b" if place % 5 else "#fff0c2", chance.uniform(0, 60))
    _wrapping(canvas, "#e9d7bd", "#d6bf9d", "#b04a5a")


def roses(canvas: Canvas, chance: Random) -> None:
    """Red roses in paper."""
    canvas.shadow(50, 91, 34, 6)
    for _ in range(14):
        _leaf(canvas, chance.uniform(24, 76), chance.uniform(30, 56), 18, chance.uniform(-150, -30), "#3f7048")
    for x, y in ((50, 24), (36, 30), (64, 30), (26, 42), (74, 42), (43, 40), (57, 40), (35, 52), (65, 52), (50, 54)):
        _rose(canvas, x, y, 15, ("#8f1530", "#b3203c", "#cf3650", "#e2607a"))
    _wrapping(canvas, "#f3ece3", "#dfd3c4", "#8f1530")


def dried(canvas: Canvas, chance: Random) -> None:
    """Grasses and heath, bound in the middle."""
    canvas.shadow(50, 90, 34, 6)
    for place in range(24):
        x = 22 + place * 2.45
        top = 16 + abs(50 - x) * 0.45 + chance.uniform(-5, 6)
        canvas.curve((50 + (x - 50) * -0.22, 90), (50, 66), (x, top), 0.8, "#a98f5f")
        for step in range(5):
            colour = chance.choice(("#c8a15a", "#b0718d", "#d8c08c", "#9a6a86"))
            canvas.ellipse(x + (x - 50) * -0.035 * step, top + step * 4, 3, 4.6, colour, (x - 50) * 0.9)
    canvas.box(44, 64, 12, 6, "#7b5a3a", 1.6)
    canvas.line([(50, 68), (44, 78)], 1.2, "#7b5a3a")
    canvas.line([(50, 68), (57, 79)], 1.2, "#7b5a3a")


def _pot(canvas: Canvas, x: float, width: float, height: float, colour: Colour, rim: Colour) -> None:
    half = width / 2
    canvas.polygon(
        [(x - half, 88 - height), (x + half, 88 - height), (x + half * 0.76, 88), (x - half * 0.76, 88)], colour
    )
    canvas.box(x - half - 1.4, 86.4 - height, width + 2.8, height * 0.24, rim, 1)


def monstera(canvas: Canvas, chance: Random) -> None:
    """Large leaves with cuts in them."""
    canvas.shadow(50, 89, 46, 7)
    leaves = ((50, 24, 30, -90), (30, 36, 27, -142), (70, 36, 27, -38), (27, 58, 22, 168), (74, 57, 22, 12))
    for x, y, _, _ in leaves:
        canvas.curve((50, 68), (50, 52), (x, y), 1.5, "#3c6b3f")
    for x, y, size, angle in leaves:
        canvas.ellipse(x, y, size, size * 0.8, "#4d8b52", angle)
        canvas.line([turned((-size * 0.4, 0), angle, (x, y)), turned((size * 0.46, 0), angle, (x, y))], 0.8, "#9cc79a")
        for side in (-1, 1):
            for place in range(3):
                inner = turned((-size * 0.16 + place * size * 0.2, side * size * 0.12), angle, (x, y))
                outer = turned((-size * 0.04 + place * size * 0.22, side * size * 0.29), angle, (x, y))
                canvas.line([inner, outer], 1.5, "#dfe8d6")
    _pot(canvas, 50, 34, 22, "#c9754b", "#dc8a5f")
    chance.random()


def olive_tree(canvas: Canvas, chance: Random) -> None:
    """A small tree with a round crown."""
    canvas.shadow(50, 89, 44, 7)
    canvas.curve((50, 70), (47, 58), (50, 44), 3, "#7d6248")
    canvas.ellipse(50, 33, 50, 42, "#7f9a76")
    for _ in range(110):
        angle, far = chance.uniform(0, 360), chance.uniform(0, 1) ** 0.5
        x, y = turned((24 * far, 0), angle, (50, 33))
        canvas.ellipse(x, y, 6.4, 2.1, chance.choice(("#8fab86", "#6c8a66", "#a9c09e")), chance.uniform(0, 180))
    for _ in range(12):
        canvas.ellipse(chance.uniform(32, 68), chance.uniform(22, 46), 2.6, 3.4, "#4a4a36")
    _pot(canvas, 50, 32, 20, "#e4ded2", "#f3eee4")


def herbs(canvas: Canvas, chance: Random) -> None:
    """Three pots of herbs in a box."""
    canvas.shadow(50, 89, 78, 7)
    for x, colour in ((26, "#5fa052"), (50, "#4c8560"), (74, "#7fae4f")):
        for _ in range(34):
            _leaf(canvas, x + chance.uniform(-11, 11), chance.uniform(30, 62), 9, chance.uniform(-170, -10), colour)
        _pot(canvas, x, 18, 22, "#c9754b", "#dc8a5f")
    canvas.box(11, 72, 78, 17, "#b58a5a", 1.4)
    canvas.box(11, 79.6, 78, 1.2, "#8f6a42")
    canvas.text(50, 76, "HERBS", 4.4, "#fbeeda")


def vase(canvas: Canvas, chance: Random) -> None:
    """A vase of glass with one branch."""
    canvas.shadow(50, 89, 40, 7)
    canvas.curve((50, 74), (46, 44), (57, 12), 1.3, "#6c8a5b")
    for step in range(7):
        y = 16 + step * 6
        side = 1 if step % 2 else -1
        _leaf(canvas, 55 - step * 0.9 + side * 6.5, y + 2, 13, side * -28 if side > 0 else 208, "#86ad77")
    canvas.polygon([(40, 44), (60, 44), (56, 56), (69, 78), (62, 88), (38, 88), (31, 78), (44, 56)], "#bcdde0")
    canvas.polygon([(42.5, 62), (57.5, 62), (66.5, 78), (61, 86), (39, 86), (33.5, 78)], "#93c5cc")
    canvas.ellipse(50, 44, 20, 4.4, "#dff0f1")
    canvas.ellipse(50, 62, 15.4, 3, "#b3dade")
    canvas.curve((39, 64), (35, 72), (38, 82), 1.5, "#f3fbfb")
    chance.random()


def card(canvas: Canvas, chance: Random) -> None:
    """A card with a flower before its envelope."""
    canvas.shadow(50, 84, 70, 8)
    canvas.box(18, 44, 60, 38, "#c9a27e", 1.6)
    canvas.polygon([(18, 45), (78, 45), (48, 66)], "#b78d67")
    canvas.box(36, 18, 44, 58, "#fffaf2", 1.4)
    canvas.box(39, 21, 38, 52, "#f6e6e0", 1)
    canvas.curve((58, 64), (56, 52), (58, 40), 1.2, "#6c8a5b")
    _leaf(canvas, 64, 54, 11, -28, "#86ad77")
    _leaf(canvas, 51.5, 58, 11, 208, "#86ad77")
    _flower(canvas, 58, 36, 22, "#e8808c", "#f7d154", 12)
    chance.random()
