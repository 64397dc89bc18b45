"""Which records make up which example: a pure function of the seed and the example's position.

    pool      the records, or (for groups) the persons, that one kind of draw takes from; two per source where it has
              persons of the studio grid beside others
    stream    each pool shuffled anew in every epoch, all pools mixed by weight; position p of it is example p
    group     one person's source picture and m others: all different where the person has enough, else taken in
              turns; a studio person's targets are other cells of the grid

Hosts, devices and worker processes do not enter: they only decide who reads which positions.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import grain
import numpy as np
from jaxtyping import Int

from dynamicid_jax.data.index import Index
from dynamicid_jax.errors import InputError

STUDIO_SHARE = 0.05  # of the draws, where a source has persons of the studio grid beside others
Members = Int[np.ndarray, " _"]


class Draw(NamedTuple):
    """One example: a source's number, and its records; of a group the source picture comes first."""

    source: int
    records: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Pool:
    """What one kind of draw takes from.

    Attributes:
        source: number of the source.
        weight: share of the draws, relative to the other pools.
        units: records of each unit: one each, or all of a person's.
        cells: the source's studio cells, where targets must be of other cells than their source.
    """

    source: int
    weight: float
    units: Sequence[Members] | Int[np.ndarray, "_ 1"]
    cells: Members | None = None


def single_pools(indices: Sequence[Index], weights: Sequence[float]) -> list[Pool]:
    """Every record is a unit."""
    return [
        Pool(number, weight, np.arange(len(index.keys))[:, None])
        for number, (index, weight) in enumerate(zip(indices, weights, strict=True))
    ]


def group_pools(
    indices: Sequence[Index], weights: Sequence[float]
) -> tuple[list[Pool], list[list[str]]]:
    """Every person with two pictures is a unit.

    Returns:
        The pools, and of each source the persons with a single picture, who are left out.
    """
    pools, lonely = [], []
    for number, (index, weight) in enumerate(zip(indices, weights, strict=True)):
        ordinary, studio, alone = _persons(index)
        lonely.append(alone)
        share = STUDIO_SHARE if ordinary and studio else float(bool(studio))
        if ordinary:
            pools.append(Pool(number, weight * (1 - share), ordinary))
        if studio:
            pools.append(Pool(number, weight * share, studio, index.studio_cells))
    return pools, lonely


def _persons(index: Index) -> tuple[list[Members], list[Members], list[str]]:
    """Records of ordinary persons, records of studio persons, and the persons with a single picture."""
    members: dict[str, list[int]] = {}
    for record, person in enumerate(index.persons):
        if person:
            members.setdefault(person, []).append(record)
    ordinary, studio, alone = [], [], []
    for person, records in members.items():
        everything = np.array(records)
        in_grid = index.studio_cells[everything] >= 0
        rest = everything[~in_grid]
        if len(set(index.studio_cells[everything[in_grid]])) >= 2:
            studio.append(everything[in_grid])
        else:
            rest = everything
        if len(rest) >= 2:
            ordinary.append(rest)
        elif len(everything) < 2:
            alone.append(person)
    return ordinary, studio, alone


class _Numbered(grain.transforms.Map):
    """A unit with its pool's number; a class, because worker processes get it pickled."""

    def __init__(self, pool: int) -> None:
        self.pool = pool

    def map(self, unit: int) -> tuple[int, int]:
        return self.pool, unit


class Plan:
    """The stream of examples."""

    def __init__(self, pools: Sequence[Pool], targets: int, seed: int, repeat: bool = True) -> None:
        """See the module.

        Args:
            pools: what is drawn from.
            targets: m; 0 draws single records.
            seed: of every choice.
            repeat: False takes every unit once, in order, without mixing.

        Raises:
            InputError: nothing to draw from, or no positive weight.
        """
        self.pools = [pool for pool in pools if pool.weight > 0 and len(pool.units)]
        if not self.pools:
            raise InputError("data.sources: nothing to draw from; give a weight above 0")
        self.targets, self.seed, self.repeat = targets, seed, repeat
        self.units = sum(len(pool.units) for pool in self.pools)
        self._stream = self._mixed() if repeat else self._in_order()

    def _mixed(self) -> Any:
        seeds = np.random.SeedSequence(self.seed).generate_state(len(self.pools))
        streams = [
            self._numbered(number).shuffle(seed=int(seed)).repeat()
            for number, seed in enumerate(seeds)
        ]
        weights = [pool.weight for pool in self.pools]
        return grain.MapDataset.mix(streams, [weight / sum(weights) for weight in weights])

    def _in_order(self) -> Any:
        return grain.MapDataset.concatenate([self._numbered(i) for i in range(len(self.pools))])

    def _numbered(self, number: int) -> Any:
        units = len(self.pools[number].units)
        return grain.MapDataset.range(units).map(_Numbered(number))

    def draw(self, position: int, attempt: int = 0, bad: Collection[int] = ()) -> Draw | None:
        """The example at a position.

        Args:
            position: in the stream, from 0 on without end.
            attempt: 0; more asks for another unit of the same pool, after damage.
            bad: records of the unit that are known to be damaged.

        Returns:
            None where too little of the unit is left.
        """
        number, unit = self._stream[position if self.repeat else position % self.units]
        pool = self.pools[number]
        chance = (
            np.random.default_rng([self.seed, position, attempt])
            if attempt or self.targets
            else None
        )
        if attempt:
            assert chance is not None
            unit = int(chance.integers(len(pool.units)))
        members = pool.units[unit]
        if bad:
            members = members[~np.isin(members, list(bad))]
        if not self.targets:
            return Draw(pool.source, (int(members[0]),)) if len(members) else None
        assert chance is not None
        records = _group(members, self.targets, chance, pool.cells)
        return None if records is None else Draw(pool.source, records)


def _group(
    members: Members, targets: int, chance: np.random.Generator, cells: Members | None
) -> tuple[int, ...] | None:
    """A source picture and its targets; None where no other picture is left."""
    order = chance.permutation(members)
    others = order[1:]
    if cells is not None:
        kept = np.unique(cells[order], return_index=True)[1]  # one picture per cell
        others = order[np.sort(kept[kept > 0])]
    if not len(others):
        return None
    rounds = [others] + [chance.permutation(others) for _ in range((targets - 1) // len(others))]
    return (int(order[0]), *(int(one) for one in np.concatenate(rounds)[:targets]))
