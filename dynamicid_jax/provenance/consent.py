"""Consent statements: what somebody who is shown has agreed to, in words, recorded with the picture."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import InputError
from dynamicid_jax.provenance.operator import REQUIRE_CONSENT, Operator
from dynamicid_jax.text import check_text

MAX_LETTERS = 4000
MADE_UP = "a made-up person of this package, who does not exist"
"""The statement for the package's own drawn people, whom nobody need ask."""


def read_consent(value: str | os.PathLike[str]) -> str:
    """A statement, given as text or as a text file (UTF-8) that exists under that name.

    The text becomes part of every picture's metadata: "signed release no. 17" says as much as a name would.

    Raises:
        InputError: empty, longer than 4000 letters, or not text.
    """
    text = _text(value).strip()
    if not text:
        raise InputError("consent: the statement is empty; say who agreed to what, and when")
    if len(text) > MAX_LETTERS:
        raise InputError(
            f"consent: {len(text)} letters; at most {MAX_LETTERS}: name the document instead of quoting it"
        )
    return check_text(text, "consent")


def _text(value: str | os.PathLike[str]) -> str:
    try:
        path = Path(value)
        if not path.is_file():
            return "" if isinstance(value, os.PathLike) else str(value)
        with open(path, encoding="utf-8") as file:
            return file.read(4 * MAX_LETTERS)
    except UnicodeDecodeError:
        raise InputError(f"consent: {value}: not a text file in UTF-8") from None
    except TypeError:
        raise InputError(f"consent: expected text or a file, got {type(value).__name__}") from None
    except (OSError, ValueError):  # no name of a file: too long, or with a NUL
        return str(value)


def check_consent(recipes: Iterable[Mapping[str, Any]], operator: Operator | None = None) -> None:
    """Whether everybody's consent is recorded, where the operator demands it.

    Args:
        recipes: of each person (`Person.recipe`); of a mix, all parts are asked for.
        operator: None reads the environment.

    Raises:
        InputError: somebody's is missing.
    """
    operator = operator or Operator.from_environment()
    if not operator.require_consent:
        return
    for number, recipe in enumerate(recipes, 1):
        if not all(one.get("consent") for one in members(recipe)):
            raise InputError(
                f"consent: person {number} has no statement, and this installation demands one ({REQUIRE_CONSENT}); "
                'give --consent "..." or consent="..."'
            )


def members(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The people that a person's recipe names: itself, or everybody mixed into it."""
    if "mix" not in recipe:
        return [recipe]
    return [one for part in recipe["mix"] if part.get("weight") for one in members(part)]
