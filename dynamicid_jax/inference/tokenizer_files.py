"""CLIP tokenizer folders that we write ourselves: byte pairs over a small vocabulary.

    ids 0 to 255      single bytes          256 to 511     single bytes that end a word
    then              one per merge, in the order learned
    the last two      start of text, end of text (also the padding)

Any text can be written in them; a word of the vocabulary is one token.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

START, END = "<|startoftext|>", "<|endoftext|>"
BYTES = 512  # with and without the end of a word

Pair = tuple[str, str]


def learn_merges(words: Iterable[str]) -> list[Pair]:
    """Merges until every word is one token (byte pair encoding, Sennrich et al. 2016, algorithm 1).

    Args:
        words: lower-case ASCII words; all count alike. Of pairs that are as frequent the first in order is taken, so
            that the result does not depend on the order of `words`.
    """
    split = {word: [*word[:-1], f"{word[-1]}</w>"] for word in sorted(set(words))}
    merges: list[Pair] = []
    while True:
        pairs = Counter(pair for parts in split.values() for pair in pairwise(parts))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = {word: _merged(parts, best) for word, parts in split.items()}


def _merged(parts: list[str], pair: Pair) -> list[str]:
    made: list[str] = []
    for part in parts:
        if made and (made[-1], part) == pair:
            made[-1] += part
        else:
            made.append(part)
    return made


def vocabulary_size(merges: Sequence[Pair]) -> int:
    """Tokens of a folder with these merges; the end of text is the last one."""
    return BYTES + len(merges) + 2


def write_tokenizer(folder: Path, max_length: int, merges: Sequence[Pair] = ()) -> None:
    """Writes vocab.json, merges.txt and the settings; without merges it knows single bytes only."""
    folder.mkdir(parents=True, exist_ok=True)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable] + [
        chr(256 + extra) for extra in range(256 - len(printable))
    ]
    vocabulary = {letter: index for index, letter in enumerate(letters)}
    vocabulary |= {f"{letter}</w>": 256 + index for index, letter in enumerate(letters)}
    vocabulary |= {"".join(pair): BYTES + index for index, pair in enumerate(merges)}
    vocabulary |= {START: BYTES + len(merges), END: BYTES + len(merges) + 1}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    settings = {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": max_length}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special), encoding="utf-8")
