"""Hair, ears and glasses: a shell over the skull with a hairline, and what hangs behind it.

The shell is an ellipsoid; where a pixel's surface point lies above the hairline, hair is painted:

    a = |x| / sqrt(x^2 + z^2) in front, 2 - that behind         0: over the nose, 1: at the ear, 2: at the nape
    hair where y < line(a)                                      four heights joined by smooth steps
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dynamicid_jax.world.face import Canvas
from dynamicid_jax.world.geometry import Surface, face_depth, outline, seen, surface
from dynamicid_jax.world.identity import EYE_Y, HAIR_STYLES, Identity, Looks
from dynamicid_jax.world.paint import Plane, Planes, cover, lit, put, rgb, shade, soft
from dynamicid_jax.world.shapes import blend, box, circle, ellipse, ramp, segment, zigzag


class Style(NamedTuple):
    """One hair style; lengths in head units."""

    front: Array | float = -0.56  # heights of the hairline: over the nose, ...
    temple: Array | float = -0.36
    side: Array | float = 0.04  # at the ears
    nape: Array | float = 0.5
    volume: Array | float = 0.07  # of the shell
    lift: Array | float = 0.0  # of the top alone
    part: Array | float = 0.0  # slope of the hairline, away from the parting
    teeth: Array | float = 0.0  # a jagged hairline
    spikes: Array | float = 0.0  # a jagged outline
    curls: Array | float = 0.0  # a scalloped outline
    drape: Array | float = 0.0  # lowest end of hair that hangs behind; 0 without
    flare: Array | float = 0.0  # how much wider it hangs at the end
    waves: Array | float = 0.0
    bun: Array | float = 0.0  # radius
    buns: Array | float = 0.0  # radius of two
    ears: Array | float = 1.0  # whether ears show


_STYLES: dict[str, Style] = {
    "bald": Style(front=-3, temple=-3, side=-3, nape=-3, volume=0.0),
    "cropped": Style(front=-0.6, temple=-0.42, volume=0.03),
    "side parting": Style(front=-0.54, temple=-0.4, side=0.08, volume=0.08, lift=0.06, part=0.22),
    "quiff": Style(front=-0.58, temple=-0.46, volume=0.05, lift=0.22, spikes=0.02),
    "spikes": Style(front=-0.5, temple=-0.42, volume=0.06, lift=0.1, teeth=0.1, spikes=0.17),
    "fringe": Style(front=-0.3, temple=-0.22, side=0.2, volume=0.09, teeth=0.05),
    "bob": Style(front=-0.36, temple=-0.2, side=0.5, nape=0.5, volume=0.13, teeth=0.03, drape=0.8, flare=0.08, ears=0),
    "long": Style(front=-0.62, temple=-0.36, side=0.5, nape=0.5, volume=0.1, drape=1.75, flare=0.12, part=0.12, ears=0),
    "long wavy": Style(front=-0.5, temple=-0.2, side=0.5, nape=0.5, volume=0.13, drape=1.6, flare=0.24, waves=0.05,
                       curls=0.03, part=-0.16, ears=0),
    "afro": Style(front=-0.5, temple=-0.38, side=0.46, nape=0.5, volume=0.38, lift=0.05, curls=0.035,
                  teeth=0.03, ears=0),
    "curls": Style(front=-0.46, temple=-0.34, side=0.22, nape=0.5, volume=0.15, lift=0.08, curls=0.065, teeth=0.08),
    "bun": Style(front=-0.62, temple=-0.42, volume=0.04, bun=0.3),
    "space buns": Style(front=-0.5, temple=-0.3, side=0.14, volume=0.06, buns=0.27, part=0.02),
}  # fmt: skip
_TABLE = Style(*np.array([_STYLES[name] for name in HAIR_STYLES], np.float32).T)
_BALD = HAIR_STYLES.index("bald")
_CENTRE_Y, _CENTRE_Z = -0.2, -0.1


class Hair(NamedTuple):
    """One person's hair, ready to be laid over and behind the head."""

    style: Style
    shell: Surface
    edge: Plane  # signed distance to the shell's outline
    line: Plane  # signed height over the hairline: negative is hair
    back: Plane  # signed distance to what is behind the head
    locks: Plane  # hair hanging before the shoulders, at both sides of the face
    strands: Plane
    seen: Array  # 0 for the bald


