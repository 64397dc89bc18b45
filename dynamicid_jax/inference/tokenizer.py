"""Prompts to token ids, with a word about what did not fit."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from dynamicid_jax.errors import WeightsError
from dynamicid_jax.text import check_text


class PromptCutWarning(UserWarning):
    """A prompt was longer than the text encoder reads."""


class Tokenizer:
    """CLIP's tokenizer from a folder (vocab.json, merges.txt, ...)."""

    def __init__(self, folder: str | Path, max_length: int) -> None:
        """Loads the folder; `max_length` is the text encoder's (77).

        Raises:
            WeightsError: the folder is missing or not a tokenizer.
        """
        folder = Path(folder)
        if not (folder / "vocab.json").is_file() and not (folder / "tokenizer.json").is_file():
            raise WeightsError(f"{folder}: holds no tokenizer; expected vocab.json and merges.txt")
        os.environ.setdefault(
            "TRANSFORMERS_NO_ADVISORY_WARNINGS", "1"
        )  # it misses PyTorch; we do not
        from transformers import CLIPTokenizer

        try:
            # from_pretrained on purpose: the constructor with file names silently gives wrong ids in transformers 5.
            self._tokenizer: Any = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
        except Exception as error:
            line = (
                str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            )
            raise WeightsError(f"{folder}: not a CLIP tokenizer folder ({line})") from None
        self.folder = folder
        self.max_length = max_length

    def __call__(self, prompts: Sequence[str]) -> Int[np.ndarray, "b l"]:
        """Ids padded to `max_length`; a longer prompt is cut, with a warning that says what was lost.

        Raises:
            InputError: a prompt is no valid text.
        """
        for prompt in prompts:
            self._warn_if_cut(check_text(prompt, "prompt"))
        return self.ids(prompts)

    def ids(self, prompts: Sequence[str]) -> Int[np.ndarray, "b l"]:
        """The same without a word about what was cut: for captions of datasets."""
        batch = self._tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self.max_length,
            truncation=True,
            return_tensors="np",
        )
        return batch.input_ids.astype(np.int32)

    def _warn_if_cut(self, prompt: str) -> None:
        ids = self._tokenizer(
            prompt, add_special_tokens=False, truncation=False, verbose=False
        ).input_ids
        room = self.max_length - 2  # start and end of text
        if len(ids) > room:
            lost = self._tokenizer.decode(ids[room:]).strip()
            warnings.warn(
                f"prompt: {len(ids) + 2} tokens, the text encoder reads {self.max_length}; cut off: {lost!r}",
                PromptCutWarning,
                stacklevel=4,
            )
