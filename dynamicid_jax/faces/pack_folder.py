"""Where a face pack's files are, and reading them; every way to fail is one clear line."""

import contextlib
import io
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import DynamicIDError, InputError, MissingPartError, WeightsError
from dynamicid_jax.faces.network_files import check_network, one_line, quiet_options
from dynamicid_jax.images import shown

DETECTION_SIZE = 640
TASKS = ("detection", "recognition", "landmark_2d_106", "landmark_3d_68")
DETECTOR = "a detector with five key points (SCRFD, such as det_10g.onnx)"
RECOGNISER = "a recogniser (ArcFace, such as w600k_r50.onnx)"
_MODELS = Path("~/.insightface/models")
_WHERE = (
    "unpack one there, such as buffalo_l or antelopev2 of InsightFace's model zoo "
    "(github.com/deepinsight/insightface; InsightFace's own models are for non-commercial research "
    "only); nothing is downloaded for you"
)


def find_pack(name_or_path: str | PathLike[str]) -> Path:
    """The folder of a pack: an existing path, else a name under ~/.insightface/models.

    InsightFace's archives may unpack into a folder of their own name, so an inner folder of the
    same name is taken where the outer one holds no ONNX files itself.

    Raises:
        InputError: the path is a file.
        MissingPartError: no such folder, or no ONNX files in it.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        raise InputError(f"face pack {shown(path)}: is a file; expected a folder of ONNX files")
    if not path.is_dir() and len(path.parts) == 1:
        path = (_MODELS / path).expanduser()
    if not path.is_dir():
        raise MissingPartError(
            f"face pack {shown(name_or_path)}: no folder {shown(path)}; {_WHERE}"
        )
    for folder in (path, path / path.name):
        if any(folder.glob("*.onnx")):
            return folder
    raise MissingPartError(f"face pack {shown(path)}: holds no ONNX files; {_WHERE}")


def lacks(folder: Path, what: str) -> str:
    """The line for a pack without one of the networks it must have."""
    return f"face pack {shown(folder)}: lacks {what}; {_WHERE}"


def load_analysis(folder: Path, providers: list[str], threads: int | None) -> Any:
    """`FaceAnalysis` of a folder, prepared; whatever it stumbles over becomes one line."""
    import onnxruntime
    from insightface.app import FaceAnalysis

    unknown = sorted(set(providers) - set(onnxruntime.get_available_providers()))
    if unknown or not providers:
        known = ", ".join(onnxruntime.get_available_providers())
        raise InputError(f"providers: {unknown} not in this onnxruntime; available are {known}")
    for path in sorted(folder.glob("*.onnx")):
        check_network(path, f"face pack file {shown(path)}")
    try:
        with _quiet():
            analysis = FaceAnalysis(
                name=str(folder.resolve()),
                allowed_modules=list(TASKS),
                providers=providers,
                sess_options=quiet_options(threads),
            )
            analysis.prepare(ctx_id=0, det_size=(DETECTION_SIZE, DETECTION_SIZE))
    except Exception as error:  # onnxruntime, onnx and protobuf raise their own kinds; asserts too
        raise _diagnosis(folder, error) from error
    return analysis


def _diagnosis(folder: Path, error: Exception) -> DynamicIDError:
    """Why FaceAnalysis failed: a file by file look for the one to blame."""
    from insightface.model_zoo import model_zoo

    tasks = set()
    for path in sorted(folder.glob("*.onnx")):
        try:
            with _quiet():
                model = model_zoo.get_model(
                    str(path), providers=["CPUExecutionProvider"], sess_options=quiet_options()
                )
        except Exception as reason:  # as above
            return WeightsError(
                f"face pack file {shown(path)}: damaged, or not a network insightface can use; "
                f"replace it or take it out of the folder ({one_line(reason)})"
            )
        tasks.add(getattr(model, "taskname", None))
    if "detection" not in tasks:
        return MissingPartError(lacks(folder, DETECTOR))
    return WeightsError(f"face pack {shown(folder)}: insightface fails on it: {one_line(error)}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Swallows what insightface prints while it loads (older versions list every file)."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
