r"""The ablation study on SD1.5: ablation.py's rows on the full-size recipes.

    dynamicid sweep --sweep configs/sweeps/ablation_sd15.py --launcher slurm --gpus 8 --sbatch='--time=48:00:00' \
        --only 'full,without_*,gate_*,rank_*,tokens_*' --config.base=SD15 --config.image_encoder=CLIP_VIT_H \
        --config.data.sources='[{"path": "DATASET"}]' --evaluate photos=PHOTOS judges=JUDGES face_pack=PACK
    dynamicid sweep --sweep configs/sweeps/ablation_sd15.py --launcher slurm --gpus 8 --sbatch='--time=48:00:00' \
        --only 'imr_*' --config.base=sweeps/ablation_sd15/full/anchoring_sd15/model \
        --config.data.sources='[{"path": "DATASET"}]' --evaluate photos=PHOTOS judges=JUDGES face_pack=PACK

Rows about IMR share the full model's stage 1, so they come second. Hardware, time and numbers to expect: as the recipes
say, for every row; not measured yet.
"""

import runpy
from pathlib import Path

from dynamicid_jax.reproduction.paper import published_differences
from dynamicid_jax.sweeps.space import Sweep, Trial

ANCHORING, RECONFIGURATION = "configs/anchoring_sd15.py", "configs/reconfiguration_sd15.py"


def get_sweep() -> Sweep:
    """The study: what differs from the mini model's."""
    rows = runpy.run_path(str(Path(__file__).with_name("ablation.py")))
    stage_2 = [
        Trial(one.name, one.changes, (RECONFIGURATION,), one.evaluate, one.about)
        for one in rows["motion"]()
    ]
    return Sweep(
        recipes=(ANCHORING, RECONFIGURATION),
        trials=(
            *rows["attention"](ranks=(32, 256), gate_weight=0.05),
            rows["without_imr"](ANCHORING),
            *stage_2,
        ),
        evaluate={"suite": "single"},
        shown=rows["SHOWN"],
        references={"imr_*": "imr_full", "*": "full"},
        published=published_differences(),
    )
