"""A run of several processes in miniature: python psum_worker.py FOLDER STEPS TIMEOUT [FAILING_PROCESS].

Every step averages over all devices, so no process can go on alone. With FAILING_PROCESS that one raises in step 5.
"""

import sys
import time

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dynamicid_jax.errors import InputError
from dynamicid_jax.training import distributed
from dynamicid_jax.training.checkpoint import Checkpoints
from dynamicid_jax.training.preemption import Preemption

folder, steps, timeout = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
failing = int(sys.argv[4]) if len(sys.argv) > 4 else None

with distributed.running(timeout), Preemption() as preemption:
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    spread = NamedSharding(mesh, PartitionSpec("data"))
    start = np.arange(32, dtype=np.float32).reshape(8, 4)
    state = {"x": jax.make_array_from_callback(start.shape, spread, lambda index: start[index])}
    advance = jax.jit(
        lambda state: {"x": 0.9 * state["x"] + 0.1 * state["x"].mean()},
        out_shardings={"x": spread},
        donate_argnums=0,
    )
    checkpoints, step = Checkpoints(folder), 0
    restored = checkpoints.restore(state)
    if restored is not None:
        state, step = restored.state, restored.step
    print(f"from {step}", flush=True)
    while step < steps:
        state, step = advance(state), step + 1
        jax.block_until_ready(state)
        time.sleep(0.02)
        # one write: print has a second for the line's end, and the watchdog's line could come between the two
        sys.stdout.write(f"{step}\n")
        sys.stdout.flush()
        if step == 5 and jax.process_index() == failing:
            raise InputError("photo.png: not a picture")
        if preemption.stop_requested(step):
            break
    checkpoints.save(step, state, {})
    checkpoints.close()
    print(f"saved {step}", flush=True)
