"""Painting a face on the head's surface: skin, beard, mouth, eyes, nose, brows.

x, y are head coordinates under each pixel (geometry.Surface), so that features foreshorten and hide
by themselves; `px` is a pixel's width there. The order of calls is the order of layers.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.world import curves
from dynamicid_jax.world.geometry import Surface, nose_points, seen
from dynamicid_jax.world.identity import EYE_Y, Looks
from dynamicid_jax.world.motion import Knobs, Motion
from dynamicid_jax.world.paint import Light, Plane, Planes, cover, lit, put, rgb, shade, soft
from dynamicid_jax.world.shapes import blend, box, circle, ellipse, ramp, segment


class Canvas(NamedTuple):
    """One head's place in the picture: where each pixel is, and what was found there."""

    u: Plane  # head units in the picture's own plane
    v: Plane
    px: Float[Array, ""]  # a pixel's width
    turn: Float[Array, "3 3"]
    face: Surface
    head: Plane  # signed distance to the head's outline
    room: Float[Array, ""]  # to the middle between this head and its neighbour's
    light: Light

    @property
    def skin_px(self) -> Plane:
        """A pixel's width on the surface, which grows where it turns away."""
        return self.px / jnp.maximum(self.face.facing, 0.35)


def paint_skin(picture: Planes, c: Canvas, look: Looks, knob: Knobs) -> Planes:
    """The head itself: rounded by the light, blushing, pale or green, freckled."""
    s = c.face
    colour = lit(look.skin, s.right, s.down, s.facing, c.light, 0.8)
    side = jnp.abs(s.x)
    cheek = ellipse(side - 0.47, s.y - 0.3, 0.2, 0.14)
    rosy = look.skin * rgb(1.0, 0.62, 0.6) + rgb(0.06, 0.0, 0.01)
    colour = put(colour, soft(cheek, 0.1) * jnp.minimum(look.blush + knob.flush * 0.35, 0.8), rosy)
    red = look.skin * rgb(1.0, 0.55, 0.5) + rgb(0.08, 0.0, 0.0)
    angry = jnp.maximum(knob.flush - 0.5, 0.0)  # the whole face only in anger
    colour = put(colour, soft(s.y - 0.1, 0.9) * angry * 0.8, red)
    blue = look.skin * rgb(0.66, 0.76, 0.9) + rgb(0.04, 0.07, 0.12)
    colour = put(colour, soft(s.y + 0.12, 0.3) * jnp.clip(knob.pale, 0, 1) * 0.7, blue)
    green = look.skin * rgb(0.7, 0.92, 0.55) + rgb(0.02, 0.06, 0.0)
    sick = soft(ellipse(side - 0.3, s.y - 0.35, 0.3, 0.3), 0.3) * jnp.clip(knob.green, 0, 1) * 0.6
    colour = put(colour, sick, green)
    socket = ellipse(side - look.eye_x, s.y - EYE_Y + 0.06, look.eye_w * 1.25, look.eye_h * 1.5)
    colour = put(colour, soft(socket, 0.08) * 0.16, shade(look.skin, 0.5))
    dots = _dots(side, s.y) * look.freckles * 0.55
    colour = put(colour, dots, shade(look.skin, 0.4))
    mole = circle(s.x - 0.3, s.y - look.mouth_y + 0.1, 0.026)
    colour = put(colour, cover(mole, c.skin_px) * look.mole, look.skin * 0.3)
    return put(picture, cover(c.head, c.px), colour)


def _dots(side: Plane, y: Plane) -> Plane:
    """Freckles over cheeks and nose: a slanted grid of soft dots inside a band."""
    p, q = (side * 0.94 + y * 0.34) * 11.0, (y * 0.94 - side * 0.34) * 11.0
    near = (p - jnp.round(p)) ** 2 + (q - jnp.round(q)) ** 2
    band = soft(ellipse(side - 0.36, y - 0.22, 0.3, 0.1), 0.05)
    return jnp.clip(1.6 - near * 22.0, 0.0, 1.0) * band


