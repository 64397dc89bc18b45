"""Text from outside."""

from typing import Any

from dynamicid_jax.errors import InputError


def check_text(value: Any, name: str) -> str:
    """The value, if it is text that can be written down.

    Raises:
        InputError: no text, or half a surrogate pair in it, as arguments with broken bytes have.
    """
    if not isinstance(value, str):
        raise InputError(f"{name}: expected text, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name}: not valid Unicode text (half a surrogate pair)") from None
    return value


def printable(text: str) -> str:
    """Text as one line for every terminal; names in a stranger's file may hold line breaks and control codes."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
