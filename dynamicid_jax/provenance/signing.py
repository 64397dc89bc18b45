"""A picture's C2PA manifest: the statement again, bound to the pixels and signed by the operator.

Written with c2pa-python (extra `c2pa`), format as of the C2PA specification 2.x: the assertion "c2pa.actions.v2" says
that a trained model created the picture, and "org.dynamicid.provenance" holds the statement. Signed pictures are
never equal byte for byte, because a signature holds random numbers.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamicid_jax.errors import InputError, MissingPartError, one_line
from dynamicid_jax.provenance.operator import CERTIFICATE, KEY, Signing
from dynamicid_jax.provenance.statement import SOURCE_TYPE, software

FORMAT = "image/png"
LABEL = "org.dynamicid.provenance"


def sign_png(picture: bytes, told: Mapping[str, Any], signing: Signing) -> bytes:
    """A PNG file with its manifest in it.

    Args:
        picture: the whole PNG file.
        told: the statement.
        signing: the operator's certificate and key.

    Raises:
        InputError: certificate or key cannot be read or do not fit.
        MissingPartError: c2pa-python is not installed.
    """
    c2pa = _library()
    source, target = io.BytesIO(picture), io.BytesIO()
    try:
        with _signer(c2pa, signing) as signer, c2pa.Builder(_manifest(told)) as builder:
            builder.sign(signer, FORMAT, source, target)
    except c2pa.C2paError as error:
        raise InputError(_refusal(signing, error)) from None
    return target.getvalue()


def check_signing(signing: Signing | None) -> None:
    """Finds out before anything is drawn whether pictures can be signed.

    Raises:
        InputError: as `sign_png`.
        MissingPartError: as `sign_png`.
    """
    if signing is None:
        return
    c2pa = _library()
    try:
        _signer(c2pa, signing).close()
    except c2pa.C2paError as error:
        raise InputError(_refusal(signing, error)) from None


def read_manifest(picture: bytes) -> dict[str, Any] | None:
    """What c2pa's own reader says of a PNG file: its JSON report, with "validation_state"; None without a manifest.

    Raises:
        MissingPartError: c2pa-python is not installed.
    """
    c2pa = _library()
    reader = c2pa.Reader.try_create(FORMAT, io.BytesIO(picture))
    if reader is None:
        return None
    with reader:
        report = json.loads(reader.json())
        return {**report, "validation_state": str(reader.get_validation_state())}


def _library() -> Any:
    try:
        import c2pa
    except ImportError:
        raise MissingPartError(
            f"{CERTIFICATE} is set, and signing needs c2pa-python: pip install 'dynamicid-jax[c2pa]'"
        ) from None
    return c2pa


def _signer(c2pa: Any, signing: Signing) -> Any:
    timestamp = None if signing.timestamp is None else signing.timestamp.encode()
    pem = [_pem(signing.certificate, CERTIFICATE), _pem(signing.key, KEY)]
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(signing.algorithm.encode(), *pem, timestamp))


def _pem(path: Path, setting: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{setting}: {path}: cannot be read ({error.strerror})") from None
    if b"-----BEGIN " not in content or b"\0" in content:
        raise InputError(f"{setting}: {path}: not a PEM file")
    return content


def _refusal(signing: Signing, error: Exception) -> str:
    words = one_line(error, 200)
    return (
        f"{signing.certificate}: pictures cannot be signed with it and {signing.key} as {signing.algorithm} ({words}); "
        f"expected a chain whose first certificate belongs to the key (see {CERTIFICATE}, {KEY})"
    )


def _manifest(told: Mapping[str, Any]) -> dict[str, Any]:
    name, version = software().split()
    agent = {"name": name, "version": version}
    created = {
        "action": "c2pa.created",
        "digitalSourceType": SOURCE_TYPE,
        "softwareAgent": agent,
    }
    return {
        "claim_generator_info": [agent],
        "format": FORMAT,
        "title": "generated picture",
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": LABEL, "data": dict(told)},
        ],
    }
