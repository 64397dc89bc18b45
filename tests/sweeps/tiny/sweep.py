"""Twelve trials of the tiny recipe: one training under twelve seeds."""

from pathlib import Path

from dynamicid_jax.sweeps.space import Sweep, grid

HERE = Path(__file__).parent


def get_sweep() -> Sweep:
    """The sweep."""
    return Sweep(
        recipes=(str(HERE / "recipe.py"),),
        trials=grid({"seed": range(12)}),
        evaluate={"suite": str(HERE / "suite.toml"), "steps": 2, "batch": 1, "face_pack": "mini"},
        shown=("one_found", "one_count_error"),
    )
