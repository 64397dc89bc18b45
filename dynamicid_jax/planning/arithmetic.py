"""The losses' own arithmetic, added up layer by layer from the configs: no jaxpr, no compiler.

What a step need not do is not in it, which makes it the yardstick for what the compiled step does. Per layer, with F
the forward pass's operations (2 per multiply-add, padding included):

    layer                                  moving input   still input     (moving: it depends on something trained)
    frozen, conv or dense                  F + F          F               backward to the input only, if at all
    trained dense                          F + 2 F        F + F           backward to the input and to the weights
    product of two moving inputs           F + 2 F        F + F           attention: to both sides, or to the moving one

Norms, activations, softmax and the gate's min-max are not counted.

    anchoring          one such pass per picture; the first moving thing is the adapter of the first transformer
    reconfiguration    per target one forward pass for the aim, and one forward and backward for the edited tokens
"""

from dataclasses import dataclass

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.errors import InputError
from dynamicid_jax.models.configs import FaceProjectionConfig, ModelConfig
from dynamicid_jax.models.unet import down_inputs, up_inputs


@dataclass(frozen=True)
class Work:
    """Operations of one picture."""

    forward: int = 0
    backward: int = 0

    @property
    def total(self) -> int:
        """Both passes."""
        return self.forward + self.backward

    def __add__(self, other: "Work") -> "Work":
        return Work(self.forward + other.forward, self.backward + other.backward)

    def __mul__(self, times: int) -> "Work":
        return Work(self.forward * times, self.backward * times)


def frozen(operations: int, moving: bool) -> Work:
    """A layer with fixed weights."""
    return Work(operations, operations if moving else 0)


def trained(operations: int, moving: bool) -> Work:
    """A layer with trained weights."""
    return Work(operations, operations * (2 if moving else 1))


def product(operations: int, left: bool, right: bool) -> Work:
    """A product of two inputs, each moving or not."""
    return Work(operations, operations * (left + right))


