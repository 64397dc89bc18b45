"""Twelve trials of the tiny recipe: one training under twelve seeds."""

from pathlib import Path

from dynamicid_jax.sweeps.space import Sweep, grid


def get_sweep() -> Sweep:
    """The sweep."""
    return Sweep(
        recipes=(str(Path(__file__).with_name("recipe.py")),),
        trials=grid({"seed": range(12)}),
        evaluate={
            "suite": "mini",
            "claims": "one",
            "people": 1,
            "steps": 2,
            "batch": 1,
            "face_pack": "mini",
        },
        shown=("one_found", "one_face_sim"),
    )