def comb(who: Identity, look: Looks, u: Plane, v: Plane, turn: Float[Array, "3 3"]) -> Hair:
    """Where one person's hair is."""
    style = Style(*(jnp.asarray(column)[who.hair_style] for column in _TABLE))
    grow = style.volume * (0.75 + 0.5 * who.hair_volume)
    axes = (look.width + grow, 0.84 + grow + 0.5 * style.lift, 0.84 + grow)
    centre = (0.0, _CENTRE_Y - 0.5 * style.lift, _CENTRE_Z)
    shell = surface(u, v, turn, centre, axes)
    # The angle about the head as it leans and turns, for what is jagged or curled along the outline.
    middle = seen(turn, jnp.array([[0.0, _CENTRE_Y, _CENTRE_Z]]))[0]
    lean = jnp.arctan2(turn[1, 0], turn[0, 0])
    angle = jnp.arctan2(v - middle[1], u - middle[0]) - lean + 0.7 * turn[0, 2]
    upper = ramp(0.5, -0.2, v - middle[1])
    rough = style.curls * jnp.abs(jnp.sin(angle * 8.0)) * 1.3
    rough = rough + style.spikes * zigzag(angle * 2.3 + 0.2) * upper
    edge = outline(u, v, turn, centre, axes) - rough
    line, strands = _hairline(style, who, look, shell)
    return Hair(
        style=style,
        shell=shell,
        edge=edge,
        line=line,
        back=_behind(style, look, u, v, turn, edge, grow),
        locks=_locks(style, look, u, v, turn, grow),
        strands=strands,
        seen=jnp.where(who.hair_style == _BALD, 0.0, 1.0),
    )


def _hairline(style: Style, who: Identity, look: Looks, shell: Surface) -> tuple[Plane, Plane]:
    z = shell.z - _CENTRE_Z
    sine = shell.x / jnp.sqrt(shell.x * shell.x + z * z + 1e-6)
    a = jnp.abs(sine)
    around = jnp.where(z >= 0, a, 2.0 - a)
    sway = (jnp.where(who.parting > 0.5, 1.0, -1.0)) * sine
    line = style.front + style.part * sway * (1 - 0.3 * a)
    line = line + (style.temple - style.front) * ramp(0.4, 0.82, around)
    line = line + (style.side - style.temple) * ramp(0.78, 0.98, around)
    line = line + (style.nape - style.side) * ramp(1.0, 1.35, around)
    jag = zigzag(sine * 3.1 + who.parting) - 0.5
    line = line + style.teeth * jag * 2.0 * ramp(1.0, 0.7, around)
    comb = sine * (1 + 0.25 * shell.y) + 0.5 * style.part * sway
    strands = 0.5 * jnp.sin(comb * 31.0) + 0.5 * jnp.sin(comb * 12.0 + who.parting * 6)
    return shell.y - line, strands


def _behind(
    style: Style,
    look: Looks,
    u: Plane,
    v: Plane,
    turn: Float[Array, "3 3"],
    edge: Plane,
    grow: Array,
) -> Plane:
    """The outline of all that is behind the head: the shell, hanging hair, buns."""
    zero = jnp.zeros_like(look.width)
    spread = look.width * 0.78 + 0.0 * zero
    points = jnp.stack(
        [
            jnp.stack([zero, zero, zero - 0.3]),
            jnp.stack([zero, zero - 1.14, zero - 0.32]),
            jnp.stack([-spread, zero - 0.92, zero - 0.2]),
            jnp.stack([spread, zero - 0.92, zero - 0.2]),
        ]
    )
    (hx, hy), (bx, by), (lx, ly), (rx, ry) = seen(turn, points)
    low = style.drape
    half = (low + 0.3) * 0.5
    down = v - hy - (low - 0.3) * 0.5
    width = look.width + grow - 0.03 + style.flare * ramp(-half, half, down)
    width = width + style.waves * jnp.sin(v * 9.0)
    hang = box(u - hx, down, width, half, 0.3)
    back = blend(edge, jnp.where(style.drape > 0, hang, edge), 0.05)
    back = jnp.minimum(back, jnp.where(style.bun > 0, circle(u - bx, v - by, style.bun), edge))
    pair = jnp.minimum(circle(u - lx, v - ly, style.buns), circle(u - rx, v - ry, style.buns))
    return jnp.minimum(back, jnp.where(style.buns > 0, pair, edge))