def paint_beard(picture: Planes, c: Canvas, look: Looks, knob: Knobs) -> Planes:
    """Stubble, moustache, goatee or a full beard, of the hair's colour."""
    s, kind = c.face, look.beard
    side = jnp.abs(s.x)
    drop = s.y - look.mouth_y
    line = look.mouth_y - 0.08 - 0.42 * ramp(0.45, 0.98, side / look.width)
    whole = jnp.maximum(line - s.y, -ellipse(s.x, drop + 0.06, 0.3, 0.13))
    whole = jnp.maximum(whole, side - look.width)
    goatee = blend(ellipse(s.x, drop - 0.36, 0.25, 0.18), ellipse(s.x, drop - 0.16, 0.1, 0.1), 0.12)
    colour = lit(look.brow_colour * 1.15, s.right, s.down, s.facing, c.light, 0.7)
    # A beard reaches a little beyond the chin.
    edge = c.head - 0.06 * ramp(0.35, 0.7, s.y) * ((kind == 3) | (kind == 4))
    stubble = jnp.minimum(cover(c.head, c.px), soft(whole + 0.06, 0.16)) * (kind == 1) * 0.36
    grey = look.skin * rgb(0.5, 0.46, 0.5)
    picture = put(picture, stubble, grey)
    shape = jnp.where(kind == 4, whole, goatee)
    soft_px = jnp.maximum(c.skin_px, 0.03)
    on = jnp.minimum(cover(edge, c.px), cover(shape, soft_px)) * ((kind == 3) | (kind == 4))
    picture = put(picture, on, colour)
    top = curves.mouth(look, knob, s.x / curves.mouth_width(look, knob)).outer_top
    reach = look.mouth_w * 1.05
    far = (s.x / reach) ** 2
    bar = jnp.maximum(jnp.abs(drop - top + 0.045 - 0.05 * far) - 0.07 + 0.055 * far, side - reach)
    on = cover(jnp.maximum(bar, c.head), soft_px) * (kind >= 2)
    return put(picture, on, colour)


def paint_mouth(picture: Planes, c: Canvas, look: Looks, knob: Knobs) -> Planes:
    """Lips, and inside of an open mouth teeth and tongue."""
    s, w = c.face, curves.mouth_width(look, knob)
    x, y = s.x, s.y - look.mouth_y
    t = jnp.clip(x / w, -1.0, 1.0)
    m = curves.mouth(look, knob, t)
    across = 1.0 / jnp.sqrt(1.0 + curves.mouth_slope(look, knob, t) ** 2)
    ends = jnp.abs(x) - w
    px = c.skin_px
    outer = jnp.maximum(
        jnp.maximum(m.outer_top - y, y - m.outer_bottom) * across, jnp.maximum(ends, c.head)
    )
    inner = jnp.maximum(jnp.maximum(m.inner_top - y, y - m.inner_bottom) * across, ends + 0.012)
    upper = ramp(-0.02, 0.02, m.inner_top + m.inner_bottom - 2 * y)[None]
    lip = look.lip.reshape(3, 1, 1)
    picture = put(picture, soft(outer - 0.01, 0.05) * 0.25, shade(look.skin, 0.5))
    picture = put(picture, cover(outer, px), lip * (1 - 0.16 * upper))
    shine = ellipse(x, y - (m.inner_bottom + m.outer_bottom) * 0.5, w * 0.3, look.lips * 0.25)
    picture = put(picture, soft(shine, 0.02) * 0.3, rgb(1.0, 0.92, 0.9))
    dark = look.lip * rgb(0.36, 0.24, 0.26)
    middle = curves.mouth_middle(knob, t)
    line = jnp.maximum(jnp.abs(y - middle) * across - 0.016, ends + 0.005)
    picture = put(picture, cover(jnp.maximum(line, c.head), px), dark)

    is_open = ramp(0.03, 0.12, knob.open)
    picture = put(picture, cover(jnp.maximum(inner, c.head), px) * is_open, rgb(0.3, 0.06, 0.09))
    height = m.inner_bottom - m.inner_top
    tongue = ellipse(x, y - m.inner_bottom + 0.1 * height, w * 0.62, 0.3 * height + 0.02)
    inside = cover(jnp.maximum(inner + 0.012, c.head), px) * is_open
    picture = put(picture, cover(tongue, px) * inside * (1 - knob.square), rgb(0.89, 0.4, 0.42))
    depth = 0.34 * height + knob.square * 0.55 * height
    row = cover(y - m.inner_top - depth, px) * inside * jnp.clip(knob.teeth, 0, 1)
    picture = put(picture, row, rgb(1.0, 0.985, 0.95))
    bite = jnp.maximum(jnp.abs(y - (m.inner_top + m.inner_bottom) * 0.5) - 0.008, inner + 0.02)
    gaps = jnp.maximum(jnp.abs(jnp.abs(x) - jnp.round(jnp.abs(x) * 11) / 11) - 0.004, inner + 0.02)
    lines = jnp.maximum(cover(bite, px), cover(gaps, px)) * jnp.clip(knob.square, 0, 1) * is_open
    picture = put(picture, lines * 0.6 * (c.head < 0), rgb(0.45, 0.25, 0.28))

    out = jnp.clip(knob.tongue, 0, 1)
    lobe = box(x - 0.03, y - m.inner_bottom - 0.05, w * 0.44, 0.1 + 0.02 * out, w * 0.4)
    picture = put(picture, cover(jnp.maximum(lobe, c.head), px) * out, rgb(0.93, 0.42, 0.46))
    crease = segment(x, y, 0.03, m.inner_bottom, 0.03, m.inner_bottom + 0.08) - 0.008
    return put(picture, cover(crease, px) * out * 0.7, rgb(0.7, 0.22, 0.28))


