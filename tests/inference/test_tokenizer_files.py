"""Tokenizer folders of our own, read by transformers."""

import random

import pytest

from dynamicid_jax.inference.random_model import mini_config
from dynamicid_jax.inference.tokenizer import Tokenizer
from dynamicid_jax.inference.tokenizer_files import learn_merges, vocabulary_size, write_tokenizer
from dynamicid_jax.world.captions import PHRASES
from dynamicid_jax.world.words import merges, words


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, 77, merges())
    return Tokenizer(folder, 77)


def pieces(tokenizer, text):
    ids = tokenizer.ids([text])[0]
    return [int(one) for one in ids[1 : list(ids).index(ids[-1])]]


def test_every_word_of_the_world_is_one_token(tokenizer):
    assert all(len(pieces(tokenizer, word)) == 1 for word in words())
    assert len({pieces(tokenizer, word)[0] for word in words()}) == len(words())


def test_the_longest_caption_fits(tokenizer):
    person = [
        max((p for p in PHRASES if key in p), key=len) for key in ("shirt", "expression", "view")
    ]
    caption = (
        "three people"
        + 3 * (", in the middle" + "".join(person) + ", facing down")
        + ", before a blue wall"
    )
    assert len(pieces(tokenizer, caption)) <= 75


def test_unknown_words_are_spelled_and_read_back(tokenizer):
    text = "quetzal 7 naïve"
    ids = pieces(tokenizer, text)
    assert tokenizer._tokenizer.decode(ids).replace(" ", "") == text.replace(" ", "")


def test_the_last_token_ends_texts_and_the_model_knows_it(tokenizer):
    config = mini_config().text_encoder
    assert config.vocab_size == vocabulary_size(merges())
    assert tokenizer.ids([""])[0].tolist() == [config.eot_token_id - 1] + 76 * [config.eot_token_id]


def test_merges_do_not_depend_on_the_order_of_words():
    some = list(words()[:40])
    random.Random(0).shuffle(some)
    assert learn_merges(some) == learn_merges(words()[:40])
