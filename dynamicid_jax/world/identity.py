"""Who somebody is: independent factors drawn from the person's number, and what they look like.

`Identity` holds whole numbers and exact fractions only (see factors.py); `looks` turns them into
the sizes and colours that the painter uses. Sizes are in head units: half of the head's height is
about 1; x to the right, y down, z towards the viewer, the origin in the middle of the head.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dynamicid_jax.world.factors import choice, flags, lerp, unit, weighted

HAIR_STYLES = (
    "bald", "cropped", "side parting", "quiff", "spikes", "fringe", "bob", "long",
    "long wavy", "afro", "curls", "bun", "space buns",
)  # fmt: skip
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
GLASSES = ("none", "round", "square")
_HAIR_WEIGHTS = (2, 3, 3, 3, 3, 3, 4, 4, 4, 3, 3, 3, 2)
_BEARD_WEIGHTS = (11, 2, 2, 2, 3)
_GLASSES_WEIGHTS = (5, 2, 2)


def _palette(*colours: str) -> np.ndarray:
    return np.array([[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in colours], np.float32)


SKIN = _palette("FFE3D0", "FBD0B0", "EFB68E", "DB9B6E", "B97A50", "8F5B3C", "6E4632")
HAIR = _palette(
    "2A2431", "4B2F28", "7B4A2D", "B5793F", "CC5F2A", "EDC46C", "E8D5A8", "A9AFBE", "EE86B0",
    "2FA3A0", "7E5CC0", "3C64BE",
)  # fmt: skip
EYES = _palette("4A2E1E", "8B6526", "3F8F52", "2F86D0", "6F8193", "2BA7A4")
FRAMES = _palette("26242B", "B8323A", "2A55A8", "C9952F", "7A4A2B", "E9E6E0")


class Identity(NamedTuple):
    """The independent factors of a person; fractions in [0, 1) unless said otherwise."""

    person: Int[Array, "*s"]  # the number all others come from
    skin: Float[Array, "*s"]  # light to dark
    undertone: Float[Array, "*s"]  # rosy to golden
    hair_style: Int[Array, "*s"]  # of HAIR_STYLES
    hair_colour: Int[Array, "*s"]  # of HAIR
    hair_tone: Float[Array, "*s"]  # darker to lighter
    hair_volume: Float[Array, "*s"]
    parting: Float[Array, "*s"]  # to the picture's left to the right
    face_width: Float[Array, "*s"]
    jaw: Float[Array, "*s"]  # pointed to square
    cheeks: Float[Array, "*s"]  # lean to round
    ears: Float[Array, "*s"]
    eye_size: Float[Array, "*s"]
    eye_spacing: Float[Array, "*s"]
    eye_shape: Float[Array, "*s"]  # narrow to round
    eye_tilt: Float[Array, "*s"]
    eye_colour: Int[Array, "*s"]  # of EYES
    lashes: Float[Array, "*s"]
    brow_weight: Float[Array, "*s"]
    brow_arch: Float[Array, "*s"]
    nose_length: Float[Array, "*s"]
    nose_width: Float[Array, "*s"]
    mouth_width: Float[Array, "*s"]
    lip_fullness: Float[Array, "*s"]
    lip_colour: Float[Array, "*s"]  # of the skin to rosy
    beard: Int[Array, "*s"]  # of BEARDS
    glasses: Int[Array, "*s"]  # of GLASSES
    frame_colour: Int[Array, "*s"]  # of FRAMES
    blush: Float[Array, "*s"]
    freckles: Float[Array, "*s"]  # seen above 0.72
    mole: Float[Array, "*s"]  # seen above 0.8


_INDICES = {
    "hair_style": _HAIR_WEIGHTS,
    "hair_colour": (1,) * len(HAIR),
    "eye_colour": (1,) * len(EYES),
    "beard": _BEARD_WEIGHTS,
    "glasses": _GLASSES_WEIGHTS,
    "frame_colour": (1,) * len(FRAMES),
}


def identity(person: Int[Array, "*s"]) -> Identity:
    """The factors of people, from their numbers (see factors.py)."""
    drawn = {"person": person}
    for name in Identity._fields[1:]:
        weights = _INDICES.get(name)
        if weights is None:
            drawn[name] = unit(person, name)
        elif len(set(weights)) == 1:
            drawn[name] = choice(person, name, len(weights))
        else:
            drawn[name] = weighted(person, name, weights)
    return Identity(**drawn)


def unlike(who: Identity, seed: Int[Array, "*s"]) -> Identity:
    """People of whom no factor is the same: fractions have moved by half of their range, kinds to any other kind."""
    changed = {"person": who.person}
    for name in Identity._fields[1:]:
        now, kinds = getattr(who, name), len(_INDICES.get(name, ()))
        if kinds:
            changed[name] = (now + 1 + choice(seed, f"unlike {name}", kinds - 1)) % kinds
        else:
            changed[name] = (now + 0.5) % 1.0
    return Identity(**changed)


class Looks(NamedTuple):
    """One person's sizes (head units) and colours (RGB in [0, 1])."""

    width: Float[Array, ""]  # half width of the head
    jaw: Float[Array, ""]  # half width of the jaw
    cheeks: Float[Array, ""]  # half width at the cheeks
    ears: Float[Array, ""]
    eye_x: Float[Array, ""]  # middle of an eye from the middle of the face
    eye_w: Float[Array, ""]  # half width of an eye
    eye_h: Float[Array, ""]  # height of the upper lid over the corners, eyes at rest
    eye_tilt: Float[Array, ""]
    lashes: Float[Array, ""]
    brow: Float[Array, ""]  # half thickness
    brow_arch: Float[Array, ""]
    nose_y: Float[Array, ""]  # of the tip
    nose_w: Float[Array, ""]
    mouth_y: Float[Array, ""]
    mouth_w: Float[Array, ""]  # half width
    lips: Float[Array, ""]  # thickness
    blush: Float[Array, ""]
    freckles: Float[Array, ""]
    mole: Float[Array, ""]
    glasses: Int[Array, ""]
    beard: Int[Array, ""]
    skin: Float[Array, "3"]
    hair: Float[Array, "3"]
    brow_colour: Float[Array, "3"]
    eye: Float[Array, "3"]
    lip: Float[Array, "3"]
    frame: Float[Array, "3"]


