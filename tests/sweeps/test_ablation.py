"""The shipped studies: every row is a recipe that can be read, and differs from its reference in what its name says."""

from dataclasses import asdict
from pathlib import Path

import pytest

from dynamicid_jax.cli.main import main
from dynamicid_jax.config import read_recipe
from dynamicid_jax.jobs.job import read_job
from dynamicid_jax.sweeps.files import read_sweep
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


def test_the_papers_rows_have_the_papers_signs(study):
    assert set(study.published) == {"without_saa", "without_imr"}
    for row, differences in study.published.items():
        assert study.reference(row) == "full"
        assert set(differences) == {
            f"single_{name}" for name in ("clip_t", "face_sim", "expr", "pose")
        }
        assert set(differences) <= set(study.shown)


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["suite=sngle"], "--suite 'sngle': expected one of edit, mini, multi, single"),
        (["stps=3"], "unrecognized arguments: --stps 3"),
        (["steps=many"], "argument --steps"),
        (["steps=0"], "steps: expected a whole number"),
        (["claims=x"], "--claims 'x': expected some of single"),
        (["judges=nowhere"], "nowhere/detector.onnx: no such file"),
        (["photos=nowhere", "judges=nowhere"], "--photos nowhere: no such folder"),
        (["face_pack=nowhere"], "nowhere"),
        (["compare=nowhere"], "nowhere: holds no values.json"),
        (["trained_on=nowhere"], "nowhere: no dataset"),
        (["model=mini"], "model is the sweep's own to set"),
        (["help"], "unrecognized arguments: --help"),
    ],
)
def test_an_evaluation_that_cannot_begin_is_told_before_anything_runs(
    tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(ROOT)
    words = ["sweep", "--sweep", "configs/sweeps/ablation.py", "--out", str(tmp_path / "out")]
    assert main([*words, "--evaluate", *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [message in line for line in lines if line.startswith("error: ")] == [True]
    assert not (tmp_path / "out").exists()


def test_a_trained_model_has_no_face_pack_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    words = ["sweep", "--sweep", "configs/sweeps/ablation_sd15.py", "--out", str(tmp_path / "out")]
    assert main([*words, "--only", "full"]) == 2
    assert "--face_pack: a model that was trained has none of its own" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_same_recipe_twice_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    words = ["sweep", "--sweep", "configs/sweeps/ablation.py", "--out", str(tmp_path / "out")]
    twice = ["configs/mini/anchoring.py"] * 2
    assert main([*words, "--only", "full", "--recipes", *twice]) == 2
    assert "2 recipes are called 'anchoring'" in capsys.readouterr().err


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
