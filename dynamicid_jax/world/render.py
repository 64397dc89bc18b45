"""Pictures of scenes, at any resolution: pure functions for jit and vmap.

    picture = background; all hair behind; all bodies; all heads (each pass from left to right)

A `view` [2 3] maps places of the picture (x, y in [0, 1]) to places of the scene, so that a crop is
rendered as sharply as the whole: (x, y)_scene = view (x, y, 1).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from dynamicid_jax.world import face, hair
from dynamicid_jax.world.backdrop import background, paint_body
from dynamicid_jax.world.factors import row
from dynamicid_jax.world.geometry import head_axes, head_outline, rotation, seen, surface, unrolled
from dynamicid_jax.world.identity import looks
from dynamicid_jax.world.motion import knobs
from dynamicid_jax.world.paint import Light, Plane, Planes
from dynamicid_jax.world.scene import Scene

WHOLE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))  # the view of the whole scene


def light_of(scene: Scene) -> Light:
    """The light of one scene: from above, from the left or the right."""
    right = (scene.light - 0.5) * 1.3
    down = jnp.full_like(right, -0.5)
    size = 1.0 / jnp.sqrt(right * right + 1.0)  # 0.5^2 + 0.866^2
    near = jnp.full_like(right, 0.866)
    return Light(right * size, down * size, near * size, (scene.warmth - 0.5) * 2)


def render(
    scene: Scene, size: int, view: Float[Array, "2 3"] | None = None
) -> Float[Array, "h w 3"]:
    """One scene (leaves without batch axes), size x size pixels, RGB in [0, 1]."""
    view = jnp.asarray(WHOLE, jnp.float32) if view is None else view
    places = (jnp.arange(size, dtype=jnp.float32) + 0.5) / size
    px_x, px_y = jnp.meshgrid(places, places)
    x = view[0, 0] * px_x + view[0, 1] * px_y + view[0, 2]
    y = view[1, 0] * px_x + view[1, 1] * px_y + view[1, 2]
    px = jnp.sqrt(jnp.abs(view[0, 0] * view[1, 1] - view[0, 1] * view[1, 0])) / size
    light = light_of(scene)
    picture = background(x, y, px, scene.background, light)
    for layer in (_behind, _body, _head):
        picture = _each_person(picture, scene, partial(layer, x=x, y=y, px=px, light=light))
    return jnp.clip(picture.transpose(1, 2, 0), 0.0, 1.0)


def render_many(
    scenes: Scene, size: int, views: Float[Array, "b 2 3"] | None = None
) -> Float[Array, "b h w 3"]:
    """A batch of scenes (leaves [b ...]): at once on an accelerator, one by one on a CPU.

    A CPU keeps one picture's planes in its cache: measured at 64 px, twice as fast as a batch of 128.
    """
    if views is None:
        views = jnp.broadcast_to(
            jnp.asarray(WHOLE, jnp.float32)[None], (scenes.seed.shape[0], 2, 3)
        )

    def one(scene: Scene, view: Array) -> Array:
        return render(scene, size, view)

    def singly(*batch: Any) -> Array:
        return jax.lax.map(lambda pair: one(*pair), batch)

    return jax.lax.platform_dependent(scenes, views, cpu=singly, default=jax.vmap(one))


def to_bytes(pictures: Float[Array, "*b h w 3"]) -> UInt8[Array, "*b h w 3"]:
    """RGB in [0, 1] as whole numbers 0 to 255."""
    return jnp.floor(pictures * 255.0 + 0.5).astype(jnp.uint8)


def _each_person(picture: Planes, scene: Scene, layer: Any) -> Planes:
    """Adds one layer of all people; a scan, so that the program holds each layer once."""
    people = (
        scene.who,
        scene.move,
        scene.shirt,
        scene.collar,
        scene.x,
        scene.y,
        scene.scale,
        _room(scene),
        scene.present,
    )
    if scene.x.shape[0] == 1:
        return layer(picture, row(people, 0))

    def step(picture: Planes, person: Any) -> tuple[Planes, None]:
        return jnp.where(person[-1], layer(picture, person), picture), None

    return jax.lax.scan(step, picture, people)[0]


def _room(scene: Scene) -> Float[Array, "p"]:
    """Half of the way to the nearest neighbour, in head units."""
    gap = jnp.abs(scene.x[:, None] - scene.x[None, :])
    other = scene.present[None, :] & ~jnp.eye(len(scene.x), dtype=bool)
    return jnp.where(other, gap, 9.0).min(1) * 0.5 / scene.scale


def _canvas(person: Any, x: Plane, y: Plane, px: Array, light: Light) -> tuple[Any, ...]:
    """A person's looks, knobs and canvas: the picture in head units."""
    who, move, _, _, x0, y0, scale, room, _ = person
    look, knob, turn = looks(who), knobs(move), rotation(move)
    u, v = (x - x0) / scale, (y - y0) / scale
    head = head_outline(u, v, turn, look, knob)
    canvas = face.Canvas(
        u=u,
        v=v,
        px=px / scale,
        turn=turn,
        face=unrolled(surface(u, v, turn, (0.0, 0.0, 0.0), head_axes(look)), look, head),
        head=head,
        room=room,
        light=light,
    )
    return look, knob, canvas


def _behind(picture: Planes, person: Any, x: Plane, y: Plane, px: Array, light: Light) -> Planes:
    look, _, c = _canvas(person, x, y, px, light)
    return hair.paint_back(picture, c, look, hair.comb(person[0], look, c.u, c.v, c.turn))


def _body(picture: Planes, person: Any, x: Plane, y: Plane, px: Array, light: Light) -> Planes:
    look, _, c = _canvas(person, x, y, px, light)
    neck = seen(c.turn, jnp.array([[0.0, 0.55, -0.12]]))[0]
    return paint_body(picture, c.u, c.v, c.px, look, neck, person[2], person[3], light)


def _head(picture: Planes, person: Any, x: Plane, y: Plane, px: Array, light: Light) -> Planes:
    look, knob, c = _canvas(person, x, y, px, light)
    who, move = person[0], person[1]
    combed = hair.comb(who, look, c.u, c.v, c.turn)
    ears = hair.ear_outlines(c, look)
    one = jnp.ones_like(c.px)
    picture = hair.paint_ears(picture, c, look, ears, (one, one))
    picture = face.paint_skin(picture, c, look, knob)
    picture = face.paint_beard(picture, c, look, knob)
    picture = face.paint_mouth(picture, c, look, knob)
    picture = face.paint_eyes(picture, c, look, knob, move)
    picture = face.paint_nose(picture, c, look, knob)
    picture = hair.paint_front(picture, c, look, combed)
    picture = face.paint_brows(picture, c, look, knob)
    left, right = hair.near_sides(c, -0.3, -0.1)
    show = combed.style.ears
    picture = hair.paint_ears(picture, c, look, ears, (left * show, right * show))
    return hair.paint_glasses(picture, c, look)
