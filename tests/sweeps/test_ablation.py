"""The shipped studies: every row is a recipe that can be read, and differs from its reference in what its name says."""

from dataclasses import asdict
from pathlib import Path

import pytest

from dynamicid_jax.cli.main import main
from dynamicid_jax.config import read_recipe
from dynamicid_jax.jobs.job import read_job
from dynamicid_jax.sweeps.space import read_sweep
from dynamicid_jax.trees import flatten

ROOT = Path(__file__).parents[2]
ROWS = (
    "full", "without_saa", "without_imr", "gate_threshold_*", "rank_*", "tokens_*", "imr_depth_*",
    "imr_contrastive_*", "imr_ldc_only", "imr_dfm_only", "imr_keypoints_only", "imr_text_only",
)  # fmt: skip


@pytest.fixture(params=["ablation", "ablation_sd15"])
def study(request, monkeypatch):
    monkeypatch.chdir(ROOT)
    return read_sweep(Path(f"configs/sweeps/{request.param}.py"))


def test_all_rows_of_the_study_are_there(study):
    for pattern in ROWS:
        assert study.chosen(pattern)
    assert {study.reference(trial.name) for trial in study.trials} == {None, "full", "imr_full"}


def test_a_row_differs_from_its_reference_in_its_changes_alone(study):
    rows = {trial.name: study.whole(trial) for trial in study.trials}
    for name, row in rows.items():
        reference = study.reference(name)
        if reference is None:
            assert not row.changes
            continue
        assert row.recipes[-1] in rows[reference].recipes
        for recipe in row.recipes:
            overrides = [f"{key}={value!r}" for key, value in row.changes.items()]
            one, other = (
                flatten(asdict(read_recipe(recipe, changes))) for changes in (overrides, ())
            )
            differ = {key.replace("/", ".") for key in one if one[key] != other[key]}
            assert differ == set(row.changes), name


def test_show_prints_commands_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    out = tmp_path / "out"
    words = ["sweep", "--sweep", "configs/sweeps/ablation.py", "--out", str(out)]
    more = ["--config.steps=7", "--evaluate", "people=3", "--only", "without_saa"]
    assert main([*words, "--show", *more]) == 0
    shown = capsys.readouterr().out
    assert f"--workdir {out}/without_saa --config.model.gate=False --config.steps=7" in shown
    assert f"--model {out}/without_saa/reconfiguration/model" in shown
    assert "--suite single" in shown
    assert "--no_gate --people 3" in shown
    assert not out.exists()


def test_recipes_may_be_named_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    file = tmp_path / "rates.py"
    file.write_text("def get_sweep():\n    yield {'seed': 1}\n")
    words = ["sweep", "--sweep", str(file), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "--recipes: the sweep names none" in capsys.readouterr().err
    assert main([*words, "--show", "--recipes", "configs/mini/anchoring.py"]) == 0
    assert "configs/mini/anchoring.py --workdir" in capsys.readouterr().out


def test_an_unknown_key_is_told_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    words = ["sweep", "--sweep", "configs/sweeps/ablation.py", "--out", str(tmp_path / "out")]
    assert main([*words, "--config.model.lora_rnak=3"]) == 2
    assert "did you mean 'lora_rank'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_slurm_gets_a_script_and_every_trial_its_commands(tmp_path, monkeypatch, capsys):
    """Slurm writes the script and its array, and says where it can be submitted if there is no sbatch."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["sweep", "--sweep", "configs/sweeps/ablation.py", "--out", str(tmp_path / "out")]
    assert main([*words, "--launcher", "slurm", "--only", "full,rank_8", "--jobs", "2"]) == 2
    assert "no sbatch on this machine" in capsys.readouterr().err
    job = read_job(tmp_path / "out" / "rank_8")
    assert [command.name for command in job.commands] == ["train", "evaluate"]
    script = (tmp_path / "out" / "sweep.sbatch").read_text()
    assert "#SBATCH --array=0-1%2\n" in script
    assert "trials=(full rank_8)\n" in script
    assert main([*words, "--only", "rank_8", "--config.steps=3"]) == 2
    assert "holds another job; train: --config.steps=3" in capsys.readouterr().err
