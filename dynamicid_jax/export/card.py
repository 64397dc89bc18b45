"""The model card (README.md) of an exported model: what is known is written down, what is not is said to be unknown.

Stages, data and settings come from the reports that training left beside the model (WORKDIR/report.json), run by run
back to the base; numbers come from `dynamicid evaluate`; the licence and uses from whoever exports. Folders are named
by their last part only: a card is for strangers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from dynamicid_jax.convert.load import Loaded
from dynamicid_jax.convert.model_folder import BASE
from dynamicid_jax.errors import InputError
from dynamicid_jax.evaluation.report import number
from dynamicid_jax.files import write_atomically
from dynamicid_jax.models.configs import ModelConfig

CARD = "README.md"
RUN_MODEL = "model"  # the folder in which training leaves its model, beside its report
MOST_RUNS = 20  # a chain of bases that is longer goes in circles
INTENDED = (
    "Pictures of people who have agreed to be shown, from photographs that they or their guardians provided; research "
    "on the method."
)
EXCLUDED = (
    "Pictures of anybody without their consent; deceiving others about what somebody did or said; sexual or degrading "
    "pictures of real people; recognising, tracking or judging people by their faces."
)
PRIVACY = (
    "Photographs of people are personal data, and face embeddings and face tokens made from them are biometric data. "
    "Neither is in this folder's weights as such; a model trained on few people may still reproduce them."
)


@dataclass(frozen=True)
class Card:
    """What the model itself does not say.

    Attributes:
        evaluation: a folder or results.json of `dynamicid evaluate`.
        licence: of the weights, as whoever exports states it.
        intended: uses that it is meant for.
        excluded: uses that it is not meant for.
    """

    evaluation: Path | None = None
    licence: str | None = None
    intended: str = INTENDED
    excluded: str = EXCLUDED

    def results(self) -> Mapping[str, Any] | None:
        """The evaluation's numbers.

        Raises:
            InputError: no such results.
        """
        if self.evaluation is None:
            return None
        path = self.evaluation
        path = path / "results.json" if path.is_dir() else path
        try:
            found = json.loads(path.read_text("utf-8"))
            return {"about": found["about"], "claims": found["claims"]}
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"{path}: not results of dynamicid evaluate; expected its folder or results.json"
            ) from None


def write_card(
    folder: Path,
    source: str | Path,
    name: str,
    loaded: Loaded,
    dtype: str,
    adapter_only: bool,
    card: Card,
) -> None:
    """Writes the card into an exported folder.

    Raises:
        InputError: the evaluation's results cannot be read.
        OutputError: the card cannot be written.
    """
    reports = history(source)
    parts = [
        f"# Model card: {name}",
        _what(loaded, dtype, adapter_only),
        _section("Stages and data", _stages(reports)),
        _section("Settings", _settings(loaded.config)),
        _section("Evaluation", _evaluation(card.results())),
        _section("Licence", _licence(card, adapter_only)),
        _section("Intended uses", [card.intended]),
        _section("Excluded uses", [card.excluded]),
        _section("Privacy", [PRIVACY]),
        *_earlier(source),
    ]
    text = "\n\n".join(parts) + "\n"
    write_atomically(folder / CARD, lambda file: file.write(text.encode()))


def history(model: str | Path) -> list[dict[str, Any]]:
    """Reports of the runs that made a model, the first one first; those that are still there."""
    found: list[dict[str, Any]] = []
    folder = Path(model).expanduser()
    while folder.name == RUN_MODEL and len(found) < MOST_RUNS:
        try:
            report = json.loads((folder.parent / "report.json").read_text("utf-8"))
            base = report["config"]["base"]
        except (OSError, ValueError, KeyError, TypeError):
            break
        found.insert(0, report)
        if not base:
            break
        folder = Path(base)
    return found


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}", "", *lines])


def _what(loaded: Loaded, dtype: str, adapter_only: bool) -> str:
    lines = [
        "Identity-preserving text-to-image generation (DynamicID, arXiv 2503.06505), for dynamicid-jax.",
        f"Weights are stored as {dtype}.",
    ]
    if adapter_only:
        lines.append(
            "**This folder goes on top of a base**, and several bases of one shape can share it: "
            '`DynamicIDPipeline.from_pretrained("BASE", adapter="THIS FOLDER")`.'
        )
    if loaded.config.weights == "random":
        lines.append("**The weights are random: pictures are noise.**")
    rows = ["| network | values |", "| --- | --- |"]
    for part, tree in loaded.weights.items():
        if not (adapter_only and part in BASE):
            rows.append(f"| {part} | {sum(leaf.size for leaf in jax.tree.leaves(tree)):,} |")
    return "\n".join([*lines, "", *rows])


def _stages(reports: list[dict[str, Any]]) -> list[str]:
    if not reports:
        return ["Not recorded: no training report lies beside the model that was exported."]
    rows = ["| stage | data | updates x batch | hours | held-out loss, change | devices |"]
    rows += ["| --- | --- | --- | --- | --- | --- |"]
    return rows + [_stage(report) for report in reports]


def _stage(report: Mapping[str, Any]) -> str:
    sources = report["config"].get("data", {}).get("sources", [])
    data = ", ".join(Path(str(one.get("path", "?"))).name for one in sources) or "-"
    held = report.get("held-out") or {}
    loss = f"{number(held.get('heldout/loss'))}, {number(held.get('heldout/change'))}"
    hours = report.get("time", {}).get("total_seconds", 0) / 3600
    updates = f"{report['updates']['done']} x {report['batch_size']}"
    devices = report.get("where", {}).get("devices", "-")
    return f"| {report['stage']} | {data} | {updates} | {hours:.2f} | {loss} | {devices} |"


def _settings(config: ModelConfig) -> list[str]:
    sampling = config.sampling
    lines = [
        f"- sampling: {sampling.sampler}, {sampling.steps} steps, {sampling.width} x {sampling.height} px, guidance "
        f"{sampling.guidance_scale:g}, predicts {config.schedule.prediction_type}",
        f"- references: {config.reference_crop} crop, embeddings of {config.id_channels} pictures",
    ]
    if (adapter := config.adapter) is not None:
        alpha = "none" if adapter.lora_alpha is None else f"{adapter.lora_alpha:g}"
        lines.append(
            f"- adapter: LoRA rank {adapter.lora_rank}, alpha {alpha}, gate threshold {adapter.gate_threshold:g}"
        )
    if (face := config.face_projection) is not None:
        lines.append(f"- face tokens: {face.tokens_per_person} per person of {face.context_width}")
    if config.imr is not None and config.keypoint_encoder is not None:
        lines.append(
            f"- editing: IMR, {config.keypoint_encoder.num_landmarks} landmarks, told {config.imr.motion} of a motion"
        )
    return lines


def _evaluation(results: Mapping[str, Any] | None) -> list[str]:
    if results is None:
        return ["Not measured for this card (`dynamicid evaluate`, then `export --evaluation`)."]
    lines = [f"{name}: {value}  " for name, value in results["about"].items()]
    lines += ["", "| measured | value | 95 % interval | pictures |", "| --- | --- | --- | --- |"]
    for name, claim in results["claims"].items():
        interval = f"{number(claim['low'])} to {number(claim['high'])}"
        cells = [claim.get("title") or name, number(claim["value"]), interval, str(claim["count"])]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _licence(card: Card, adapter_only: bool) -> list[str]:
    lines = [card.licence or "Not stated by whoever exported this (`export --licence`)."]
    if not adapter_only:
        lines.append("The base's own licence (of SD1.5: CreativeML OpenRAIL-M) holds for its part.")
    return lines


def _earlier(source: str | Path) -> list[str]:
    """The source's own card, where it has one."""
    from dynamicid_jax.packaged import model_path

    path = model_path(source) / CARD
    if not path.is_file():
        return []
    text = path.read_text("utf-8", errors="replace").strip()
    return ["## The card of the model that this was made from", text.replace("\n#", "\n##")]
