"""What whoever runs the software has decided, as environment variables, so that no request can decide otherwise.

DYNAMICID_REQUIRE_CONSENT=1         no picture of a person without a consent statement
DYNAMICID_REQUIRE_PROVENANCE=1      no picture without provenance
DYNAMICID_C2PA_CERTIFICATE=FILE     certificate chain (PEM), the signer's own first: pictures are signed
DYNAMICID_C2PA_KEY=FILE             its private key (PEM, PKCS#8, without a password)
DYNAMICID_C2PA_ALGORITHM=NAME       of the key: es256 (the default), es384, es512, ps256, ps384, ps512 or ed25519
DYNAMICID_C2PA_TIMESTAMP=URL        a time-stamping authority (RFC 3161); left out, none is asked
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dynamicid_jax.errors import InputError

PREFIX = "DYNAMICID_"
REQUIRE_CONSENT, REQUIRE_PROVENANCE = f"{PREFIX}REQUIRE_CONSENT", f"{PREFIX}REQUIRE_PROVENANCE"
CERTIFICATE, KEY = f"{PREFIX}C2PA_CERTIFICATE", f"{PREFIX}C2PA_KEY"
ALGORITHM, TIMESTAMP = f"{PREFIX}C2PA_ALGORITHM", f"{PREFIX}C2PA_TIMESTAMP"
ALGORITHMS = ("es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519")
YES, NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class Signing:
    """Who signs pictures (C2PA).

    Attributes:
        certificate: file of the certificate chain, PEM.
        key: file of the private key, PEM.
        algorithm: of ALGORITHMS.
        timestamp: address of a time-stamping authority, or None.
    """

    certificate: Path
    key: Path
    algorithm: str = "es256"
    timestamp: str | None = None


@dataclass(frozen=True)
class Operator:
    """The settings above.

    Attributes:
        require_consent: every person needs a consent statement.
        require_provenance: pictures without provenance are refused.
        signing: None: pictures carry metadata and no signature.
    """

    require_consent: bool = False
    require_provenance: bool = False
    signing: Signing | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Operator":
        """The settings as they are now.

        Raises:
            InputError: a value that is neither yes nor no, a certificate without a key, an unknown algorithm.
        """
        return cls(
            require_consent=_flag(environment, REQUIRE_CONSENT),
            require_provenance=_flag(environment, REQUIRE_PROVENANCE),
            signing=_signing(environment),
        )


def _flag(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "").strip().lower()
    if value not in (*YES, *NO):
        raise InputError(f"{name}: expected 1 or 0, got {value!r}")
    return value in YES


def _signing(environment: Mapping[str, str]) -> Signing | None:
    certificate, key = environment.get(CERTIFICATE), environment.get(KEY)
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise InputError(
            f"{CERTIFICATE if not certificate else KEY}: expected a PEM file; signing needs certificate and key"
        )
    algorithm = environment.get(ALGORITHM, "es256").lower()
    if algorithm not in ALGORITHMS:
        raise InputError(f"{ALGORITHM}: expected one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
    return Signing(Path(certificate), Path(key), algorithm, environment.get(TIMESTAMP) or None)
