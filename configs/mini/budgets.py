"""How `dynamicid mini` shares its time out, for two kinds of machine.

A budget is a list of groups, one after the other; the parts of a group run beside each other, each in its own process.
`minutes` are shares: they are scaled to what --device-minutes leaves. `changes` are overrides of the recipes.
"""

_GPU = {"dtype": "bfloat16", "log.every": 50, "checkpoint.every": 2000}
_FACES = {"dtype": "bfloat16", "steps": 1000000, "data.sources.0.pictures": 0}


def _face(name: str, batch: int, **more: object) -> dict[str, object]:
    changes = {**_FACES, "batch_size": batch, **more}
    return {"name": name, "recipe": f"face_pack/{name}.py", "minutes": 4.0, "changes": changes}


def _part(name: str, minutes: float, changes: dict[str, object]) -> dict[str, object]:
    return {"name": name, "recipe": f"{name}.py", "minutes": minutes, "changes": changes}


GPU = [
    [
        _face("detector", 128),
        _face("recogniser", 256, **{"data.sources.0.people": 1 << 20}),
        _face("landmarks", 256),
        _face("judge_recogniser", 256, **{"data.sources.0.people": 1 << 20}),
        _face("judge_motion", 256),
        _part("autoencoder", 4.0, {**_GPU, "batch_size": 256, "steps": 1000000}),
        _part("clip", 4.0, {**_GPU, "batch_size": 1024, "steps": 1000000}),
    ],
    [_part("base", 11.0, {**_GPU, "batch_size": 512, "steps": 1000000})],
    [_part("anchoring", 6.0, {**_GPU, "batch_size": 512, "steps": 1000000})],
    [
        _part(
            "reconfiguration",
            4.0,
            {**_GPU, "batch_size": 64, "loss.targets": 7, "steps": 1000000},
        )
    ],
]
CORES = [
    *(
        [_face(name, 64)]
        for name in ("detector", "recogniser", "landmarks", "judge_recogniser", "judge_motion")
    ),
    [_part("autoencoder", 15.0, {})],
    [_part("clip", 15.0, {})],
    [_part("base", 150.0, {})],
    [_part("anchoring", 60.0, {})],
    [_part("reconfiguration", 30.0, {})],
]
BUDGETS = {"gpu": GPU, "cores": CORES}
