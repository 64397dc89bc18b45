"""Any text as prompt, as words for a face, as consent: ids in range and a recipe that reads back, or a refusal."""

import io
import json
from pathlib import Path

from PIL import Image

from dynamicid_jax.faces.prompts import parse_face_words
from dynamicid_jax.inference.random_model import nano_config
from dynamicid_jax.inference.request import Request
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.inference.tokenizer_files import learn_merges, vocabulary_size, write_tokenizer
from dynamicid_jax.provenance.consent import read_consent
from dynamicid_jax.provenance.png import png_bytes

from .harness import Case, Fuzzer
from .mutate import Generator, any_text, pick

LENGTH = 77


def _prepare(folder: Path) -> Case:
    merges = learn_merges(["happy", "woman", "garden", "sea"])
    write_tokenizer(folder / "tokenizer", LENGTH, merges)
    tokenizer, config = Tokenizer(folder / "tokenizer", LENGTH), nano_config()
    picture = Image.new("RGB", (16, 16))
    size = vocabulary_size(merges)

    def as_prompt(text: str) -> None:
        request = Request.resolve(config, prompt=text, negative_prompt=text[::-1])
        ids = tokenizer([request.prompt, request.negative_prompt])
        assert ids.shape == (2, LENGTH)
        assert ids.min() >= 0
        assert ids.max() < size
        data = png_bytes(picture, {"people": [], "prompt": request.prompt})
        with Image.open(io.BytesIO(data)) as again:
            again.load()
            assert json.loads(again.text["dynamicid"])["prompt"] == text

    uses = (as_prompt, as_prompt, as_prompt, parse_face_words, read_consent)

    def case(rng: Generator) -> None:
        pick(rng, uses)(any_text(rng, 4000 if rng.random() < 0.02 else 300))

    return case


FUZZER = Fuzzer("prompts", 100_000, 150, _prepare)
