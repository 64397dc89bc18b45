"""Is everything there? What is missing, where it is found and under which licence; nothing is loaded on a device."""

from collections.abc import Iterator

from dynamicid_jax.config import TrainConfig
from dynamicid_jax.convert import base_configs, model_folder, published
from dynamicid_jax.errors import DynamicIDError, MissingPartError, one_line
from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.inference.random_model import sd15_config
from dynamicid_jax.models.configs import ModelConfig
from dynamicid_jax.packaged import model_path
from dynamicid_jax.planning.base_shape import base_shape
from dynamicid_jax.reproduction import sources
from dynamicid_jax.reproduction.check_judges import judge_findings, read_suites
from dynamicid_jax.reproduction.check_model import model_findings
from dynamicid_jax.reproduction.check_people import photo_findings, training_findings
from dynamicid_jax.reproduction.findings import Finding
from dynamicid_jax.reproduction.inputs import Inputs

PUBLISHED_LANDMARKS = 106


def check(inputs: Inputs) -> list[Finding]:
    """Looks at everything."""
    suites, found = read_suites(inputs)
    return [
        *model_findings(inputs),
        *_face_pack(inputs),
        *found,
        *judge_findings(inputs, suites),
        *photo_findings(inputs, suites),
        *training_findings(inputs),
    ]


def _face_pack(inputs: Inputs) -> Iterator[Finding]:
    """The pack, opened: a pack that cannot be used is as good as none."""
    option, pack, problem = "--face_pack", None, "not given, and the checkpoint has none of its own"
    if inputs.pack is not None:
        try:
            pack, problem = FacePack.load(inputs.pack), ""
        except DynamicIDError as error:
            problem = one_line(error)
    found = str(pack.folder) if pack else ""
    yield Finding("face pack", option, found, problem, sources.FACE_PACK)
    if pack is not None:
        points = _landmarks(inputs)
        lacks = "" if points in pack.landmark_sets else f"no {points}-point network in the pack"
        yield Finding("landmarks", option, found, lacks, sources.FACE_PACK, "edits")


def _landmarks(inputs: Inputs) -> int:
    """How many the checkpoint was trained on."""
    if not inputs.is_converted:
        return PUBLISHED_LANDMARKS
    try:
        config = model_folder.read_config(model_path(inputs.checkpoint)).keypoint_encoder
    except DynamicIDError:  # which is a finding of its own
        config = None
    return config.num_landmarks if config else 5


def model_shape(inputs: Inputs) -> ModelConfig:
    """The model's config, as it will be after conversion; what it lacks has its usual size.

    Raises:
        WeightsError: a config that is damaged or not supported.
    """
    root = inputs.checkpoint if inputs.is_converted else str(inputs.base_folder)
    return base_shape(TrainConfig(base=root))[0]


def rehearsal(inputs: Inputs) -> str:
    """Why a run is none of the published checkpoint on real faces; "" where it is.

    Raises:
        MissingPartError: there is no base to look at.
        WeightsError: its config is damaged.
    """
    reasons = []
    if inputs.is_converted:
        reasons.append(f"the model is {inputs.checkpoint}, not the published checkpoint")
    else:
        folder = published.base_folder(inputs.base_folder)
        if folder is None:
            raise MissingPartError(f"{inputs.base_folder}: no base model in it")
        if base_configs.read_unet(folder / "unet" / "config.json") != sd15_config().unet:
            reasons.append("the base is not of SD1.5's size")
    if inputs.photos is None:
        reasons.append("the people are made up")
    return " and ".join(reasons)