EYE_Y = -0.02  # of the eyes' corners


def looks(who: Identity) -> Looks:
    """Sizes and colours of one person (leaves without axes)."""
    skin, hair = _skin(who), _hair(who)
    nose_y = lerp(0.23, 0.33, who.nose_length)
    width = lerp(0.75, 0.84, who.face_width)
    eye_w = lerp(0.155, 0.215, who.eye_size)
    rosy = jnp.array([0.80, 0.30, 0.34]) * (0.45 + 0.55 * skin[:1])
    return Looks(
        width=width,
        jaw=width * lerp(0.58, 0.9, who.jaw),
        cheeks=width * lerp(0.88, 1.04, who.cheeks),
        ears=lerp(0.13, 0.2, who.ears),
        eye_x=lerp(0.295, 0.385, who.eye_spacing),
        eye_w=eye_w,
        eye_h=eye_w * lerp(0.66, 0.96, who.eye_shape),
        eye_tilt=lerp(-0.12, 0.22, who.eye_tilt),
        lashes=lerp(0.014, 0.042, who.lashes),
        brow=lerp(0.024, 0.062, who.brow_weight),
        brow_arch=lerp(0.015, 0.1, who.brow_arch),
        nose_y=nose_y,
        nose_w=lerp(0.075, 0.14, who.nose_width),
        mouth_y=nose_y + 0.29,
        mouth_w=lerp(0.2, 0.3, who.mouth_width),
        lips=lerp(0.03, 0.085, who.lip_fullness),
        blush=lerp(0.1, 0.55, who.blush * who.blush),
        freckles=jnp.where(who.freckles > 0.72, 1.0, 0.0),
        mole=jnp.where(who.mole > 0.8, 1.0, 0.0),
        glasses=who.glasses,
        beard=who.beard,
        skin=skin,
        hair=hair,
        brow_colour=_brow(who, skin, hair),
        eye=jnp.asarray(EYES)[who.eye_colour],
        lip=skin * jnp.array([0.84, 0.66, 0.64]) * (1 - who.lip_colour) + rosy * who.lip_colour,
        frame=jnp.asarray(FRAMES)[who.frame_colour],
    )


def _skin(who: Identity) -> Float[Array, "3"]:
    at = who.skin * (len(SKIN) - 1)
    low = jnp.floor(at).astype(jnp.int32)
    part = at - low
    table = jnp.asarray(SKIN)
    colour = table[low] * (1 - part) + table[low + 1] * part
    tone = jnp.array([0.01, -0.012, -0.035]) * (who.undertone * 2 - 1)
    return jnp.clip(colour + tone, 0.0, 1.0)


def _hair(who: Identity) -> Float[Array, "3"]:
    return jnp.clip(jnp.asarray(HAIR)[who.hair_colour] * lerp(0.86, 1.1, who.hair_tone), 0.0, 1.0)


def _brow(who: Identity, skin: Float[Array, "3"], hair: Float[Array, "3"]) -> Float[Array, "3"]:
    """Brows follow the hair, but stay darker than the skin: they carry half of an expression."""
    bald = flags(who.hair_style, 0)
    base = jnp.where(bald, skin * jnp.array([0.42, 0.36, 0.34]), hair * 0.66)
    limit = jnp.minimum(1.0, 0.62 * skin.mean() / (base.mean() + 1e-3))
    return base * limit
