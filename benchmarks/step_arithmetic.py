"""Does the compiled step do more arithmetic than the losses ask for? At most 1.1 times, on precomputed features.

    python benchmarks/step_arithmetic.py --topology v5e:2x2 --batch_size 32

Compiles the real step of a stage at SD1.5 size for a TPU slice that need not be there (needs libtpu; anchoring takes 3
to 9 minutes on 2 cores, reconfiguration 20 minutes of CPU time), and sets three counts side by side, per example:

    formula   planning/arithmetic.py, from the configs alone
    jaxpr     flops.py, of the step as it is traced
    compiled  the compiler's own cost analysis, which also counts norms and softmax; it takes a loop's body once, so
              with --accumulation (parts of a batch, a loop) it is multiplied by what the loop adds in the jaxpr

Without --topology only the first two are compared, which takes seconds. Keep at least 8 pictures per chip: below that
the TPU compiler cuts maps into overlapping strips to fill its tiles, and computes the overlaps twice.
"""

import argparse
from dataclasses import replace

LIMIT = 1.1


def main() -> int:
    """Prints a Markdown table; 1 where the compiled step does more than `LIMIT` times the formula."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", choices=("anchoring", "reconfiguration"), default="anchoring")
    parser.add_argument("--topology", default="cpu:1", help="such as v5e:2x2; default: count only")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--targets", type=int, default=32)
    parser.add_argument("--accumulation", type=int, default=1, help="parts of a batch")
    args = parser.parse_args()

    from dynamicid_jax.planning import topology

    topology.prepare(args.topology)
    from dynamicid_jax.config import TrainConfig
    from dynamicid_jax.flops import count_flops
    from dynamicid_jax.inference.random_model import sd15_config
    from dynamicid_jax.planning.arithmetic import loss_work
    from dynamicid_jax.planning.program import abstract_step
    from dynamicid_jax.training.sharding import make_mesh

    config = TrainConfig(stage=args.stage, batch_size=args.batch_size)
    config = replace(
        config,
        loss=replace(config.loss, targets=args.targets),
        optimizer=replace(config.optimizer, accumulation=args.accumulation),
    )
    machine = topology.find(args.topology)
    mesh = make_mesh(config.mesh, machine.devices)
    step = abstract_step(config, sd15_config(), mesh)
    work = loss_work(config, step.program.networks.config)
    traced = count_flops(step.step, *step.arguments)["total"]
    counts = {"formula": work.total, "jaxpr": traced / args.batch_size}
    if machine.platform == "tpu":
        loops = traced / count_flops(step.step, *step.arguments, loops=False)["total"]
        per_device = step.lower().compile().cost_analysis()["flops"]
        counts["compiled"] = per_device * loops * mesh.devices.size / args.batch_size
    print(
        f"{args.stage}, SD1.5, {config.data.image_size} px, {args.topology}, batch {args.batch_size}, "
        f"{args.accumulation} parts"
    )
    print(f"formula: forward {work.forward / 1e12:.3f}, backward {work.backward / 1e12:.3f} TFLOP")
    print("\n| count | TFLOP per example | times the formula |\n|---|---|---|")
    for name, flops in counts.items():
        print(f"| {name} | {flops / 1e12:.3f} | {flops / work.total:.3f} |")
    return int(max(counts.values()) > LIMIT * work.total)


if __name__ == "__main__":
    raise SystemExit(main())
