"""The losses that train DynamicID (METHOD section 5), as pure functions of networks, weights and a batch.

    noising            x_t = alpha_t x_0 + sigma_t eps                                             (1)
    denoising          L = mean over rows of  w_t mean (prediction - target)^2                     (2)
    min-SNR            w_t = min(SNR, gamma) / SNR  for epsilon,  / (SNR + 1)  for v                (3)
    anchoring          (2) with the picture's own face tokens; text, face or both dropped at times
    reconfiguration    f' = entangle( disentangle( f_source, psi_source ), psi_target )
                       DFM = mean (f' - f_target)^2                                                (4)
                       LDC = mean (eps(f') - eps(f_target))^2   the second pass without gradient   (5)
                       InfoNCE on z = normalise( mean over tokens of disentangle( f, psi ))         (6)
                       L = a DFM + b LDC + c InfoNCE
    gates              mean over layers of  ( mean inside the face of (1 - level)^2 + mean outside of level^2 ) / 2  (9)
    captions           InfoNCE between pictures and captions, both ways; equal captions share the answer  (8)
    twins              mean ((prediction - prediction') - (target - target'))^2  of one x_t under words and face of a
                       picture and of its twin, which differs in what they say and in nothing else,
                       over mean (target - target')^2, so that a mouth counts as much as a head of hair  (10)
    autoencoder        mean |decode(z) - picture| + mean (...)^2 + kl * KL( N(mean, var) || N(0, 1) )  (7)

`networks` is a `training.networks.Networks`: every network as a function of the weights. Losses are float32 whatever
the networks compute in. Means run over the global batch: under `jax.jit` with a sharded batch they do not depend on how
many devices hold it.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from dynamicid_jax.diffusion.parameterization import target as prediction_target
from dynamicid_jax.diffusion.schedule import NoiseSchedule, per_row
from dynamicid_jax.types import Params


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Noise:
    """What is random in one denoising loss: the timestep and eps of (1), per row."""

    timesteps: Int[Array, " b"]
    eps: Float[Array, "b h w z"]

    @classmethod
    def draw(cls, key: Array, shape: tuple[int, ...], timesteps: int) -> "Noise":
        """Timesteps uniform in [0, `timesteps`), eps standard normal."""
        key_t, key_eps = jax.random.split(key)
        t = jax.random.randint(key_t, shape[:1], 0, timesteps)
        return cls(t, jax.random.normal(key_eps, shape))


def row_means(squares: Float[Array, "b ..."]) -> Float[Array, " b"]:
    """Mean over everything but the first axis, in float32."""
    return squares.astype(jnp.float32).reshape(squares.shape[0], -1).mean(1)


def min_snr_weight(
    schedule: NoiseSchedule, timesteps: Int[Array, " b"], gamma: float | None
) -> Float[Array, " b"]:
    """(3); ones without a gamma."""
    if gamma is None:
        return jnp.ones(timesteps.shape)
    alpha, sigma = schedule.alpha_sigma(timesteps)
    snr = jnp.square(alpha / sigma)
    base = snr if schedule.prediction_type == "epsilon" else snr + 1
    return jnp.minimum(snr, gamma) / base


def inside_boxes(box: Float[Array, "b 4"], h: int, w: int) -> Float[Array, "b h w"]:
    """1 in the cells of a map that a box x0, y0, x1, y1 covers, by the layout's rule: int(y0 h) : int(y1 h)."""
    rows, columns = jnp.arange(h)[None], jnp.arange(w)[None]
    edges = (box * jnp.array([[w, h, w, h]])).astype(jnp.int32)
    in_x = (columns >= edges[:, :1]) & (columns < edges[:, 2:3])
    in_y = (rows >= edges[:, 1:2]) & (rows < edges[:, 3:])
    return (in_y[:, :, None] & in_x[:, None, :]).astype(jnp.float32)


class Denoised(NamedTuple):
    """What one denoising pass gives.

    Attributes:
        rows: (2) per row before its weight.
        gates: of every cross-attention (training.networks.Gates).
        prediction: the network's.
    """

    rows: Float[Array, " b"]
    gates: Any
    prediction: Float[Array, "b h w z"]


