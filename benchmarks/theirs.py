"""diffusers' UNet beside ours: plain with its fused attention, and with attention as published (`published.py`)."""

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from cases import STEPS
from diffusers import DDIMScheduler, UNet2DConditionModel
from published import TEXT_TOKENS, TOKENS, with_published_attention

from dynamicid_jax.inference.random_model import CONFIGS


def unet(
    size: str, device: str = "cpu", dtype: Any = torch.float32, channels_last: bool = False
) -> Any:
    """A diffusers UNet of our config's shape, with random weights."""
    torch.set_num_threads(os.cpu_count() or 1)
    config = CONFIGS[size]().unet
    with torch.device(device):
        made = UNet2DConditionModel(
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            block_out_channels=config.block_channels,
            layers_per_block=config.layers_per_block,
            attention_head_dim=config.num_heads[0],  # means the number of heads in this family
            cross_attention_dim=config.context_width,
            norm_num_groups=config.norm_groups,
        )
    made = made.eval().to(device, dtype)
    return made.to(memory_format=torch.channels_last) if channels_last else made


def compiled(made: Any) -> Any:
    """The UNet under torch.compile, with CUDA graphs on a GPU; compiling happens at its first call."""
    on_gpu = next(made.parameters()).is_cuda
    return torch.compile(made, mode="reduce-overhead" if on_gpu else "default")


def published(size: str, people: int, device: str = "cpu", dtype: Any = torch.float32) -> Any:
    """The stand-in for the published UNet, with so many people in boxes."""
    config = CONFIGS[size]()
    assert config.adapter is not None
    boxes = [(0.1, i / people, 0.9, (i + 0.9) / people) for i in range(people)]
    return with_published_attention(unet(size, device, dtype), config.adapter.lora_rank, boxes)


def sampling(
    made: Any, size: str, pixels: int, people: int, steps: int = STEPS
) -> Callable[[], float]:
    """Seconds per guided DDIM step; without decoding."""
    config = CONFIGS[size]()
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )
    scheduler.set_timesteps(steps)
    times = [int(step) for step in scheduler.timesteps]
    cells = pixels // config.vae.downscale
    like = next(made.parameters())
    options = {"device": like.device, "dtype": like.dtype}
    given = [torch.tensor(step, device=like.device) for step in times]
    text = torch.randn(2, TEXT_TOKENS + TOKENS * people, config.unet.context_width, **options)

    def run() -> float:
        latents = torch.randn(1, config.unet.in_channels, cells, cells, **options)
        _wait(like)
        begin = time.perf_counter()
        with torch.inference_mode():
            for number, timestep in zip(times, given, strict=True):
                noise = made(latents.repeat(2, 1, 1, 1), timestep, text).sample
                guided = torch.lerp(noise[:1], noise[1:], 5.0)
                latents = scheduler.step(guided, number, latents).prev_sample
        _wait(like)
        return (time.perf_counter() - begin) / steps

    return run


def _wait(like: Any) -> None:
    if like.is_cuda:
        torch.cuda.synchronize()
