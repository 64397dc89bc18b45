"""One evaluation from its request: checks everything, draws, judges, compares, reports.

request -> suite, cast, judges, leak check -> phase 1 (sampling.py) -> phase 2 (judging.py) -> report, comparison
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from dynamicid_jax.convert.load import own_face_pack
from dynamicid_jax.errors import InputError, MissingPartError, OutputError
from dynamicid_jax.evaluation.casts import Cast
from dynamicid_jax.evaluation.claims import Claim
from dynamicid_jax.evaluation.clip_judge import ClipJudge
from dynamicid_jax.evaluation.compare import (
    check_other,
    compare,
    comparison_table,
    write_comparison,
)
from dynamicid_jax.evaluation.judges import Judges
from dynamicid_jax.evaluation.judging import (
    CLIP,
    LOOKS,
    WITHOUT_GATE,
    Verdict,
    compares_context,
    context_shots,
    judge,
)
from dynamicid_jax.evaluation.leaks import check_leaks, everybody, leak_words
from dynamicid_jax.evaluation.looks import JudgeLooker, KeptLooks
from dynamicid_jax.evaluation.page import write_page
from dynamicid_jax.evaluation.report import results, table, write_results
from dynamicid_jax.evaluation.runs import RUN, Settings, claim_folder, read_run
from dynamicid_jax.evaluation.sampling import refused, sample
from dynamicid_jax.evaluation.sheets import sheets, write_sheets
from dynamicid_jax.evaluation.shots import Shot
from dynamicid_jax.evaluation.suite import Suite, read_suite
from dynamicid_jax.evaluation.suite_checks import MOST_PEOPLE
from dynamicid_jax.inference.pipeline import DynamicIDPipeline
from dynamicid_jax.packaged import mini_folder

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """What was asked for.

    Attributes:
        model: a model folder, or "mini".
        out: where everything goes.
        suite: a name, or a .toml file.
        people: how many; None: as many as the suite says.
        skip: how many come before them, whom nobody draws: the suite on people of one's own choice.
        claims: some of the suite's, parted by commas; None: all.
        photos: a folder with a folder per person; None: made-up people.
        judges: the folder of the suite's judges; None: the packaged pack's, for made-up people.
        face_pack: the model's pack, where it has none of its own.
        trained_on: datasets whose people may not be in `photos`.
        without_imr: asks for no edits where the suite leaves that open: the row "without IMR".
        without_gate: a model that was trained without gate, for the mini suite's context.
        settings: of sampling.
        batch: pictures per compiled call, at most.
        dtype: of the model; None: the device's usual one.
        tell: is told what goes on, how much is done, of how much.
        note: is told what should be known.
    """

    model: str
    out: Path
    suite: str = "mini"
    people: int | None = None
    skip: int = 0
    claims: str | None = None
    photos: Path | None = None
    judges: Path | None = None
    face_pack: Path | None = None
    trained_on: tuple[str, ...] = ()
    without_imr: bool = False
    without_gate: str | None = None
    settings: Settings = field(default_factory=Settings)
    batch: int = 64
    dtype: str | None = None
    tell: Tell = lambda what, done, total: None
    note: Callable[[str], None] = lambda text: None

    @cached_property
    def read(self) -> Suite:
        """The suite.

        Raises:
            InputError: no such suite, or a wrong one.
        """
        return read_suite(self.suite)

    @cached_property
    def cast(self) -> Cast:
        """Who is drawn.

        Raises:
            InputError: the suite is not for them, or there are no photos.
        """
        return self.read.cast(self.photos)

    @cached_property
    def chosen(self) -> dict[str, Claim]:
        """The claims.

        Raises:
            InputError: an unknown one.
        """
        return self.read.chosen(self.claims)

    @cached_property
    def who(self) -> range:
        """The numbers of the people who are drawn.

        Raises:
            InputError: none, or more than there are numbers.
        """
        asked = self.read.people(self.cast) if self.people is None else self.people
        if not 1 <= asked <= MOST_PEOPLE:
            raise InputError(f"--people: expected 1 to {MOST_PEOPLE}, got {asked}")
        if not 0 <= self.skip <= MOST_PEOPLE - asked:
            raise InputError(
                f"--skip: expected 0 to {MOST_PEOPLE - asked} before {asked} people, got {self.skip}"
            )
        who = range(self.skip, self.cast.people(self.skip + asked))
        if not who:
            raise InputError(f"--skip {self.skip}: leaves nobody of {who.stop} people")
        return who

    @cached_property
    def opened(self) -> Judges:
        """The judges.

        Raises:
            MissingPartError, InputError, WeightsError: a missing, wrong or damaged file.
        """
        folder = self.judges
        if folder is None and self.cast.name == "made_up" and (mini := mini_folder()):
            folder = mini / "face_pack"
        if folder is None:
            raise MissingPartError(
                f"suite {self.read.name}: needs --judges DIR, the folder with its judges "
                "(docs/EVALUATION.md says which files, and where they are found)"
            )
        return Judges(self.read.judges[self.cast.name], folder)

    @cached_property
    def alike(self) -> ClipJudge | None:
        """The CLIP judge, where the suite names one and the claims ask for it.

        Raises:
            InputError, WeightsError: a wrong or damaged network, or no tokenizer.
        """
        files, judges = self.opened.judges.clip, self.opened
        if files is None or all("clip_t" not in one.measures for one in self.chosen.values()):
            return None
        return ClipJudge(files, judges.folder, self.out / CLIP, judges.fingerprint)

    @cached_property
    def run(self) -> str:
        """Says which pictures, and of whom, these are."""
        return self.read.run_name(self.cast)

    def check(self, *, judging: bool = True, other: Path | None = None) -> None:
        """Looks at everything that can be looked at before hours of drawing.

        Args:
            judging: whether judges will be asked.
            other: the evaluation to compare with.

        Raises:
            InputError: a wrong suite, claim, number or folder of photos; nothing that `without_gate` would measure; or
                another evaluation that does not compare.
            MissingPartError, WeightsError: a judge is missing or damaged.
            OutputError: a file is where the results should go.
        """
        _ = self.chosen, self.who
        if self.out.exists() and not self.out.is_dir():
            raise OutputError(f"{self.out}: is a file; expected a folder, or a name for a new one")
        if self.without_gate and not compares_context(self.chosen):
            raise InputError(
                f"--without_gate: no claim of suite {self.read.name} that is asked for takes the measure 'context'; "
                "leave it out (suite mini has it: --claims context)"
            )
        if judging:
            _ = self.opened, self.alike
        if other is not None:
            about = {"run": self.run, "judges": self.opened.fingerprint}
            check_other(other, about, self.read.numbers(self.chosen))

    def shots(self, can_edit: bool = True) -> list[Shot]:
        """All pictures."""
        return self.read.shots(self.chosen, self.who, self.cast, can_edit)

    def draw(self) -> None:
        """Phase 1.

        Raises:
            InputError: people who were trained on, or a folder of another run.
            MissingPartError: the model lacks what the suite asks for.
            OutputError: the folder cannot be written.
        """
        shots = self.shots()
        leaks = self._leaks(self.model, shots)
        pairs = context_shots(shots) if self.without_gate else []
        bare_leaks = self._leaks(self.without_gate, pairs) if self.without_gate else None
        pipe = self._load(self.model)
        edits = self._can_edit(pipe)
        if not edits:
            shots = self.shots(edits)
        claim_folder(pipe, self.out, self.settings, self.run, edits, leaks)
        bare = self._load(self.without_gate) if self.without_gate else None
        if bare is not None:
            gateless, beside = self.settings.ungated(), self.out / WITHOUT_GATE
            claim_folder(bare, beside, gateless, self.run, True, bare_leaks)
        draw = partial(sample, batch=self.batch, suite=self.run)
        tell = partial(self.tell, "drawn")
        draw(pipe, shots, self.out, self.settings, edits=edits, tell=tell)
        if errors := refused(self.out, shots):
            name, reason = next(iter(errors.items()))
            self.note(
                f"{len(errors)} of {len(shots)} pictures could not be drawn and count as wrong; {name}: {reason}"
            )
        if bare is not None:
            tell = partial(self.tell, "drawn without gate")
            draw(bare, pairs, beside, gateless, tell=tell)

    def _leaks(self, model: str, shots: Sequence[Shot]) -> Mapping[str, Any]:
        """The leak check of everybody in these shots, and a word about it."""
        found = check_leaks(model, self.cast, everybody(shots), self.trained_on)
        self.note(f"leak check: {leak_words(found)}")
        return found

    def judge(self, other: Path | None = None) -> str:
        """Phase 2, and the comparison with another evaluation; returns the tables.

        Raises:
            InputError: pictures are missing, or the two do not compare.
            OutputError: the folder cannot be written.
        """
        shots, judges, drawn = self.shots(), self.opened, read_run(self.out).values
        if drawn.get("suite") != self.run:
            raise InputError(
                f"{self.out}: its pictures are of {drawn.get('suite')!r}, asked is {self.run!r}; expected the suite "
                "and the people that were drawn"
            )
        looker = KeptLooks(JudgeLooker(judges), self.out / LOOKS, judges.fingerprint)
        tell = lambda what, done, total: self.tell(f"judged: {what}", done, total)  # noqa: E731
        verdict = judge(self.out, shots, self.chosen, looker, alike=self.alike, tell=tell)
        requirements = self.read.rows(self.chosen)
        leaks = self._kept_leaks()
        about = self._about(verdict, drawn, leaks)
        made = results(verdict.found, verdict.ceiling, requirements, about, judges.hashes, leaks)
        write_results(self.out, made, requirements, verdict.found)
        text, comparison = table(made, requirements), None
        if other is not None:
            comparison = compare(self.out, other)
            text += "\n" + write_comparison(self.out, comparison)
        pictures = sheets(verdict.seen, verdict.scores)
        write_sheets(self.out, pictures)
        write_page(self.out, made, requirements, pictures, comparison)
        return text

    def _about(
        self, verdict: Verdict, drawn: Mapping[str, Any], leaks: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        said = {
            "leak check" + (f", {name.replace('_', ' ')}" if name != "model" else ""): leak_words(
                one
            )
            for name, one in leaks.items()
        }
        return {
            "suite": self.read.name,
            "run": drawn["suite"],
            "people": len(self.who),
            **({"people skipped": self.skip} if self.skip else {}),
            "pictures": len(verdict.seen),
            "model": f"{drawn.get('name', 'model')} {drawn['model']}",
            "judges": self.opened.fingerprint,
            "sampling": f"{drawn['sampler']}, {drawn['steps']} steps, {drawn['dtype']}, {drawn['settings']}",
            **said,
        }

    def _kept_leaks(self) -> Mapping[str, Any]:
        """What phase 1 found, of the model, and of the one without gate where its pictures are there."""
        leaks = {"model": read_run(self.out).values.get("leaks")}
        beside = self.out / WITHOUT_GATE
        if compares_context(self.chosen) and (beside / RUN).is_file():
            leaks[WITHOUT_GATE] = read_run(beside).values.get("leaks")
        return leaks

    def _load(self, model: str) -> DynamicIDPipeline:
        pack = self.face_pack or own_face_pack(self.model)
        if pack is None:
            raise MissingPartError(
                f"{self.model}: has no face pack of its own; pass --face_pack PACK"
            )
        pipe = DynamicIDPipeline.from_pretrained(model, dtype=self.dtype, face_pack=pack)
        if pipe.config.weights == "random":
            self.note("this model's weights are random; its pictures are noise")
        return pipe

    def _can_edit(self, pipe: DynamicIDPipeline) -> bool:
        """Whether edits are asked for where the suite leaves that open.

        Raises:
            MissingPartError: the suite asks for edits, and the model cannot make them.
        """
        kinds = self.read.kinds(self.chosen)
        needing = [kind for kind in kinds if self.read.pictures[kind].needs_edits]
        if self.without_imr and needing:
            raise InputError(
                f"--without_imr: pictures {needing[0]!r} of suite {self.read.name} are edits by IMR"
            )
        if self.without_imr:
            return False
        try:
            pipe.check_editable()
        except MissingPartError as error:
            if needing:
                raise MissingPartError(
                    f"suite {self.read.name}: pictures {needing[0]!r} are edits; {error}"
                ) from None
            if any(self.read.pictures[kind].motion == "edit if able" for kind in kinds):
                self.note(f"nobody is edited, expressions and poses are the photos' own ({error})")
            return False
        return True


def compared(out: Path, other: Path) -> str:
    """The comparison of two judged evaluations alone; returns its table.

    Raises:
        InputError: they do not compare.
        OutputError: it cannot be written.
    """
    made = compare(out, other)
    write_comparison(out, made)
    return comparison_table(made)
