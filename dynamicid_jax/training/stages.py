"""Stages are values: what trains, what a batch holds, and the loss. One loop runs them all.

stage             trains                              on
autoencoder       vae                                 pictures
clip              image_encoder, text_encoder         captioned pictures with a face each
base              unet, text_encoder                  captioned pictures
anchoring         adapter (LoRA, Wk, Wv), face_projection      captioned pictures of one person (METHOD stage 1)
reconfiguration   imr, keypoint_encoder               many pictures per person (METHOD stage 2)
and those of face_stages.py
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dynamicid_jax.data.batch import FACE
from dynamicid_jax.diffusion import losses
from dynamicid_jax.training import examples
from dynamicid_jax.training.examples import Batch, Constants
from dynamicid_jax.training.face_stages import FACE_STAGES
from dynamicid_jax.training.gate_means import gate_metrics, misplaced
from dynamicid_jax.training.networks import Networks
from dynamicid_jax.training.pairs import pairs_loss
from dynamicid_jax.training.stage import Aux, Setting, Stage
from dynamicid_jax.types import Params

TIME_BUCKETS = 4


def _drops(key: Array, count: int, setting: Setting) -> tuple[Array, Array]:
    """Which rows lose their face and which their text: disjoint shares of one uniform draw."""
    config = setting.loss
    draw = jax.random.uniform(key, (count,))
    if not setting.training:
        draw = jnp.ones((count,))
    image, text = config.drop_image, config.drop_image + config.drop_text
    both = (draw >= text) & (draw < text + config.drop_both)
    return (draw < image) | both, ((draw >= image) & (draw < text)) | both


def _emphasis(batch: Batch, clean: Float[Array, "b h w z"], factor: float) -> Array | None:
    """Cell weights of mean 1 that favour face boxes."""
    if factor == 1.0 or "face_box" not in batch:
        return None
    _, h, w, _ = clean.shape
    inside = jax.vmap(losses.inside_boxes, (1, None, None), 1)(
        batch["face_box"].reshape(clean.shape[0], -1, 4), h, w
    )
    cells = 1 + (factor - 1) * inside.max(1)
    return cells / cells.mean((1, 2), keepdims=True)


def _weighted(
    networks: Networks, rows: Array, noise: losses.Noise, setting: Setting
) -> tuple[Array, dict[str, Array]]:
    """The mean of weighted rows, and the plain loss by quarters of the timesteps."""
    schedule = networks.schedule
    weight = losses.min_snr_weight(schedule, noise.timesteps, setting.loss.min_snr_gamma)
    bucket = noise.timesteps * TIME_BUCKETS // schedule.config.num_train_timesteps
    metrics = {}
    for index in range(TIME_BUCKETS):
        chosen = (bucket == index).astype(jnp.float32)
        metrics[f"loss_sum/t{index}"] = (rows * chosen).sum()
        metrics[f"loss_count/t{index}"] = chosen.sum()
    return (weight * rows).mean(), metrics


def autoencoder_loss(
    networks: Networks,
    weights: Params,
    batch: Batch,
    constants: Constants,
    key: Array,
    setting: Setting,
) -> tuple[Float[Array, ""], Aux]:
    """Equation (7) of diffusion/losses.py."""
    pictures = networks.pictures(batch["pixels"])
    rows, metrics = losses.autoencoder_rows(
        networks, weights, pictures, key, setting.loss.kl_weight
    )
    return rows.mean(), Aux(rows, metrics)


def clip_loss(
    networks: Networks,
    weights: Params,
    batch: Batch,
    constants: Constants,
    key: Array,
    setting: Setting,
) -> tuple[Float[Array, ""], Aux]:
    """Equation (8): pictures know their captions, and faces their face prompts."""
    pictures, faces = (examples.shown(networks, batch[name]) for name in ("pixels", "reference"))
    seen = networks.image_embedding(weights, jnp.concatenate([pictures, faces]))
    ids = jnp.concatenate([batch["text_ids"], batch["face_text_ids"]])
    said = networks.text(weights, ids)[1]
    rows = jnp.zeros(pictures.shape[0])
    metrics: dict[str, Array] = {}
    for name, part in (
        ("caption", slice(None, pictures.shape[0])),
        ("face", slice(faces.shape[0], None)),
    ):
        more, right = losses.caption_rows(
            seen[part], said[part], ids[part], setting.loss.temperature
        )
        rows, metrics = rows + more, metrics | {f"{name}_right": right.mean(), name: more.mean()}
    return rows.mean(), Aux(rows, metrics)


def base_loss(
    networks: Networks,
    weights: Params,
    batch: Batch,
    constants: Constants,
    key: Array,
    setting: Setting,
) -> tuple[Float[Array, ""], Aux]:
    """Equation (2) without people: what a text-to-image base is trained with.

    With `caption_weight` the text encoder, which trains too, is held to what a frozen image encoder sees: (8). With
    `twin_weight`, (10) beside it, from `twin_from` on.
    """
    keys = jax.random.split(key, 3)
    clean = examples.latents(networks, weights, batch, keys[0])
    noise = losses.Noise.draw(keys[1], clean.shape, networks.config.schedule.num_train_timesteps)
    _, drop_text = _drops(keys[2], clean.shape[0], setting)
    text = examples.text_states(networks, weights, batch, constants, drop_text)
    emphasis = _emphasis(batch, clean, setting.loss.face_weight)
    plain = {name: tree for name, tree in weights.items() if name != "adapter"}
    rows, _, prediction = losses.denoising_rows(networks, plain, clean, noise, text, None, emphasis)
    loss, metrics = _weighted(networks, rows, noise, setting)
    own = clean, noise, prediction, emphasis
    pairs, told = pairs_loss(networks, plain, batch, constants, keys[0], setting, own, drop_text)
    loss, metrics = loss + pairs, metrics | told
    if setting.loss.caption_weight and setting.training:
        seen = networks.image_embedding(weights, examples.shown(networks, batch["pixels"]))
        said = networks.text(weights, batch["text_ids"])[1]
        caption, right = losses.caption_rows(
            jax.lax.stop_gradient(seen), said, batch["text_ids"], setting.loss.temperature
        )
        loss = loss + setting.loss.caption_weight * caption.mean()
        metrics |= {"caption": caption.mean(), "caption_right": right.mean()}
    return loss, Aux(rows, metrics)


def anchoring_loss(
    networks: Networks,
    weights: Params,
    batch: Batch,
    constants: Constants,
    key: Array,
    setting: Setting,
) -> tuple[Float[Array, ""], Aux]:
    """Equation (2), the picture's own face as the one person in it.

    With `gate_weight`, (9) beside it; with `twin_weight`, (10), from `twin_from` on.
    """
    keys = jax.random.split(key, 3)
    clean = examples.latents(networks, weights, batch, keys[0])
    noise = losses.Noise.draw(keys[1], clean.shape, networks.config.schedule.num_train_timesteps)
    drop_image, drop_text = _drops(keys[2], clean.shape[0], setting)
    text = examples.text_states(networks, weights, batch, constants, drop_text)
    faces = examples.face_tokens(networks, weights, batch, constants, drop_image)[:, None]
    emphasis = _emphasis(batch, clean, setting.loss.face_weight)
    rows, gates, prediction = losses.denoising_rows(
        networks, weights, clean, noise, text, faces, emphasis
    )
    loss, metrics = _weighted(networks, rows, noise, setting)
    own = clean, noise, prediction, emphasis
    pairs, told = pairs_loss(
        networks, weights, batch, constants, keys[0], setting, own, drop_text, drop_image
    )
    loss, metrics = loss + pairs, metrics | told
    shown, box = 1 - drop_image.astype(jnp.float32), batch.get("face_box")
    metrics |= gate_metrics(gates.maps, box, shown)
    if setting.loss.gate_weight and gates.levels:
        metrics["gate_loss"] = misplaced(gates.levels, batch["face_box"], shown)
        loss = loss + setting.loss.gate_weight * metrics["gate_loss"]
    return loss, Aux(rows, metrics)


def reconfiguration_loss(
    networks: Networks,
    weights: Params,
    batch: Batch,
    constants: Constants,
    key: Array,
    setting: Setting,
) -> tuple[Float[Array, ""], Aux]:
    """Equations (4) to (6) for b persons, each with a source and m targets; without (5) where its weight is 0."""
    b, k = batch["id_embedding"].shape[:2]
    keys = jax.random.split(key, 3)
    rows = examples.flat_groups(batch)
    nobody = jnp.zeros((b * k,), bool)
    tokens = examples.face_tokens(networks, weights, rows, constants, nobody)
    tokens = jax.lax.stop_gradient(tokens.astype(jnp.float32)).reshape(b, k, *tokens.shape[1:])
    text = examples.pooled_face_text(networks, weights, rows)
    read = networks.keypoints if setting.training else networks.keypoints_running
    features, stats = read(weights, rows["raster"].astype(jnp.float32)[..., None])
    edited, identity = reconfigured(networks, weights, tokens, features, text, keys[0], setting)

    aim, config = tokens[:, 1:].reshape(edited.shape), setting.loss
    dfm = losses.dfm_rows(edited, aim)
    per_target, metrics = config.dfm_weight * dfm, {"dfm": dfm.mean(), "copy_dfm": _copying(tokens)}
    if config.ldc_weight:
        ldc = _latent_rows(networks, weights, batch, constants, keys[1:], setting, edited, aim)
        per_target = per_target + config.ldc_weight * ldc
        metrics["ldc"] = ldc.mean()
    per_person = per_target.reshape(b, -1).mean(1)
    if config.contrastive_weight:
        first, second = losses.pooled(identity[:, 0]), losses.pooled(identity[:, 1])
        nce = losses.info_nce(first, second, batch["person"], config.temperature)
        per_person = per_person + config.contrastive_weight * nce
        metrics |= {"contrastive": nce.mean(), "identity_cosine": (first * second).sum(-1).mean()}
    return per_person.mean(), Aux(per_person, metrics, stats)


def _latent_rows(
    networks: Networks,
    weights: Params,
    batch: Batch,
    constants: Constants,
    keys: Array,
    setting: Setting,
    edited: Float[Array, "bm t x"],
    aim: Float[Array, "bm t x"],
) -> Float[Array, " bm"]:
    """Equation (5) on the targets' own pictures."""
    targets = {name: value[:, 1:] for name, value in batch.items() if name in ("pixels", "moments")}
    clean = examples.latents(networks, weights, examples.flat_groups(targets), keys[0])
    noise = losses.Noise.draw(keys[1], clean.shape, networks.config.schedule.num_train_timesteps)
    text = constants["ldc_text"]
    return losses.ldc_in_parts(setting.parts, networks, weights, clean, noise, text, edited, aim)


