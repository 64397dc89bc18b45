"""Numbers about faces and pictures, one function each; docs/EVALUATION.md says what they are used for."""

import numpy as np
from jaxtyping import Bool, Float, UInt8

from dynamicid_jax.inference.layout import covered_range
from dynamicid_jax.types import Box

LARGEST_PSNR = 10 * np.log10(
    255**2 * 12
)  # dB: rounding to whole levels alone has a variance of 1/12


def face_sim(one: Float[np.ndarray, "e"], other: Float[np.ndarray, "e"]) -> float:
    """FaceSim: the cosine  e . f / (|e| |f|)  of two embeddings, in [-1, 1]."""
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-12))


def rank(embedding: Float[np.ndarray, "e"], gallery: Float[np.ndarray, "n e"], who: int) -> int:
    """The place of person `who` among the gallery by FaceSim:  1 + #{j != who: sim_j >= sim_who}.

    1 is the most similar; equal ones count against the person. Rows of the gallery that are not finite are people
    whose own picture held no face: they are never more similar, and `who` among them comes last.
    """
    norms = np.maximum(np.linalg.norm(gallery, axis=1), 1e-12)
    alike = gallery @ embedding / norms
    alike = np.where(np.isfinite(alike), alike, -np.inf)
    return int((alike >= alike[who]).sum())


def matching(alike: Float[np.ndarray, "people faces"]) -> dict[int, int]:
    """Who is which face: the pairs whose similarities have the largest sum (Hungarian algorithm).

    Every person gets a face as long as there are any; no face is given twice.
    """
    from scipy.optimize import linear_sum_assignment

    people, faces = linear_sum_assignment(alike, maximize=True)
    return dict(zip(people.tolist(), faces.tolist(), strict=True))


def copy_paste(reference: float, target: float, between: float) -> float:
    """How far a face copies its reference photo:  (s_r - s_t) / (1 - s_rt).

    With the face's similarities s_r to the reference and s_t to another true picture, and s_rt between these two. A
    copy of the reference gives 1, the other picture -1, a face equally like both 0. NaN where the two are nearly the
    same (1 - s_rt < 0.05), so that nothing tells them apart.
    """
    room = 1 - between
    return (reference - target) / room if room >= 0.05 else float("nan")


def identity_margin(alike: Float[np.ndarray, "faces"]) -> float:
    """Identity confusion of one person over the faces of a picture:  (top1 - top2) / top1  of its similarities.

    1: one face is the person and the others are not; 0: two faces are as alike, or there is none, or only one.
    Held to [0, 1].
    """
    if len(alike) < 2:
        return 0.0
    second, first = np.sort(alike)[-2:]
    return float(np.clip((first - second) / first, 0, 1)) if first > 0 else 0.0


def auc(values: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]) -> float:
    """Area under the ROC curve:  P(v+ > v-) + P(v+ = v-) / 2  over all pairs; NaN without positives or negatives."""
    high, low = values[positive], np.sort(values[~positive])
    if not len(high) or not len(low):
        return float("nan")
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.sum() / (2 * len(high) * len(low)))


def gate_auc(gate: Float[np.ndarray, "h w"], box: Float[np.ndarray, "4"]) -> float:
    """AUC of a gate map for cells of a face against the rest; a cell is the face's if its middle is in the box.

    `box` is x0, y0, x1, y1 in fractions. NaN where no cell, or every cell, is the face's.
    """
    h, w = gate.shape
    y, x = (np.arange(h)[:, None] + 0.5) / h, (np.arange(w)[None] + 0.5) / w
    inside = (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])
    return auc(gate.reshape(-1), inside.reshape(-1))


def psnr(
    one: UInt8[np.ndarray, "h w 3"],
    other: UInt8[np.ndarray, "h w 3"],
    where: Bool[np.ndarray, "h w"],
) -> float:
    """PSNR in dB over the pixels `where`:  10 log10(255^2 / mean (a - b)^2), at most that of rounding (58.9 dB)."""
    error = (one[where].astype(np.float64) - other[where]) ** 2
    if not error.size:
        return float("nan")
    return float(min(LARGEST_PSNR, 10 * np.log10(255**2 / max(error.mean(), 1e-9))))


def ssim(
    one: UInt8[np.ndarray, "h w 3"],
    other: UInt8[np.ndarray, "h w 3"],
    where: Bool[np.ndarray, "h w"],
) -> float:
    """SSIM (Wang et al. 2004: Gaussian window of deviation 1.5, K 0.01 and 0.03), averaged over the pixels `where`."""
    from skimage.metrics import structural_similarity

    if not where.any():
        return float("nan")
    _, values = structural_similarity(
        one,
        other,
        full=True,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(values[where].mean())


def seam(picture: UInt8[np.ndarray, "h w 3"], box: Box, cell: int) -> float:
    """How much a box's edges show:  jump at the edges / median jump at parallel lines nearby.

    Edges are where the layout has them: before the first and behind the last of the latent cells, `cell` pixels wide,
    that the box covers on the UNet's finest map (inference/layout.py). The jump at a line is the mean over the edge's
    length of |a - b|, where a and b are mean colours of the strips of half a latent cell on either side. Lines nearby:
    1 to 3 cells to either side. 1 is no seam. NaN where no edge of the box lies inside the picture.
    """
    h, w = picture.shape[:2]
    pixels = picture.astype(np.float64)
    x0, y0, x1, y1 = (cell * edge for edge in covered_range(box, h // cell, w // cell))
    lines = [
        (pixels[y0:y1], x0),
        (pixels[y0:y1], x1),
        (pixels[:, x0:x1].swapaxes(0, 1), y0),
        (pixels[:, x0:x1].swapaxes(0, 1), y1),
    ]
    shares = [_seam_at(strip, at, cell) for strip, at in lines]
    known = [share for share in shares if np.isfinite(share)]
    return float(np.mean(known)) if known else float("nan")


def _seam_at(strip: Float[np.ndarray, "a b 3"], at: int, cell: int) -> float:
    """Of one edge, which crosses the strip at column `at`."""
    half = max(cell // 2, 1)

    def jump(line: int) -> float:
        if line - half < 0 or line + half > strip.shape[1] or not strip.shape[0]:
            return float("nan")
        before, after = strip[:, line - half : line], strip[:, line : line + half]
        return float(np.abs(before.mean(1) - after.mean(1)).mean())

    beside = np.array([jump(at + side * cell * k) for k in (1, 2, 3) for side in (-1, 1)])
    beside = beside[np.isfinite(beside)]
    if not len(beside):
        return float("nan")
    return jump(at) / max(float(np.median(beside)), 0.5)