def paint_eyes(picture: Planes, c: Canvas, look: Looks, knob: Knobs, move: Motion) -> Planes:
    """Both eyes at once, by the face's symmetry: white, iris, highlights, lids and lashes."""
    s = c.face
    side = jnp.where(s.x >= 0, 1.0, -1.0)
    x, px = jnp.abs(s.x) - look.eye_x, c.skin_px
    t = x / look.eye_w
    y = s.y - EYE_Y + curves.eye_lift(look, t)
    lid = curves.lids(look, knob, t)
    ends = jnp.abs(x) - look.eye_w
    eye = jnp.maximum(jnp.maximum(lid.upper - y, y - lid.lower) * 0.86, ends)
    on_head = cover(c.head, c.px)
    ink = look.skin * 0.12 + rgb(0.13, 0.07, 0.07)

    rest = curves.lids(look, knob._replace(lid=knob.lid * 0.4, slant=knob.slant * 0), t).upper
    crease = jnp.maximum(jnp.abs(y - jnp.minimum(rest, lid.upper) + 0.05) - 0.011, ends + 0.02)
    picture = put(picture, cover(crease, px) * 0.5 * on_head, shade(look.skin, 0.25))
    above = jnp.maximum(jnp.maximum(y - lid.upper, rest - 0.05 - y), ends + 0.01)
    picture = put(picture, cover(above, px) * 0.3 * on_head, shade(look.skin, 0.4))

    white = cover(eye, px) * on_head
    dim = (0.14 * soft(y - lid.upper - 0.02, 0.05))[None]
    picture = put(picture, white, rgb(1.0, 0.995, 0.98).reshape(3, 1, 1) * (1 - dim))
    gaze = (move.gaze - 0.5) * 0.4 * look.eye_w * side
    r = look.eye_w * 0.6 * (1.0 + knob.iris)
    ix, iy = x - gaze, y + look.eye_h * (0.12 - 0.34 * knob.look)
    iris = circle(ix, iy, r)
    glow = ramp(-r, r, iy)[None]
    colour = look.eye.reshape(3, 1, 1) * (0.72 + 0.55 * glow)
    picture = put(picture, cover(iris, px) * white, look.eye * 0.35)
    picture = put(picture, cover(iris + 0.022, px) * white, colour)
    picture = put(picture, cover(circle(ix, iy, r * 0.5), px) * white, rgb(0.05, 0.03, 0.05))
    # Highlights come from the same side in both eyes.
    hx = ix * side
    picture = put(
        picture, cover(circle(hx + r * 0.34, iy + r * 0.36, r * 0.3), px) * white, rgb(1, 1, 1)
    )
    spark = circle(hx - r * 0.36, iy - r * 0.4, r * 0.15)
    picture = put(picture, cover(spark, px) * white * 0.8, rgb(1, 1, 1))

    thick = look.lashes * (0.75 + 0.35 * jnp.clip(t, -1, 1)) + 0.008
    lash = jnp.maximum(jnp.abs(y - lid.upper + thick * 0.5) * 0.86 - thick, ends - 0.012)
    wing = segment(
        x, y, look.eye_w * 0.9, -0.01, look.eye_w + look.lashes * 1.5, -look.lashes * 1.7
    )
    lash = jnp.minimum(lash, wing - look.lashes * 0.38)
    picture = put(picture, cover(lash, px) * on_head, ink)
    under = jnp.maximum(jnp.abs(y - lid.lower - 0.006) - 0.007, ends + 0.02)
    picture = put(picture, cover(under, px) * 0.55 * on_head, shade(look.skin, 0.2))

    fall = jnp.clip(knob.tear, 0, 1) * (s.x > 0)  # one tear, on the picture's right
    tx, ty = x - look.eye_w * 0.35, s.y - EYE_Y - look.eye_h * 0.6 - 0.13
    drop = blend(circle(tx, ty - 0.03, 0.062), segment(tx, ty, 0.0, -0.09, 0.0, 0.0) - 0.02, 0.08)
    picture = put(picture, cover(drop, px) * fall * on_head, rgb(0.42, 0.72, 0.97))
    shine = circle(tx + 0.02, ty - 0.045, 0.018)
    return put(picture, cover(shine, px) * fall * on_head, rgb(0.95, 0.99, 1.0))


