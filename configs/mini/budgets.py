"""How `dynamicid mini` shares its time out, for two kinds of machine.

A budget is a list of groups, one after the other; the parts of a group run beside each other, each in its own process.
`minutes` are shares: they are scaled to what --device-minutes leaves. `changes` are overrides of the recipes.
"""

_GPU = {"dtype": "bfloat16", "steps": 1000000, "log.every": 50, "checkpoint.every": 4000}
# Their held-out loss and sheets would be programs of their own, which take a GPU's compiler a minute each.
_BLIND = {**_GPU, "log.heldout_every": 0, "log.pictures_every": 0}
# A pair of renderings costs a second pass: base and anchoring, whose recipe has pairs of people, have the more time for
# it. What pairs teach wants less guidance than the 3 of a model without; so where base has none, as on two cores,
# anchoring has none either (docs/MINI_LOG.md).
_BASE = {**_BLIND, "batch_size": 512, "loss.twin_weight": 0.25, "model.guidance_scale": 1.8}
# With which hours were measured; the recipe's own are for its first minutes.
_STEADY = {
    "optimizer.rule": "adamw",
    "optimizer.learning_rate": 1e-3,
    "optimizer.warmup": 200,
    "loss.twin_weight": 0.3,
}
_UNPAIRED = {"loss.twin_weight": 0.0, "data.sources.0.twin_people": 0.0}
_ANCHORING = {**_BLIND, "batch_size": 512, **_STEADY}
# With five times the recipe's weight the latent loss is a quarter of IMR's loss where it starts.
_IMR = {**_BLIND, "batch_size": 64, "loss.targets": 7, "loss.ldc_weight": 50.0}
_FACES = {"steps": 1000000, "data.sources.0.pictures": 0}


def _face(name: str, changes: dict[str, object]) -> dict[str, object]:
    return {"name": name, "recipe": f"face_pack/{name}.py", "minutes": 4.0, "changes": changes}


def _part(name: str, minutes: float, changes: dict[str, object]) -> dict[str, object]:
    return {"name": name, "recipe": f"{name}.py", "minutes": minutes, "changes": changes}


_EVERYBODY = {"data.sources.0.people": 1 << 20}
GPU = [
    [
        _face("detector", {**_FACES, "batch_size": 128}),
        _face("recogniser", {**_FACES, "batch_size": 256, **_EVERYBODY}),
        _face("landmarks", {**_FACES, "batch_size": 256}),
        _face("judge_recogniser", {**_FACES, "batch_size": 256, **_EVERYBODY}),
        _face("judge_motion", {**_FACES, "batch_size": 256}),
    ],
    [
        _part("autoencoder", 2.8, {**_GPU, "batch_size": 256, "log.pictures_every": 0}),
        _part("clip", 2.8, {**_GPU, "batch_size": 1024}),
    ],
    [_part("base", 8.4, _BASE)],
    [_part("anchoring", 4.6, _ANCHORING)],
    [_part("reconfiguration", 3.2, _IMR)],
]
CORES = [
    *(
        [_face(name, {})]
        for name in ("detector", "recogniser", "landmarks", "judge_recogniser", "judge_motion")
    ),
    [_part("autoencoder", 15.0, {})],
    [_part("clip", 15.0, {})],
    [_part("base", 150.0, {})],
    [_part("anchoring", 60.0, {**_STEADY, **_UNPAIRED})],
    [_part("reconfiguration", 30.0, {})],
]
BUDGETS = {"gpu": GPU, "cores": CORES}