def denoising_rows(
    networks: Any,
    weights: Params,
    latents: Float[Array, "b h w z"],
    noise: Noise,
    text: Float[Array, "b l x"],
    faces: Float[Array, "b 1 t x"] | None,
    emphasis: Float[Array, "b h w"] | None = None,
) -> Denoised:
    """(2) per row before its weight.

    Args:
        networks: as above.
        weights: of UNet and adapter, at least.
        latents: clean, scaled.
        noise: of (1).
        text: prompt states.
        faces: tokens of the one person in the picture; None without an adapter.
        emphasis: factor of every cell's loss; None treats all alike.
    """
    schedule = networks.schedule
    noisy = schedule.add_noise(latents, noise.eps, noise.timesteps)
    prediction, gates = networks.predict(weights, noisy, noise.timesteps, text, faces)
    alpha, sigma = schedule.alpha_sigma(noise.timesteps)
    aim = prediction_target(latents, noise.eps, alpha, sigma, schedule.prediction_type)
    return Denoised(_emphasised(jnp.square(prediction - aim), emphasis), gates, prediction)


def _emphasised(
    squares: Float[Array, "b h w z"], emphasis: Float[Array, "b h w"] | None
) -> Float[Array, " b"]:
    """Means over rows, each cell with its factor."""
    return row_means(squares if emphasis is None else squares * emphasis[..., None])


def twin_rows(
    networks: Any,
    weights: Params,
    latents: tuple[Float[Array, "b h w z"], Float[Array, "b h w z"]],
    noise: Noise,
    prediction: Float[Array, "b h w z"],
    text: Float[Array, "b l x"],
    faces: Float[Array, "b 1 t x"] | None = None,
    emphasis: Float[Array, "b h w"] | None = None,
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """(10) per row, and what it is where the twins' words and faces change nothing.

    Whatever else a network does not know about a picture is the same on both sides and falls out; what stays is what
    words and face tokens have to do. The noisy picture is the first's. That the second's go with it is exact where x_t
    does not show yet in what they differ, so that early timesteps are for the caller to leave out.

    Args:
        networks: as above.
        weights: of UNet and, where there are faces, adapter.
        latents: of the pictures and of their twins, clean, scaled.
        noise: of (1), added to the pictures.
        prediction: for the pictures' own words and faces.
        text: states of the twins' words.
        faces: tokens of the one person in each twin; None without an adapter.
        emphasis: factor of every cell's loss; None treats all alike.
    """
    schedule, (own, other) = networks.schedule, latents
    alpha, sigma = schedule.alpha_sigma(noise.timesteps)
    noisy = schedule.add_noise(own, noise.eps, noise.timesteps)
    theirs, _ = networks.predict(weights, noisy, noise.timesteps, text, faces)
    # The noise that would have led from the twin to the same x_t.
    eps = (noisy - per_row(alpha, noisy) * other) / per_row(sigma, noisy)
    kind = schedule.prediction_type
    aim = prediction_target(own, noise.eps, alpha, sigma, kind)
    aim = aim - prediction_target(other, eps, alpha, sigma, kind)
    rows = _emphasised(jnp.square(prediction - theirs - aim), emphasis)
    return rows, _emphasised(jnp.square(aim), emphasis)


def dfm_rows(edited: Float[Array, "b t x"], target: Float[Array, "b t x"]) -> Float[Array, " b"]:
    """(4) per target."""
    return row_means(jnp.square(edited.astype(jnp.float32) - target.astype(jnp.float32)))


def ldc_rows(
    networks: Any,
    weights: Params,
    latents: Float[Array, "b h w z"],
    noise: Noise,
    text: Float[Array, "b l x"],
    edited: Float[Array, "b t x"],
    target: Float[Array, "b t x"],
) -> Float[Array, " b"]:
    """(5) per target; the gradient reaches `edited` only."""
    noisy = networks.schedule.add_noise(latents, noise.eps, noise.timesteps)
    # One text projection and one UNet pass each; the passes share everything but the face tokens.
    aim, _ = networks.predict(weights, noisy, noise.timesteps, text, target[:, None])
    prediction, _ = networks.predict(weights, noisy, noise.timesteps, text, edited[:, None])
    return row_means(jnp.square(prediction - jax.lax.stop_gradient(aim)))


def ldc_in_parts(
    parts: int,
    networks: Any,
    weights: Params,
    latents: Float[Array, "b h w z"],
    noise: Noise,
    text: Float[Array, "1 l x"],
    edited: Float[Array, "b t x"],
    target: Float[Array, "b t x"],
) -> Float[Array, " b"]:
    """`ldc_rows` for `parts` parts of the rows, one after the other, to save memory: the same numbers.

    Rows do not depend on each other, so that a part's gradient is known as soon as the part is: it is kept (a few
    tokens per row) instead of the UNet's maps, and nothing is computed twice.
    """
    fixed = jax.lax.stop_gradient((latents, noise.timesteps, noise.eps, target))

    def rows(part: tuple[Array, ...], ours: Array) -> Array:
        x, timesteps, eps, theirs = part
        states = jnp.broadcast_to(text, (x.shape[0], *text.shape[1:]))
        return ldc_rows(networks, weights, x, Noise(timesteps, eps), states, ours, theirs)

    if parts == 1:
        return rows(fixed, edited)

    def with_gradient(part: tuple[Any, Array]) -> tuple[Array, Array]:
        values, back = jax.vjp(lambda ours: rows(part[0], ours), part[1])
        return values, back(jnp.ones_like(values))[0]

    @jax.custom_vjp
    def all_rows(edited: Array) -> Array:
        return join_parts(jax.lax.map(lambda part: rows(*part), _cut((fixed, edited), parts)))

    def forward(edited: Array) -> tuple[Array, Array]:
        values, gradient = jax.lax.map(with_gradient, _cut((fixed, edited), parts))
        return join_parts(values), join_parts(gradient)

    def backward(gradient: Array, above: Array) -> tuple[Array]:
        return ((above[:, None, None] * gradient).astype(gradient.dtype),)

    all_rows.defvjp(forward, backward)
    return all_rows(edited)


def _cut(tree: Any, parts: int) -> Any:
    return jax.tree.map(lambda x: interleave(x, parts), tree)


def join_parts(x: Float[Array, "parts c ..."]) -> Float[Array, "b ..."]:
    """The inverse of `interleave`."""
    return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])


