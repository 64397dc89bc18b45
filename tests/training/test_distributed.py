"""Which processes a run has, from the launcher's environment."""

from typing import Any

import pytest

from dynamicid_jax.errors import InputError
from dynamicid_jax.training import distributed
from dynamicid_jax.training.distributed import from_first, initialise

HAND = {
    "JAX_COORDINATOR_ADDRESS": "host:1234",
    "JAX_NUM_PROCESSES": "4",
    "JAX_PROCESS_ID": "2",
}
BY_HAND = {"coordinator_address": "host:1234", "num_processes": 4, "process_id": 2}
SLURM = dict.fromkeys(distributed.SLURM, "1")


@pytest.mark.parametrize(
    ("environment", "arguments"),
    [
        ({}, None),
        (HAND, BY_HAND),
        # a JobSet numbers its pods itself
        ({**HAND, "JAX_PROCESS_ID": "", "JOB_COMPLETION_INDEX": "2"}, BY_HAND),
        ({**HAND, "JAX_NUM_PROCESSES": "1"}, None),
        ({**SLURM, "SLURM_NTASKS": "8"}, {}),
        (SLURM, None),
        ({**SLURM, "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8"}, None),  # salloc's shell: no task of a step
        ({"OMPI_COMM_WORLD_SIZE": "2"}, {}),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, None),
    ],
)
def test_from_environment(environment: dict[str, str], arguments: Any) -> None:
    assert distributed._from_environment({"JAX_PLATFORMS": "cpu", **environment}) == arguments


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"JAX_NUM_PROCESSES": ""}, "JAX_NUM_PROCESSES=''"),
        ({"JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES='two'"),
        ({"JAX_PROCESS_ID": ""}, "JAX_PROCESS_ID=''"),
        ({"JAX_PROCESS_ID": "4"}, "JAX_PROCESS_ID=4: must be from 0 to"),
    ],
)
def test_half_an_environment_is_an_error(
    changes: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**HAND, **changes}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=named):
        initialise()


def test_alone_there_is_nothing_to_do() -> None:
    with distributed.running():
        assert from_first(lambda: {"a": 1}) == {"a": 1}
