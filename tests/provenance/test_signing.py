"""C2PA manifests: signed by a certificate made here, read back by c2pa's own reader."""

import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from dynamicid_jax.errors import InputError, MissingPartError
from dynamicid_jax.inference.recipe import read_recipe, save_picture
from dynamicid_jax.provenance.operator import Signing
from dynamicid_jax.provenance.signing import check_signing, read_manifest, sign_png
from dynamicid_jax.provenance.statement import SOURCE_TYPE, plain_statement

c2pa = pytest.importorskip("c2pa", reason="the extra `c2pa` signs pictures")

PICTURE = Image.linear_gradient("L").convert("RGB")
TOLD = {**plain_statement(), "references": 2, "reference_hashes": ["a", "b"], "consent": [None]}
UNTRUSTED = "signingCredential.untrusted"  # nobody trusts a certificate that a test made


@pytest.fixture(scope="module")
def operator(tmp_path_factory) -> Signing:
    """A root and a signer's certificate under it, as C2PA wants them, and the signer's key."""
    return make_certificate(tmp_path_factory.mktemp("pki"))


def make_certificate(folder: Path) -> Signing:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def usage(*names: str) -> x509.KeyUsage:
        every = (
            "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
            "key_cert_sign crl_sign encipher_only decipher_only"
        )
        return x509.KeyUsage(**{name: name in names for name in every.split()})

    def named(name: str) -> x509.Name:
        parts = ((NameOID.ORGANIZATION_NAME, "Test"), (NameOID.COMMON_NAME, name))
        return x509.Name([x509.NameAttribute(*part) for part in parts])

    def start(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder(issuer_name=named("root"), subject_name=named(name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = (
        start("root", root_key)
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(usage("key_cert_sign", "crl_sign"), True)
        .sign(root_key, hashes.SHA256())
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    signer = (
        start("operator", key)
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(usage("digital_signature"), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        .add_extension(issuer, False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    made = Signing(folder / "chain.pem", folder / "key.pem")
    made.certificate.write_bytes(signer.public_bytes(pem) + root.public_bytes(pem))
    made.key.write_bytes(key.private_bytes(pem, *plain))
    return made


@pytest.fixture
def installed(operator, monkeypatch) -> None:
    """The operator's settings, as an installation has them."""
    monkeypatch.setenv("DYNAMICID_C2PA_CERTIFICATE", str(operator.certificate))
    monkeypatch.setenv("DYNAMICID_C2PA_KEY", str(operator.key))


def failures(report: dict) -> list[str]:
    return [one["code"] for one in report["validation_results"]["activeManifest"]["failure"]]


def test_a_saved_picture_is_signed_and_its_reader_agrees(installed, tmp_path) -> None:
    path = save_picture(PICTURE, tmp_path / "a.png", {"people": [], "provenance": TOLD})
    report = read_manifest(path.read_bytes())
    assert report is not None
    assert report["validation_state"] == "Valid"
    assert failures(report) == [UNTRUSTED]
    manifest = report["manifests"][report["active_manifest"]]
    said = {one["label"]: one["data"] for one in manifest["assertions"]}
    (action,) = said["c2pa.actions.v2"]["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", SOURCE_TYPE)
    assert said["org.dynamicid.provenance"] == TOLD
    assert read_recipe(path)["provenance"] == TOLD  # the PNG's own metadata is still there
    with Image.open(path) as again:
        assert again.tobytes() == PICTURE.tobytes()


def test_a_changed_pixel_breaks_the_signature(operator) -> None:
    stream = io.BytesIO()
    PICTURE.save(stream, "PNG", compress_level=0)
    signed = sign_png(stream.getvalue(), TOLD, operator)
    middle = signed.index(b"IDAT") + 100
    changed = signed[:middle] + bytes([signed[middle] ^ 1]) + signed[middle + 1 :]
    report = read_manifest(changed)
    assert report is not None
    assert "assertion.dataHash.mismatch" in failures(report)


def test_unsigned_pictures_have_no_manifest(tmp_path) -> None:
    assert read_manifest(save_picture(PICTURE, tmp_path / "a.png").read_bytes()) is None


def test_without_provenance_nothing_is_signed(installed, tmp_path) -> None:
    path = save_picture(PICTURE, tmp_path / "a.png", provenance=False)
    assert read_manifest(path.read_bytes()) is None


def test_a_key_that_does_not_fit_is_one_line_before_anything_is_drawn(
    operator, tmp_path, monkeypatch, capsys
) -> None:
    from dynamicid_jax.cli.main import main

    other = make_certificate(tmp_path)
    text, gone = tmp_path / "text.pem", tmp_path / "gone.pem"
    text.write_text("hello")
    for wrong in (
        Signing(operator.certificate, other.key),
        Signing(operator.certificate, text),
        Signing(gone, operator.key),
        Signing(operator.certificate, operator.key, "es384"),
    ):
        with pytest.raises(InputError, match=r"^[^\n]*$"):
            sign_png(b"", TOLD, wrong)
    monkeypatch.setenv("DYNAMICID_C2PA_CERTIFICATE", str(operator.certificate))
    monkeypatch.setenv("DYNAMICID_C2PA_KEY", str(text))
    command = ["sample", "--model", "none", "--prompt", "x", "--out", str(tmp_path / "out.png")]
    assert main(command) == 2
    assert "not a PEM file" in capsys.readouterr().err


def test_without_the_library_it_is_named(operator, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(MissingPartError, match=r"dynamicid-jax\[c2pa\]"):
        check_signing(operator)
