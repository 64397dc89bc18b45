r"""The ablation study on the mini model: the paper's rows and ours.

    dynamicid sweep --sweep configs/sweeps/ablation.py --launcher local --jobs 1
    dynamicid sweep --sweep configs/sweeps/ablation.py --report

Rows about attention train both stages on the packaged mini model's base; rows about IMR train stage 2 alone, on a
stage 1 that they share: the packaged one, or one that you name:

    dynamicid sweep --sweep configs/sweeps/ablation.py --only 'imr_*' --config.base=sweeps/ablation/full/anchoring/model

The mini model's stage 1 also has pairs (`loss.twin_weight`), which METHOD has not. ablation_sd15.py has the same rows
on SD1.5. Hardware and time: a row costs what the recipes say (configs/mini), which `--config.steps=N` or
`--config.minutes=N` changes for each stage of every row.
"""

from dynamicid_jax.reproduction.paper import published_differences
from dynamicid_jax.sweeps.space import Sweep, Trial

ANCHORING, RECONFIGURATION = "configs/mini/anchoring.py", "configs/mini/reconfiguration.py"
SHOWN = (
    "single_clip_t",
    "single_face_sim",
    "single_expr",
    "single_pose",
    "single_copy_paste",
    "single_background_psnr",
    "single_gate_auc",
)


def attention(ranks: tuple[int, ...], gate_weight: float) -> list[Trial]:
    """Rows that train both stages; `ranks` and `gate_weight` beside the recipe's own."""
    return [
        Trial("full", about="the paper's model"),
        Trial(
            "without_saa",
            {"model.gate": False},
            evaluate={"no_gate": True},
            about="the paper's row without SAA: faces act everywhere, ungated",
        ),
        Trial("gate_threshold_0", {"model.gate_threshold": 0.0}, about="no gate value is set to 0"),
        Trial("gate_threshold_0.5", {"model.gate_threshold": 0.5}),
        Trial(
            f"gate_weight_{gate_weight:g}",
            {"loss.gate_weight": gate_weight},
            about="0 is METHOD: gates have no loss of their own",
        ),
        *(Trial(f"rank_{rank}", {"model.lora_rank": rank}) for rank in ranks),
        *(Trial(f"tokens_{n}", {"model.tokens_per_person": n}) for n in (1, 16)),
    ]


def without_imr(anchoring: str) -> Trial:
    """The paper's row without IMR."""
    return Trial(
        "without_imr", recipes=(anchoring,), about="the paper's row without IMR: stage 1 alone"
    )


def motion() -> list[Trial]:
    """Rows that train stage 2 alone; the first is what they are compared with."""
    return [
        Trial("imr_full", about="stage 2 of the recipe, on the stage 1 that these rows share"),
        *(Trial(f"imr_depth_{n}", {"model.imr_depth": n}) for n in (2, 3, 4)),
        Trial("imr_contrastive_0", {"loss.contrastive_weight": 0.0}, about="the published losses"),
        Trial("imr_contrastive_1", {"loss.contrastive_weight": 1.0}),
        Trial("imr_ldc_only", {"loss.dfm_weight": 0.0}),
        Trial("imr_dfm_only", {"loss.ldc_weight": 0.0}),
        Trial("imr_keypoints_only", {"model.imr_motion": "keypoints"}),
        Trial("imr_text_only", {"model.imr_motion": "text"}),
    ]


def get_sweep() -> Sweep:
    """The study."""
    stage_2 = [
        Trial(one.name, one.changes, (RECONFIGURATION,), one.evaluate, one.about)
        for one in motion()
    ]
    return Sweep(
        recipes=(ANCHORING, RECONFIGURATION),
        trials=(
            *attention(ranks=(8, 64), gate_weight=0.0),
            without_imr(ANCHORING),
            *stage_2,
        ),
        evaluate={"suite": "single", "face_pack": "mini"},
        shown=SHOWN,
        references={"imr_*": "imr_full", "*": "full"},
        published=published_differences(),
    )