def paint_brows(picture: Planes, c: Canvas, look: Looks, knob: Knobs) -> Planes:
    """Brows, over hair and fringe: they carry half of an expression."""
    s = c.face
    side = jnp.where(s.x >= 0, 1.0, -1.0)
    reach = curves.BROW_REACH
    t = (jnp.abs(s.x) - look.eye_x + knob.brow_pinch) / reach
    slope = (curves.brow(look, knob, t + 0.05, side) - curves.brow(look, knob, t - 0.05, side)) / (
        0.1 * reach
    )
    across = 1.0 / jnp.sqrt(1.0 + jnp.clip(slope, -2, 2) ** 2)
    half = curves.brow_weight(look, t)
    line = jnp.abs(s.y - curves.brow(look, knob, t, side)) * across
    past = jnp.maximum(jnp.abs(t) - 1.0, 0.0) * reach
    distance = jnp.sqrt(line * line + past * past + 1e-6) - half
    return put(picture, cover(distance, c.skin_px) * cover(c.head - 0.02, c.px), look.brow_colour)


def paint_nose(picture: Planes, c: Canvas, look: Looks, knob: Knobs) -> Planes:
    """A nose that stands out of the face, so that it moves most when the head turns."""
    w, wrinkle = look.nose_w, jnp.clip(knob.wrinkle, 0, 1)
    (x0, y0), (x1, y1), (xl, yl), (xr, yr) = seen(c.turn, nose_points(look))
    u, v, r = c.u, c.v, w * 0.85
    ball = circle(u - x1, v - y1, r)
    wings = jnp.minimum(circle(u - xl, v - yl, w * 0.5), circle(u - xr, v - yr, w * 0.5))
    low = blend(ball, wings, 0.07)
    bridge = segment(u, v, x0, y0, x1, y1) - (0.035 + 0.3 * w)
    nose = blend(low, bridge, 0.1)
    picture = put(
        picture, soft(ball_shadow(u, v, x1, y1, r, c.light), 0.06) * 0.6, shade(look.skin, 0.3)
    )
    away = jnp.where(c.light.right > 0, -1.0, 1.0)
    flank = segment(u - away * 0.055, v, x0, y0, x1, y1) - 0.025
    picture = put(picture, soft(flank, 0.05) * 0.3 * cover(c.head, c.px), shade(look.skin, 0.45))
    right, down = (u - x1) / (r * 1.9), (v - y1) / (r * 1.9)
    near = jnp.sqrt(jnp.maximum(1.0 - right * right - down * down, 0.04))
    colour = lit(look.skin * rgb(1.0, 0.93, 0.91), right, down, near, c.light, 0.75)
    fade = ramp(0.1, 0.75, (v - y0) / jnp.maximum(y1 - y0, 0.1))
    fade = jnp.maximum(fade, ramp(0.0, 0.05, c.head))
    picture = put(picture, cover(nose, c.px) * fade, colour)
    for x, y in ((xl, yl), (xr, yr)):
        hole = ellipse(u - (x * 0.55 + x1 * 0.45), v - y - 0.018, w * 0.3, w * 0.17)
        picture = put(picture, cover(hole, c.px * 1.5) * 0.65, shade(look.skin, 0.1))
    shine = circle(u - x1 + away * r * 0.3, v - y1 + r * 0.35, r * 0.2)
    picture = put(picture, soft(shine, 0.03) * 0.4, rgb(1.0, 0.97, 0.93))
    s = c.face
    fold = jnp.abs(jnp.abs(s.x) - 0.06 - 0.4 * jnp.abs(s.y - EYE_Y - 0.05)) - 0.011
    folds = jnp.maximum(fold, jnp.abs(s.y - EYE_Y - 0.05) - 0.07)
    return put(picture, cover(folds, c.skin_px) * wrinkle * 0.8, shade(look.skin, 0.1))


def ball_shadow(u: Plane, v: Plane, x: Array, y: Array, r: Array, light: Light) -> Plane:
    """The shadow that the nose throws on the face, away from the light."""
    return circle(u - x + light.right * 0.05, v - y - r * 0.55, r * 0.85)