def _locks(
    style: Style, look: Looks, u: Plane, v: Plane, turn: Float[Array, "3 3"], grow: Array
) -> Plane:
    """Locks beside the cheeks; the one on the far side of a turned head goes behind it."""
    reach, zero = look.width + grow - 0.15, jnp.zeros_like(look.width)
    tops = jnp.stack([jnp.stack([s * reach, zero - 0.2, zero - 0.1]) for s in (-1.0, 1.0)])
    end = style.drape - 0.12
    wave = style.waves * jnp.sin(v * 9.0)
    out = jnp.full_like(u, 9.0)
    for side, (x, y) in zip((-1.0, 1.0), seen(turn, tops), strict=True):
        away = side * turn[0, 2]  # it thins as it turns away, and spreads on the near side
        away = jnp.maximum(away - 0.12, 0.0) * 1.2 - 0.28 * jnp.maximum(-away, 0.0)
        bow = side * (0.5 * style.flare * ramp(0.2, 1.6, v)) + wave
        lock = segment(u - bow, v, x, y, x, end) - (0.15 - away)
        out = jnp.minimum(out, lock)
    return jnp.where(style.drape > 0, out, 9.0)


def paint_back(picture: Planes, c: Canvas, look: Looks, hair: Hair) -> Planes:
    """Hair behind head and shoulders, in shadow."""
    rounded = jnp.clip(1.0 + hair.back * 2.2, 0.0, 1.0)
    s = hair.shell
    lit_hair = lit(look.hair * 0.94, s.right, s.down, s.facing, c.light, 0.8)
    tint = (look.hair * rgb(0.62, 0.57, 0.6)).reshape(3, 1, 1)
    strand = (0.07 * jnp.sin(c.u * 26.0) * (hair.style.drape > 0))[None]
    base = lit_hair * (1.0 + strand)
    shaded = base + (tint - base) * (0.6 * ramp(0.0, 1.6, c.v) * (1 - 0.5 * rounded))[None]
    return put(picture, cover(hair.back, c.px) * hair.seen, shaded)


def paint_front(picture: Planes, c: Canvas, look: Looks, hair: Hair) -> Planes:
    """Hair over the head, with a shine where it turns to the light."""
    s = hair.shell
    px = c.px / jnp.maximum(s.facing, 0.4)
    # Farther from the head hair is seen behind it only: it never covers a neighbour's face.
    near = 1 - ramp(0.04, 0.12, c.head)
    on = jnp.minimum(cover(hair.edge, c.px), cover(hair.line, px)) * hair.seen * near
    # The fringe throws a soft shadow on the forehead.
    under = soft(hair.line - 0.05, 0.06) * cover(c.head, c.px) * cover(hair.edge, c.px) * hair.seen
    picture = put(picture, under * 0.28, shade(look.skin, 0.3))
    locks = cover(hair.locks, c.px) * hair.seen * ramp(-0.3, 0.2, c.v)
    locks = locks * jnp.clip((c.room - jnp.abs(c.u)) / c.px + 0.5, 0.0, 1.0)
    fall = look.hair.reshape(3, 1, 1) * (1.0 + 0.04 * jnp.sin(c.u * 30.0))[None]
    deep = shade(look.hair, 0.55).reshape(3, 1, 1)
    fall = fall + (deep - fall) * (0.4 * soft(-hair.locks - 0.05, 0.06) + 0.12)[None]
    picture = put(picture, locks, fall)
    colour = lit(look.hair, s.right, s.down, s.facing, c.light, 0.85)
    falls = s.right * c.light.right + s.down * c.light.down + s.facing * c.light.near
    ring = jnp.exp(-(((s.y + 0.66 + 0.05 * hair.strands) / 0.085) ** 2)) * ramp(0.35, 0.95, falls)
    shine = jnp.where(hair.style.volume > 0.3, 0.06, 0.34)
    colour = colour * (1.0 + 0.045 * hair.strands)[None]
    bright = jnp.minimum(look.hair * 1.25 + 0.22, 1.0)
    return put(picture, on, put(colour, ring * shine, bright))


