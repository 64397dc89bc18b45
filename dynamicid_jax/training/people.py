"""Whom a recipe trains on, for the model's trained_on.json: evaluations refuse these people."""

from dynamicid_jax.config import SourceConfig, TrainConfig
from dynamicid_jax.convert.trained_on import Trained, read_trained, together
from dynamicid_jax.data.world import is_world


def people_of(config: TrainConfig) -> Trained:
    """The people of the recipe's base and of its sources.

    Raises:
        InputError: a source that cannot be opened.
        WeightsError: the base's own list is damaged.
    """
    known = read_trained(config.base) if config.base else None
    sources = [_of_source(source) for source in config.data.sources if source.path]
    return together([*([known] if known else []), *sources])


def _of_source(source: SourceConfig) -> Trained:
    split = source.split or "train"
    if is_world(source):
        return Trained(made_up=(split,))
    from dynamicid_jax.data.dataset import open_dataset

    photos = open_dataset(source.path).index(split).photos
    return Trained(photos=tuple(photo for photo in photos if photo))
