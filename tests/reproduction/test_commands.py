"""A run is made of ordinary commands; its report holds what they wrote, and says what a rehearsal is."""

import json
from pathlib import Path

import pytest

from dynamicid_jax.cli.main import build_parser, main
from dynamicid_jax.jobs.job import Command, read_job, read_state, write_job
from dynamicid_jax.packaged import ASSETS
from dynamicid_jax.reproduction.commands import Choice, published_commands, trained_commands
from dynamicid_jax.reproduction.inputs import Inputs
from dynamicid_jax.reproduction.report import write_report

RECIPES = ("configs/anchoring_sd15.py", "configs/reconfiguration_sd15.py")
MINI = ("configs/mini/anchoring.py", "configs/mini/reconfiguration.py")
PACK = str(ASSETS / "mini" / "face_pack")


def parsed(command: Command) -> object:
    """Every command is one that the command line takes."""
    assert command.words[0] == "dynamicid"
    return build_parser().parse_args(list(command.words[1:]))


def test_the_published_checkpoint_is_converted_and_evaluated(tiny_checkpoint, tmp_path):
    inputs = Inputs(str(tiny_checkpoint), base=str(tiny_checkpoint), face_pack=PACK)
    choice = Choice(("single", "edit"), evaluate=("--people", "2"))
    convert, single, edit = published_commands(inputs, choice, tmp_path)
    args = parsed(convert)
    assert args.adapter == str(tiny_checkpoint / "SAA.bin")
    assert args.image_encoder == str(tiny_checkpoint / "image_encoder")
    assert (args.out, convert.makes) == (str(tmp_path / "model"), "model/model.json")
    for command, suite in ((single, "single"), (edit, "edit")):
        args = parsed(command)
        assert (args.suite, args.people, args.face_pack) == (suite, 2, PACK)
        assert args.model == str(tmp_path / "model")
        assert command.makes == f"{suite}/results.json"


def test_a_suite_may_be_a_file_of_ones_own(tmp_path):
    choice = Choice(("my/single.toml", "multi"))
    _, single, multi = published_commands(Inputs("mini"), choice, tmp_path)
    assert (single.name, parsed(single).suite) == ("single", "my/single.toml")
    assert single.makes == "single/results.json"
    assert parsed(multi).suite == "multi"


def test_training_goes_from_photographs_to_suites(tmp_path):
    choice = Choice(("single",), recipes=RECIPES, train=str(tmp_path / "photos"))
    made = trained_commands(Inputs("mini"), choice, tmp_path / "own", tmp_path / "published")
    assert [command.name for command in made] == ["prepare", "precompute", "train", "single"]
    prepare, precompute, train, single = map(parsed, made)
    assert precompute.data == prepare.out
    assert train.data == precompute.out
    assert precompute.model == str(tmp_path / "published" / "model")
    assert {"model.anew=True", f"base={precompute.model!r}"} <= set(train.overrides)
    assert single.model == str(tmp_path / "own" / "reconfiguration_sd15" / "model")


def test_a_prepared_dataset_is_taken_as_it_is(tmp_path):
    (tmp_path / "dataset.json").write_text("{}")
    choice = Choice((), recipes=RECIPES, train=str(tmp_path))
    made = trained_commands(Inputs("mini"), choice, tmp_path / "own", tmp_path / "published")
    assert [command.name for command in made] == ["precompute", "train"]
    made = trained_commands(Inputs("mini"), Choice((), recipes=RECIPES), tmp_path, tmp_path)
    assert [command.name for command in made] == ["train"]  # the recipes' own data


