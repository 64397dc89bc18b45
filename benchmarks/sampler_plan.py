"""The sampling loop and the decoder compiled for a TPU that is not here, with the least time that they can take on it.

    python benchmarks/sampler_plan.py --topology v5e:2x2 --size 512 --people 1          needs libtpu

SD1.5 with the adapter folded, guidance on, on one chip of the slice (pictures of a batch do not talk to each
other). Nothing is run: memory is what the compiler lays out, and the least time is the planner's roofline (the larger
of arithmetic at the peak rate and traffic at full bandwidth), which nothing real reaches. A compilation takes 3 to 10
minutes of CPU time. Prints rows of docs/TPU.md.
"""

import argparse
from dataclasses import replace
from functools import partial
from typing import Any


def main() -> None:
    """Compiles both programs and prints two rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--topology", default="v5e:2x2", help="whose chip: v5e:2x2, v6e:2x2, cpu:1")
    parser.add_argument("--model", default="sd15", help="a shape: sd15, or tiny for a rehearsal")
    parser.add_argument("--size", type=int, default=512, help="pixels")
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--dtype", default="bfloat16", help="of the UNet")
    args = parser.parse_args()
    from dynamicid_jax.planning import topology

    topology.prepare(args.topology)
    machine = topology.find(args.topology)
    print("| program | chip | peak, GiB | TFLOP | moved, GiB | least ms | term |")
    print("|---|---|---|---|---|---|---|")
    loop, decoder = programs(args, machine.devices[0])
    what = f"{args.steps} guided steps, {args.pictures} x {args.size} px, {args.people} people"
    print(row(what, loop, machine, args.steps), flush=True)
    what = f"decoding {args.pictures} x {args.size} px, float32"  # a loop over pictures
    print(row(what, decoder, machine, args.pictures))


def programs(args: argparse.Namespace, device: Any) -> tuple[Any, Any]:
    """The loop and the decoder, lowered for a device, with shapes in the place of arrays."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import SingleDeviceSharding

    from dynamicid_jax.convert.expected import expected_shapes
    from dynamicid_jax.diffusion.samplers import SAMPLERS
    from dynamicid_jax.diffusion.schedule import NoiseSchedule
    from dynamicid_jax.inference import networks
    from dynamicid_jax.inference.layout import face_layout, map_sizes, places
    from dynamicid_jax.inference.random_model import CONFIGS
    from dynamicid_jax.models.unet import UNet
    from dynamicid_jax.models.vae import VAE
    from dynamicid_jax.trees import nest

    config = CONFIGS[args.model]()
    adapter = replace(config.adapter, lora_rank=0)
    shapes = expected_shapes(replace(config, adapter=adapter))
    here = SingleDeviceSharding(device)

    def put(tree: Any, dtype: Any = None) -> Any:
        def one(leaf: Any) -> Any:
            kind = dtype if dtype and jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.dtype
            return jax.ShapeDtypeStruct(leaf.shape, kind, sharding=here)

        return jax.tree.map(one, tree)

    dtype = jnp.dtype(args.dtype)
    unet = UNet(config.unet, adapter, dtype, backend=device.platform)
    weights = put({"params": nest(shapes["unet"]), "adapter": nest(shapes["adapter"])}, dtype)
    cells, width = args.size // config.vae.downscale, config.unet.context_width
    rows, members = 2 * args.pictures, places(args.people)
    text = jax.ShapeDtypeStruct((rows, 77, width), dtype)
    faces = jax.ShapeDtypeStruct((rows, members, 4, width), dtype)
    sizes = map_sizes(cells, cells, len(config.unet.block_channels))
    boxes = [(i / args.people, 0.1, (i + 1) / args.people, 0.9) for i in range(args.people)]
    conditions = networks.Conditions(
        contexts=jax.eval_shape(
            partial(networks.project, unet, pictures=1, strengths=None), weights, text, faces
        ),
        layout=jax.eval_shape(lambda: face_layout(boxes, jnp.eye(members), sizes)),
        layout_strength=jnp.float32(2),
        layout_steps=jnp.int32(12),
        guidance_scale=jnp.float32(5),
    )
    sampler = SAMPLERS["ddim"]
    plan = sampler.plan(NoiseSchedule.from_config(config.schedule), args.steps)
    steps = jax.eval_shape(partial(networks.make_steps, unet), weights, plan)
    noise = jax.ShapeDtypeStruct(
        (args.pictures, cells, cells, config.unet.in_channels), jnp.float32
    )
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), args.pictures))
    start = partial(networks.start_state, unet)
    state = jax.eval_shape(start, weights, conditions, steps, noise, keys)
    inputs = [put(one) for one in (conditions, steps, state, jnp.int32(0), jnp.int32(args.steps))]
    loop = networks.run_steps.lower(unet, sampler, "epsilon", weights, *inputs)
    net = VAE(config.vae)
    decoder = networks.decode.lower(net, put(nest(shapes["vae"])), put(noise))
    return loop, decoder


def row(what: str, lowered: Any, machine: Any, rounds: int) -> str:
    """One line; the compiler counts a loop's body once, so that work is told `rounds` times."""
    from dynamicid_jax.planning.roofline import roofline

    compiled = lowered.compile()
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    peak = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    peak += memory.generated_code_size_in_bytes
    flops, moved = rounds * cost["flops"], rounds * cost["bytes accessed"]
    least, term, name = "", "", "CPU"
    if machine.chip is not None:
        times = roofline(machine.chip, flops, moved, 0)
        least, term, name = f"{1e3 * times.seconds:.0f}", times.bound, machine.chip.name
    gib = 2**30
    cells = (
        what,
        name,
        f"{peak / gib:.1f}",
        f"{flops / 1e12:.1f}",
        f"{moved / gib:.0f}",
        least,
        term,
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