def ear_outlines(c: Canvas, look: Looks) -> tuple[Plane, Plane]:
    """Signed distances to the ears on the head's left and right side of the picture."""
    axes = (0.12, look.ears, 0.12)
    left, right = (
        outline(c.u, c.v, c.turn, (side * look.width * 0.99, 0.1, -0.12), axes)
        for side in (-1.0, 1.0)
    )
    return left, right


def paint_ears(
    picture: Planes, c: Canvas, look: Looks, ears: tuple[Plane, Plane], alpha: tuple[Array, Array]
) -> Planes:
    """Both ears, as far as `alpha` lets them."""
    for ear, part, side in zip(ears, alpha, (-1.0, 1.0), strict=True):
        falls = jnp.clip(0.55 + 0.35 * side * c.light.right, 0.0, 1.0)
        skin = look.skin * rgb(1.0, 0.93, 0.91)
        colour = skin * falls + shade(skin, 0.62) * (1 - falls)
        part = part * jnp.maximum(
            cover(-c.head - 0.04, c.px), ramp(0.15, 0.4, -side * c.turn[0, 2])
        )
        picture = put(picture, cover(ear, c.px) * part, colour)
        inner = ear + look.ears * 0.38
        picture = put(picture, soft(inner, 0.035) * part * 0.55, shade(look.skin, 0.3))
    return picture


def near_sides(c: Canvas, low: float, high: float) -> tuple[Array, Array]:
    """How much the picture's left and right side of the head face the viewer."""
    turned = c.turn[0, 2]  # sine of the yaw, about
    return ramp(low, high, turned), ramp(low, high, -turned)


def paint_glasses(picture: Planes, c: Canvas, look: Looks) -> Planes:
    """Round or square frames in a plane before the face, with arms to the ears."""
    on = (look.glasses > 0) * 1.0
    z = face_depth(look, look.eye_x, jnp.zeros_like(look.eye_x) + EYE_Y) + 0.1
    zero = jnp.zeros_like(z)
    y = EYE_Y + 0.01
    x0, y0 = seen(c.turn, jnp.stack([zero, zero + y, z])[None])[0]
    a, b, d, e = c.turn[0, 0], c.turn[0, 1], c.turn[1, 0], c.turn[1, 1]
    det = a * e - b * d
    p, q = c.u - x0, c.v - y0
    x, h = (e * p - b * q) / det, (a * q - d * p) / det
    px = c.px / jnp.sqrt(jnp.maximum(det, 0.1))
    half = jnp.maximum(look.eye_w * 1.28, 0.2)
    side = jnp.abs(x) - jnp.maximum(look.eye_x, half + 0.05)
    lens = jnp.where(
        look.glasses == 1, circle(side, h, half), box(side, h - 0.01, half, half * 0.78, 0.06)
    )
    picture = put(picture, cover(lens, px) * on * 0.1, rgb(0.85, 0.95, 1.0))
    glint = jnp.maximum(lens + 0.03, jnp.abs(side * 0.8 + h + 0.1) - 0.03)
    picture = put(picture, cover(glint, px) * on * 0.3, rgb(1, 1, 1))
    inner = jnp.maximum(look.eye_x, half + 0.05) - half
    bridge = segment(x, h, -inner, -0.03, inner, -0.03) - 0.021
    frame = jnp.minimum(jnp.abs(lens) - 0.024, bridge)
    picture = put(picture, cover(frame, px) * on, look.frame)
    outer = jnp.maximum(look.eye_x, half + 0.05) + half
    for s, near in zip((-1.0, 1.0), near_sides(c, 0.08, 0.3), strict=True):
        ends = jnp.stack(
            [
                jnp.stack([s * outer, zero + y - 0.03, z]),
                jnp.stack([s * look.width * 1.02, zero, zero - 0.1]),
            ]
        )
        (ax, ay), (bx, by) = seen(c.turn, ends)
        arm = segment(c.u, c.v, ax, ay, bx, by) - 0.022
        picture = put(picture, cover(arm, c.px) * on * near, look.frame)
    return picture


def neck_shadow(c: Canvas) -> Plane:
    """The shadow of the chin on the neck."""
    return soft(ellipse(c.u, c.v - 0.78, 0.42, 0.42), 0.12)
