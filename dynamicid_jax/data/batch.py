"""What a training batch holds: the one vocabulary between loader and losses.

    name             dtype, shape after the batch axis            without features, made from
    pixels           uint8 [H W 3]                                the picture
    moments          float16 [h w 2z], mean and log variance      pixels, by the VAE
    text_ids         int32 [l]                                    the caption
    text_states      float16 [l x]                                text_ids, by the text encoder
    reference        uint8 [S S 3], as the image encoder sees it  the picture's face, by METHOD's reference crop
    image_features   float16 [m c]                                reference, by the image encoder
    id_embedding     float32 [e]                                  the face pack
    face_box         float32 [4], x0 y0 x1 y1 in [0, 1]           the face pack; drawn scenes of several people
                     have [p 4], zeros where nobody is
    raster           int8 [96 96], -1 and +1                      landmarks, in the reference's frame
    face_text_ids    int32 [l]                                    the face prompt
    face_text        float16 [x], pooled                          face_text_ids, by the text encoder
    phrases          int32 [n], the caption in numbers            the world alone (world/captions.py)
    number           int32 [], of the picture in its source       the world alone (world/sources.py)
    twin_pixels      uint8 [H W 3]                                the world alone: the same picture with everybody in
    twin_text_ids    int32 [l]                                    another expression, or of somebody else, its caption,
    twin_reference   uint8 [S S 3]                                and the face there (world/twins.py)
    twin_id_embedding float32 [e]                                 likewise; its own if none is somebody else
    person           int32 [], the same number for the same person (over all sources)

What the face networks train on (world/faces.py), all of it drawn:

    wide             uint8 [S S 3]                                a picture through a window
    wide_boxes       float32 [p 4], zeros where nobody is         in fractions of the window
    wide_points      float32 [p 5 2]                              likewise
    aligned          uint8 [S S 3]                                a face as recognisers see it
    framed           uint8 [S S 3]                                a face in a square of 1.5 times its box
    framed_marks     float32 [106 2]                              landmarks in fractions of the square
    eyes_apart       float32 []                                   likewise
    expression, turn int32 []                                     of 7 each

A name of the third column stands for the second one's in a batch of precomputed features; training takes either. In a
grouped batch (`targets` = m > 0) one example is one person: `person` stays [], everything else has an axis of k = 1 + m
pictures after the batch axis, the source first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

FEATURES = {
    "pixels": "moments",
    "text_ids": "text_states",
    "reference": "image_features",
    "face_text_ids": "face_text",
}
"""What each raw field becomes when its frozen network has been run beforehand."""

NETWORKS = {
    "pixels": "vae",
    "text_ids": "text_encoder",
    "reference": "image_encoder",
    "face_text_ids": "text_encoder",
}
"""The component that makes each raw field's feature. A stage that trains it has to see the raw field."""

FACE = ("reference", "id_embedding")
"""What a model takes from somebody's photo."""
TWINS = ("twin_pixels", "twin_text_ids", "twin_reference", "twin_id_embedding")
"""Fields of a second rendering, which no photograph has."""

Batch = dict[str, np.ndarray]
Variant = Callable[[dict[str, Any]], dict[str, Any]]
"""A batch, on host or device, with something else in it: to measure how much a loss listens to that."""


@dataclass(frozen=True)
class BatchSpec:
    """What a stage asks of the loader.

    Attributes:
        fields: names of the table above, raw ones; a source of features delivers their features instead.
        image_size: H = W of `pixels`.
        reference_size: S of `reference`, the image encoder's.
        targets: m; 0: an example is one picture; otherwise one person with 1 + m pictures.
        landmark_set: points that the rasters must hold (the model's); 0: rasters are not read.
        trains: components that train: fields that they read must come raw (`NETWORKS`).
    """

    fields: tuple[str, ...]
    image_size: int
    reference_size: int = 224
    targets: int = 0
    landmark_set: int = 0
    trains: tuple[str, ...] = ()