def test_the_report_has_numbers_versions_and_commands_and_no_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no checkout: an installed wheel has no docs/
    folder = tmp_path / "published" / "single"
    folder.mkdir(parents=True)
    claims = {"single_face_sim": {"value": 0.5, "low": 0.4, "high": 0.6, "title": "FaceSim"}}
    (folder / "results.json").write_text(json.dumps({"about": {"model": "abc"}, "claims": claims}))
    (folder / "picture.png").write_bytes(b"somebody")
    write_job(tmp_path / "published", [Command("single", ("dynamicid", "evaluate"), "single")])
    report = write_report(tmp_path, rehearsal="")
    names = {file.relative_to(report).as_posix() for file in report.rglob("*") if file.is_file()}
    assert names == {"README.md", "FIRST_REAL_RUN.md", "run.json", "results/published_single.json"}
    page = (report / "FIRST_REAL_RUN.md").read_text()
    assert "| one person: FaceSim | 0.671 | 0.682 | 0.712 | 0.500 (0.400 to 0.600) |  |" in page
    assert "## What is needed" in page  # the whole page, with its table filled
    facts = json.loads((report / "run.json").read_text())
    assert facts["jobs"]["published"]["commands"] == {"single": ["dynamicid", "evaluate"]}
    assert {"jax", "dynamicid-jax"} <= set(facts["versions"])
    rehearsed = write_report(tmp_path, rehearsal="the people are made up")
    assert "Rehearsal, not a real run" in (rehearsed / "FIRST_REAL_RUN.md").read_text()
    assert "do not put its numbers" in (rehearsed / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suites", "single,all"], "--suites 'single,all': expected some of single, multi, edit"),
        (["--train", "--recipes", "nowhere.py"], "nowhere.py: no such file"),
        (
            ["--train", "nowhere", "--yes"],
            "training data (--train): --train nowhere: no such folder",
        ),
        (["--train", "--yes"], "the recipe names none; give --train DIR"),
        (["--train", "--recipes", MINI[0], MINI[0]], "2 recipes are called 'anchoring'"),
        (["--yes"], "--yes: begins a training"),
        (["--suites", "my/single.toml"], "suite my/single.toml: cannot be read"),
        (["--evaluate", "stps=3"], "suite single: evaluate: unrecognized arguments: --stps 3"),
        (["--evaluate", "steps=0"], "steps: expected a whole number from 1"),
        (["--evaluate", "sampler=magic"], "sampler='magic': expected one of ddim"),
        (["--evaluate", "claims=many"], "--claims 'many': expected some of single"),
        (["--evaluate", "out=x"], "--model, --out and --only are set"),
        (["--evaluate", "photos=x"], "--evaluate photos: has an option of its own"),
        (["--people", "0"], "--people: expected 1 to"),
        (
            ["--judges", "nowhere"],
            "recogniser judge judges/recogniser.onnx (--judges): not in nowhere",
        ),
        (["--fill", "docs/FIRST_REAL_RUN.md"], "--fill: this is a rehearsal"),
        (["--train", "--device", "Z80"], "--device 'Z80': not in the table"),
        (["--train", "--hourly_price", "-1"], "expected at least 1"),
    ],
)
def test_bad_requests_are_one_line(tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(["reproduce", "--checkpoint", "mini", "--out", str(tmp_path), *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [message in line for line in lines if line.startswith("error: ")] == [True]
    assert not (tmp_path / "published").exists()


def rehearsed(out: Path, people: int, *given: str) -> list[str]:
    """Runs the command twice, the second time with nothing left to do; the table's row of FaceSim."""
    words = ["reproduce", "--checkpoint", *given, "--out", str(out), "--people", str(people)]
    words += ["--evaluate", "steps=2", "batch=4"]
    assert main(words) == 0, (out / "published" / "log.txt").read_text()[-2000:]
    attempts = read_state(out / "published").attempts
    assert main(words) == 0
    assert read_state(out / "published").attempts == attempts
    page = (out / "report" / "FIRST_REAL_RUN.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| one person: FaceSim |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.slow  # minutes: converts, draws and judges
def test_a_rehearsal_on_the_golden_checkpoint(tmp_path, monkeypatch, tiny_checkpoint):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert rehearsed(tmp_path, 3, str(tiny_checkpoint), "--face_pack", PACK)[4]


@pytest.mark.slow  # many minutes: trains both stages of the mini model, too, a step each
def test_a_rehearsal_on_the_mini_model_with_training(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    train = ["--train", "--yes", "--recipes", *MINI, "--config.steps=1", "--config.batch_size=8"]
    train += ["--config.log.heldout_every=0", "--config.log.pictures_every=0"]
    row = rehearsed(tmp_path, 1, "mini", *train)
    assert row[4]
    assert row[5]
    assert "| both |" in (tmp_path / "report" / "cost.md").read_text()
    job = read_job(tmp_path / "published")
    assert [command.name for command in job.commands] == ["convert", "single", "multi", "edit"]