def reconfigured(
    networks: Networks,
    weights: Params,
    tokens: Float[Array, "b k t x"],
    features: Float[Array, "bk keypoint"],
    text: Float[Array, "bk x"],
    key: Array,
    setting: Setting,
) -> tuple[Float[Array, "bm t x"], Float[Array, "b 2 t width"]]:
    """Every source with each target's motion, and the identity of the source and of the first target.

    A target's raster is replaced by the learned null feature at times, so that words alone can edit.
    """
    b, k, t, x = tokens.shape
    own = networks.imr(weights, "motion", features, text)
    own = own.reshape(b, k, *own.shape[1:])
    pair = tokens[:, :2].reshape(2 * b, t, x), own[:, :2].reshape(2 * b, *own.shape[2:])
    identity = networks.imr(weights, "disentangle", *pair)
    identity = identity.reshape(b, 2, *identity.shape[1:])
    aim_features = features.reshape(b, k, -1)[:, 1:].reshape(b * (k - 1), -1)
    aim_text = text.reshape(b, k, -1)[:, 1:].reshape(b * (k - 1), -1)
    assert networks.config.imr is not None
    if networks.config.imr.null_keypoint and setting.training:
        hidden = jax.random.bernoulli(key, setting.loss.null_keypoint_rate, (b * (k - 1), 1))
        null = networks.imr(weights, "null_keypoint")[None].astype(aim_features.dtype)
        aim_features = jnp.where(hidden, null, aim_features)
        motion = networks.imr(weights, "motion", aim_features, aim_text)
    else:
        motion = own[:, 1:].reshape(b * (k - 1), *own.shape[2:])
    sources = jnp.repeat(identity[:, 0], k - 1, axis=0)
    return networks.imr(weights, "entangle", sources, motion), identity


