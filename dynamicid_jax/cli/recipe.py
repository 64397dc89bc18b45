"""`--config.KEY=VALUE`: changes to a recipe on the command line, for the commands that take a recipe."""

import argparse
from collections.abc import Sequence
from typing import Any

PREFIX = "--config."


def take_overrides(parser: argparse.ArgumentParser) -> None:
    """Makes a command's parser collect "--config.a.b=value" as "a.b=value" in `args.overrides`.

    The keys are the recipe's (config.read_recipe checks them), so argparse cannot list them.
    """
    plain = parser.parse_known_args

    def parse(args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:
        rest, overrides = _split(list(args or ()), parser)
        known, unknown = plain(rest, namespace)
        known.overrides = tuple(overrides)
        return known, unknown

    parser.parse_known_args = parse  # type: ignore[method-assign,assignment]


def _split(args: list[str], parser: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Everything else, and the overrides; "--config.key value" is the same as "--config.key=value"."""
    rest: list[str] = []
    overrides: list[str] = []
    words = iter(args)
    for word in words:
        if not word.startswith(PREFIX):
            rest.append(word)
            continue
        key, given, value = word.removeprefix(PREFIX).partition("=")
        if not given:
            following = next(words, None)
            if following is None or following.startswith("--"):
                parser.error(f"{word}: expected a value, as in {word}=VALUE")
            value = following
        overrides.append(f"{key}={value}")
    return rest, overrides
