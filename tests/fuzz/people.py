"""Damaged person files: a person that a picture can be made of and told of, or a refusal."""

import json
import struct
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from dynamicid_jax.inference.people import Person, mix_people
from dynamicid_jax.inference.person_file import KEY, describe_person, load_person, save_person
from dynamicid_jax.provenance.consent import check_consent
from dynamicid_jax.provenance.operator import Operator
from dynamicid_jax.provenance.statement import make_salt, salt_person, statement

from .harness import Case, Fuzzer
from .mutate import Generator, mutate_bytes, mutate_json, pick

SPACE = "0123456789abcdef"


def _seeds(folder: Path) -> list[bytes]:
    tokens = jnp.asarray(np.random.default_rng(0).standard_normal((4, 8), np.float32))
    known = {"references": ["ab" * 32], "face": "happy", "pose": None}
    alice = Person(((tokens, 1.0),), recipe=known)
    made = []
    for person in (alice, mix_people([(alice, 3), (alice, 1)])):
        file = folder / "seed.person"
        save_person(file, person, expires="9999d", consent="yes", space=SPACE)
        made.append(file.read_bytes())
    return made


def _mutated(rng: Generator, data: bytes) -> bytes:
    if rng.random() < 0.3:
        return mutate_bytes(rng, data)
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    notes = json.loads(header["__metadata__"][KEY])
    for _ in range(int(rng.integers(1, 3))):
        notes = mutate_json(rng, notes)
    header["__metadata__"][KEY] = json.dumps(notes)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def _prepare(folder: Path) -> Case:
    seeds, file = _seeds(folder), folder / "mutated.person"
    strict = Operator(require_consent=True)

    def case(rng: Generator) -> None:
        file.write_bytes(_mutated(rng, pick(rng, seeds)))
        json.dumps(describe_person(file), ensure_ascii=False).encode()
        recipe = load_person(file, space=SPACE).recipe
        check_consent([recipe], strict)
        salt = make_salt(recipe)
        told = statement({}, [salt_person(recipe, salt)], salt)
        json.dumps(told, ensure_ascii=False).encode()

    return case


FUZZER = Fuzzer("people", 10_000, 200, _prepare)