def _copying(tokens: Float[Array, "b k t x"]) -> Float[Array, ""]:
    """DFM of handing the source's own tokens on: what IMR has to beat."""
    return jnp.square(tokens[:, 1:] - tokens[:, :1]).mean()


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("autoencoder", ("vae",), (), ("pixels",), autoencoder_loss),
        Stage(
            "clip",
            ("image_encoder", "text_encoder"),
            (),
            ("pixels", "text_ids", "reference", "face_text_ids"),
            clip_loss,
        ),
        Stage(
            "base",
            ("unet", "text_encoder"),
            ("vae",),
            ("pixels", "text_ids", "face_box"),
            base_loss,
        ),
        Stage(
            "anchoring",
            ("adapter", "face_projection"),
            ("unet", "vae", "text_encoder", "image_encoder"),
            ("pixels", "text_ids", *FACE, "face_box"),
            anchoring_loss,
        ),
        Stage(
            "reconfiguration",
            ("imr", "keypoint_encoder"),
            ("unet", "adapter", "face_projection", "vae", "text_encoder", "image_encoder"),
            ("pixels", *FACE, "raster", "face_text_ids", "person"),
            reconfiguration_loss,
            grouped=True,
            cuts_itself=True,
        ),
        *FACE_STAGES,
    )
}
