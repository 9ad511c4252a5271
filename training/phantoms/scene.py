"""A canvas in centimetres (or any unit of length), and shapes whose outlines are bent by smooth random fields."""

from collections.abc import Sequence

import numpy as np

from ibisagent.training.phantoms.canvas import FAR, Field, PhantomCanvas, spline_field
from ibisagent.training.phantoms.scatter import stamp_ellipses

__all__ = ["Point", "Scene", "smooth_max", "smooth_min"]

Point = tuple[float, float]


def smooth_max(first: Field, second: Field, width: float) -> Field:
    """Return the larger of two levels, rounded where they differ by less than ``width``."""
    near = np.clip(1 - np.abs(first - second) / np.float32(width), 0, 1)
    return np.asarray(np.maximum(first, second) + near * near * np.float32(width / 4), np.float32)


def smooth_min(first: Field, second: Field, width: float) -> Field:
    """Return the smaller of two levels, rounded where they differ by less than ``width``."""
    return -smooth_max(-first, -second, width)


class Scene(PhantomCanvas):
    """A canvas whose X and Y are lengths, and whose levels are lengths inside a border, < 0 outside.

    ``field``: the side of the picture; ``middle``: the point in its middle; ``warp``: a smooth displacement of all.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        size: int,
        field: float,
        *,
        middle: Point = (0.0, 0.0),
        channels: int = 1,
        background: float = 0.0,
        warp: float = 0.0,
        turn: float = 0.04,
    ) -> None:
        """Lay the field of view over the scene, turned by a deviation of ``turn`` radians."""
        super().__init__(rng, size, channels=channels, background=background, warp=0, turn=0, shift=0, scale=0)
        self.field, self.middle, self.per_unit, self.angle = field, middle, size / field, float(rng.normal(0, turn))
        self.set_view(field / 2)
        c, s = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        x, y = self.X, self.Y
        self.X = x * c - y * s + np.float32(middle[0]) + np.float32(warp) * self.smooth_field(4)
        self.Y = x * s + y * c + np.float32(middle[1]) + np.float32(warp) * self.smooth_field(4)

    def bumps(self, length: float) -> Field:
        """Draw a smooth random field, deviation 1, whose bumps are about ``length`` long; finer ones average out."""
        return spline_field(self.rng, self.size, int(np.clip(round(self.field / length), 1, 160)))

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        angle: float = 0.0,
        rough: float = 0.1,
        power: float = 2.0,
        *,
        margin: float = 0.0,
    ) -> Field:
        """Return the level of an ellipse whose outline is bent by ``rough`` of its smaller half axis.

        Further out than ``margin``, and a little more, it is not evaluated.
        """
        small, c, s = min(rx, ry), np.float32(np.cos(angle)), np.float32(np.sin(angle))
        bent: Field | None = None
        if rough:
            bent = self.bumps(1.7 * small) + 0.45 * self.bumps(0.7 * small)

        def level(px: Field, py: Field) -> Field:
            u = ((px - np.float32(x)) * c + (py - np.float32(y)) * s) / np.float32(rx)
            v = ((py - np.float32(y)) * c - (px - np.float32(x)) * s) / np.float32(ry)
            radius = np.hypot(u, v) if power == 2 else (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
            return np.asarray((1 - radius) * np.float32(small), np.float32)

        out = self.evaluate_near(x, y, (max(rx, ry) + margin) * (1.25 + 2.5 * rough) + 0.02 * self.field, level)
        return out if bent is None else np.asarray(out + np.float32(rough * small) * bent, np.float32)

    def path(self, points: Sequence[Point], radii: Sequence[float], rough: float = 0.1) -> Field:
        """Return the level of a tube through ``points`` whose radius changes from point to point."""
        out = np.full_like(self.X, FAR)
        for (ax, ay), (bx, by), ra, rb in zip(points, points[1:], radii, radii[1:], strict=False):
            dx, dy = bx - ax, by - ay

            def level(
                x: Field, y: Field, a: Point = (ax, ay), d: Point = (dx, dy), r: tuple[float, float] = (ra, rb)
            ) -> Field:
                along = np.clip(
                    ((x - np.float32(a[0])) * np.float32(d[0]) + (y - np.float32(a[1])) * np.float32(d[1]))
                    / np.float32(d[0] ** 2 + d[1] ** 2 + 1e-9),
                    0,
                    1,
                )
                off = np.hypot(x - np.float32(a[0]) - along * np.float32(d[0]),
                               y - np.float32(a[1]) - along * np.float32(d[1]))  # fmt: skip
                return np.asarray(np.float32(r[0]) + along * np.float32(r[1] - r[0]) - off, np.float32)

            reach = np.hypot(dx, dy) / 2 + 2.5 * max(ra, rb) + 0.02 * self.field
            piece = self.evaluate_near((ax + bx) / 2, (ay + by) / 2, float(reach), level)
            out = np.maximum(out, piece)
        thin = min(radii)
        return out if not rough else np.asarray(out + np.float32(rough * thin) * self.bumps(1.8 * thin), np.float32)

    def pick_inside(self, level: Field, margin: float, tries: int = 60) -> Point | None:
        """Draw a point in view whose level is over ``margin``; None where none of the tries is."""
        at, inside = self.rng.random((tries, 2)), level > margin
        low, high = [], []
        for axis in (1, 0):
            found = np.flatnonzero(inside.any(axis=axis))
            if not found.size:
                return None
            low.append(found[0])
            high.append(found[-1] + 1)
        rows, columns = (np.array(low) + at * (np.array(high) - np.array(low))).astype(np.int32).T
        for row, column in zip(rows, columns, strict=True):
            if inside[row, column]:
                return float(self.X[row, column]), float(self.Y[row, column])
        return None

    def fill(
        self, level: Field, value: object, *, soft: float = 0.8, name: str | None = None, clip: Field | None = None
    ) -> Field:
        """Paint ``value`` inside a level in units of length; see `PhantomCanvas.paint_shape`."""
        return self.paint_shape(level * np.float32(self.per_unit), value, soft, name=name, clip=clip)

    def covered(self, level: Field, soft: float = 0.8) -> Field:
        """Return the coverage of a level; ``soft`` in pixels of a 256-pixel picture."""
        slope = np.float32(self.per_unit / (2 * max(soft * self.px, 0.5)))
        return np.asarray(np.clip(0.5 + level * slope, 0, 1), np.float32)

    def stamp(self, x: Field, y: Field, radius: Field, softness: float = 0.8) -> Field:
        """Return the coverage of discs, given in units of length; the scene's warp does not bend them."""
        c, s, half = np.cos(self.angle), np.sin(self.angle), self.field / 2
        dx, dy = x - self.middle[0], y - self.middle[1]
        at = (dx * c + dy * s) / half, (dy * c - dx * s) / half
        return stamp_ellipses(self.size, at, radius / half, softness=softness)

    def grow_tree(
        self, start: Point, angle: float, radius: float, length: float, depth: int, spread: float = 0.5
    ) -> tuple[Field, Field, Field]:
        """Grow a branching vessel; return x, y and radius of the discs along it. ``length``: of the first branch."""
        rng, parts = self.rng, []
        tips = [(start[0], start[1], angle, radius, length)]
        for _ in range(depth):
            grown = []
            for x, y, turn, r, long in tips:
                steps = 16
                turns = turn + np.cumsum(rng.normal(0, 0.13, steps))
                xs, ys = x + np.cumsum(np.cos(turns)) * long / steps, y + np.cumsum(np.sin(turns)) * long / steps
                parts.append(np.stack([xs, ys, np.linspace(r, 0.82 * r, steps)]))
                for side in (-1, 1):
                    thin = r * rng.uniform(0.55, 0.85)
                    grown.append((xs[-1], ys[-1], turns[-1] + side * rng.uniform(0.4, 1.6) * spread, thin,
                                  long * rng.uniform(0.55, 0.95)))  # fmt: skip
            tips = grown
        x, y, r = np.concatenate(parts, axis=1).astype(np.float32)
        return x, y, r
