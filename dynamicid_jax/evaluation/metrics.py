"""Numbers about faces and pictures, one function each; docs/EVALUATION.md says what they are used for."""

import numpy as np
from jaxtyping import Bool, Float, UInt8

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
