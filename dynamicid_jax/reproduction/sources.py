"""What a real run needs, where it is found, and under which licence: values only.

Nothing is downloaded. Licences are as we know them, looked up in part (2026-11): read them where the files are,
before you use them. Weights may carry other terms than the code beside them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """One place.

    Attributes:
        name: what it is called there.
        where: the place.
        licence: as stated there.
        note: what to know about it.
    """

    name: str
    where: str
    licence: str
    note: str = ""


NON_COMMERCIAL = "models: non-commercial research only"

BASE = (
    Source(
        "Stable Diffusion v1.5, diffusers layout",
        "Hugging Face hub: stable-diffusion-v1-5/stable-diffusion-v1-5",
        "CreativeML Open RAIL-M",
        "unet/, vae/, text_encoder/, tokenizer/, scheduler/ are needed, the safety checker is not",
    ),
)
CHECKPOINT = (
    Source(
        "DynamicID: SAA.bin, IMR.bin, key_point_encoder.bin",
        "Hugging Face hub: meteorite2023/DynamicID (code: github.com/ByteCat-bot/DynamicID)",
        "Apache-2.0",
        "built on SD1.5 and on InsightFace's embeddings, whose own terms stay",
    ),
)
IMAGE_ENCODER = (
    Source(
        "CLIP ViT-H/14 vision tower, transformers layout",
        "beside the checkpoint; or Hugging Face hub: laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        "MIT",
    ),
)
OWN_PACK = Source(
    "this project's own pack (configs/mini/face_pack)",
    "dynamicid mini, dynamicid export --to face_pack",
    "Apache-2.0",
    "licence-clean by construction: trained on drawn people; for drawn people only",
)
FACE_PACK = (
    Source(
        "InsightFace packs (buffalo_l, antelopev2)",
        "github.com/deepinsight/insightface, model zoo",
        NON_COMMERCIAL,
        "what the published checkpoint was conditioned on: no other recogniser gives its embeddings",
    ),
    Source(
        "AuraFace-v1: recogniser glintr100.onnx in the form of such a pack",
        "Hugging Face hub: fal/AuraFace-v1",
        "Apache-2.0",
        "licence-clean recogniser, for models that you train yourself; ask where its detector and landmarks come from",
    ),
    Source(
        "YuNet (detector) and SFace (recogniser)",
        "github.com/opencv/opencv_zoo",
        "MIT; Apache-2.0",
        "licence-clean, but no insightface pack yet: they have to be put into that form",
    ),
    Source(
        "EdgeFace (recogniser)",
        "Idiap Research Institute: github.com/otroshi/edgeface",
        "BSD-3-Clause (code); ask about the weights",
        "small; goes into a pack's folder as ONNX",
    ),
    OWN_PACK,
)
JUDGE = {  # by what they are for
    "recogniser": Source(
        "EdgeFace-XXS (identity: not the recogniser that conditions)",
        "Idiap Research Institute: github.com/otroshi/edgeface",
        "BSD-3-Clause (code); ask about the weights",
    ),
    "pose": Source("FSA-Net (head pose)", "github.com/omasaht/headpose-fsanet-pytorch", "MIT"),
    "expression": Source(
        "mini-Xception on FER2013 (expression)", "github.com/oarriaga/face_classification", "MIT"
    ),
    "clip": Source(
        "CLIP's two towers as ONNX, and its tokenizer (CLIP-T)",
        "github.com/openai/CLIP, or github.com/mlfoundations/open_clip",
        "MIT",
        "named in [clip] of judges of your own (EVALUATION.md); without them CLIP-T stays empty",
    ),
    "detector": Source(
        "SCRFD 2.5G with key points (detector)",
        "github.com/deepinsight/insightface, model zoo",
        NON_COMMERCIAL,
    ),
}
JUDGES = tuple(JUDGE.values())
PHOTOS = (
    Source(
        "a folder per person with two photographs or more: reference, and what they really look like",
        "people who agreed to it; VariFace-10k of the paper was never released",
        "consent of everybody shown: embeddings are biometric data",
    ),
)
KINDS = {
    "Base model (`--base`)": BASE,
    "Published checkpoint (`--checkpoint`)": CHECKPOINT,
    "Image encoder (`--image_encoder`)": IMAGE_ENCODER,
    "Face networks (`--face_pack`)": FACE_PACK,
    "Judges (`--judges`)": JUDGES,
    "Photographs (`--photos`)": PHOTOS,
}
"""Everything, under the titles of docs/FIRST_REAL_RUN.md."""