@dataclass
class UNetWork:
    """Adds up the UNet on one picture, in the order of its forward pass.

    Attributes:
        model: its shapes.
        adapter_trains: whether the adapter moves (anchoring); otherwise only the face tokens do (reconfiguration).
        moving: whether the map does, at the layer that is next.
    """

    model: ModelConfig
    adapter_trains: bool
    moving: bool = False

    def pass_over(self, size: int) -> Work:
        """One pass over a picture of `size` x `size` pixels."""
        config = self.model.unet
        widths = config.block_channels
        side = size // self.model.vae.downscale
        total = self._time() + self._conv(side, config.in_channels, widths[0])
        for level, inputs in enumerate(down_inputs(config)):
            total += self._level(side, inputs, widths[level], level)
            if level < len(widths) - 1:
                side //= 2
                total += self._conv(side, widths[level], widths[level])
        depth = config.mid_transformer_depth
        total += self._resnet(side, widths[-1], widths[-1])
        total += self._transformer(side, widths[-1], depth)
        total += self._resnet(side, widths[-1], widths[-1])
        for index, inputs in enumerate(up_inputs(config)):
            level = len(widths) - 1 - index
            total += self._level(side, inputs, widths[level], level)
            if level > 0:
                side *= 2
                total += self._conv(side, widths[level], widths[level])
        return total + self._conv(side, widths[0], config.out_channels)

    def _time(self) -> Work:
        width = self.model.unet.block_channels[0]
        return frozen(2 * (width * 4 * width + 4 * width * 4 * width), False)

    def _conv(self, side: int, inputs: int, outputs: int, kernel: int = 3) -> Work:
        return frozen(2 * side * side * inputs * outputs * kernel**2, self.moving)

    def _level(self, side: int, inputs: tuple[int, ...], width: int, level: int) -> Work:
        total = Work()
        for channels in inputs:
            total += self._resnet(side, channels, width)
            total += self._transformer(side, width, self.model.unet.transformer_depth[level])
        return total

    def _resnet(self, side: int, inputs: int, width: int) -> Work:
        time = frozen(2 * 4 * self.model.unet.block_channels[0] * width, False)
        total = self._conv(side, inputs, width) + self._conv(side, width, width) + time
        return total + self._conv(side, inputs, width, 1) if inputs != width else total

    def _transformer(self, side: int, width: int, depth: int) -> Work:
        if not depth:
            return Work()
        q = side * side
        total = frozen(2 * q * width * width, self.moving)
        for _ in range(depth):
            total += self._self_attention(q, width) + self._cross_attention(q, width)
            total += frozen(2 * q * width * 12 * width, self.moving)  # GEGLU: 8 c and 4 c
        return total + frozen(2 * q * width * width, self.moving)

    def _lora(self, rows: int, inputs: int, outputs: int, moving: bool) -> Work:
        """A frozen dense layer with its low-rank side path."""
        assert self.model.adapter is not None
        rank = self.model.adapter.lora_rank
        down, up = 2 * rows * inputs * rank, 2 * rows * rank * outputs
        base = frozen(2 * rows * inputs * outputs, moving)
        if self.adapter_trains:
            return base + trained(down, moving) + trained(up, True)
        return base + frozen(down, moving) + frozen(up, moving)

    def _self_attention(self, q: int, width: int) -> Work:
        inside = self.moving or self.adapter_trains
        total = self._lora(q, width, width, self.moving) * 3
        total += product(2 * q * q * width, inside, inside) * 2
        self.moving = inside
        return total + self._lora(q, width, width, self.moving)

    def _cross_attention(self, q: int, width: int) -> Work:
        config, projection = self.model.unet, self.model.face_projection
        assert projection is not None
        length, tokens = self.model.text_encoder.max_length, projection.tokens_per_person
        query = self.moving or self.adapter_trains
        total = self._lora(q, width, width, self.moving)
        total += self._lora(length, config.context_width, width, False) * 2
        total += product(2 * q * length * width, query, self.adapter_trains) * 2
        face = 2 * tokens * config.context_width * width
        total += (trained(face, True) if self.adapter_trains else frozen(face, True)) * 2
        total += product(2 * q * tokens * width, query, True) * 2
        self.moving = True  # through the face tokens, if through nothing else
        return total + self._lora(q, width, width, True)


def projection_work(config: FaceProjectionConfig, image_tokens: int, trains: bool) -> Work:
    """The face projection of one person."""
    t, x, inner = config.tokens_per_person, config.context_width, config.context_width
    hidden = 2 * config.id_width
    first = 2 * config.id_width * hidden + 2 * image_tokens * config.image_width * x
    rest = 2 * hidden * t * x + 2 * t * x * x
    attention = 2 * (image_tokens + t) * t * inner * 2
    per_layer = 2 * t * x * inner * 2 + 2 * (image_tokens + t) * x * 2 * inner + 2 * t * x * 8 * x
    if not trains:
        return Work(first + rest + config.depth * (attention + per_layer))
    layers = trained(per_layer, True) + product(attention, True, True)
    return trained(first, False) + trained(rest, True) + layers * config.depth


def loss_work(config: TrainConfig, model: ModelConfig) -> Work:
    """One example's share of a step on precomputed features: a picture, or a person with all targets.

    Args:
        config: the recipe; `remat` and accumulation change nothing here.
        model: with the adapter and the face projection in it.

    Raises:
        InputError: a stage that has no such count.
    """
    image, projection = model.image_encoder, model.face_projection
    if config.stage not in ("anchoring", "reconfiguration") or image is None or projection is None:
        raise InputError(
            f"stage {config.stage!r}: its arithmetic is counted for SD1.5's stages only"
        )
    tokens = (image.image_size // image.patch_size) ** 2 + 1
    size = config.data.image_size
    if config.stage == "anchoring":
        return projection_work(projection, tokens, True) + UNetWork(model, True).pass_over(size)
    edited = UNetWork(model, False).pass_over(size)
    both = Work(2 * edited.forward, edited.backward) * config.loss.targets
    # IMR and the keypoint encoder are under 1 % of it and left out.
    return both + projection_work(projection, tokens, False) * (1 + config.loss.targets)