def interleave(x: Shaped[Array, "b ..."], parts: int) -> Shaped[Array, "parts c ..."]:
    """Rows p, p + parts, p + 2 parts, ... as part p: every device keeps its share of every part."""
    return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)


def info_nce(
    first: Float[Array, "b c"],
    second: Float[Array, "b c"],
    person: Int[Array, " b"],
    temperature: float,
) -> Float[Array, " b"]:
    """(6) per person, both ways: row i of `first` and of `second` belong together, other persons do not.

    Rows of one person that the batch holds more than once are neither pulled together nor pushed apart.

    Args:
        first: features of one picture per person, normalised.
        second: features of another picture of the same persons, normalised.
        person: a number per person.
        temperature: of the softmax.
    """
    logits = first.astype(jnp.float32) @ second.astype(jnp.float32).T / temperature
    same = (person[:, None] == person[None]) & ~jnp.eye(person.shape[0], dtype=bool)
    logits = jnp.where(same, -jnp.inf, logits)
    positive = jnp.diagonal(logits)
    both_ways = jax.nn.logsumexp(logits, 1) + jax.nn.logsumexp(logits, 0)
    return both_ways / 2 - positive


def caption_rows(
    seen: Float[Array, "b c"],
    said: Float[Array, "b c"],
    ids: Int[Array, "b l"],
    temperature: float,
) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
    """(8) per picture, and whether its own caption (or an equal one) is the most similar of all.

    Args:
        seen: embeddings of pictures.
        said: embeddings of their captions.
        ids: tokens of the captions.
        temperature: of the softmax over cosines.
    """
    seen, said = (
        x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-6)
        for x in (seen.astype(jnp.float32), said.astype(jnp.float32))
    )
    logits = seen @ said.T / temperature
    same = (ids[:, None] == ids[None]).all(-1)
    aim = same / same.sum(1, keepdims=True)
    to_text = -(aim * jax.nn.log_softmax(logits, 1)).sum(1)
    to_picture = -(aim * jax.nn.log_softmax(logits, 0)).sum(0)
    right = jnp.take_along_axis(same, logits.argmax(1)[:, None], 1)[:, 0]
    return (to_text + to_picture) / 2, right.astype(jnp.float32)


def pooled(features: Float[Array, "b t c"]) -> Float[Array, "b c"]:
    """Mean over tokens, of length 1."""
    mean = features.astype(jnp.float32).mean(1)
    return mean / jnp.maximum(jnp.linalg.norm(mean, axis=-1, keepdims=True), 1e-6)


def autoencoder_rows(
    networks: Any, weights: Params, pictures: Float[Array, "b H W c"], key: Array, kl_weight: float
) -> tuple[Float[Array, " b"], dict[str, Array]]:
    """(7) per picture, and its parts."""
    mean, logvar = networks.encode(weights, pictures)
    z = mean + jnp.exp(0.5 * logvar) * jax.random.normal(key, mean.shape)
    error = networks.decode(weights, z) - pictures
    squares, absolute = row_means(jnp.square(error)), row_means(jnp.abs(error))
    kl = row_means(0.5 * (jnp.square(mean) + jnp.exp(logvar) - 1 - logvar))
    psnr = -10 * jnp.log10(squares.mean() / 4)  # the range [-1, 1] is 2 wide
    return absolute + squares + kl_weight * kl, {"psnr": psnr, "kl": kl.mean()}
