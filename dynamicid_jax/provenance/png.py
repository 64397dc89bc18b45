"""A picture as a PNG file that says what it is: for people, for programs, for this package.

Software, Description      text
XML:com.adobe.xmp          XMP with IPTC's DigitalSourceType, which platforms look for
dynamicid                  the recipe with the statement in it, as JSON
"""

import io
import json
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import quoteattr

from PIL import Image, PngImagePlugin

from dynamicid_jax.errors import InputError
from dynamicid_jax.provenance.operator import REQUIRE_PROVENANCE, Operator
from dynamicid_jax.provenance.signing import sign_png
from dynamicid_jax.provenance.statement import in_words, plain_statement

RECIPE_KEY, XMP_KEY = "dynamicid", "XML:com.adobe.xmp"


def png_bytes(
    image: Image.Image,
    recipe: Mapping[str, Any] | None = None,
    *,
    provenance: bool = True,
    operator: Operator | None = None,
) -> bytes:
    """A PNG file.

    Args:
        image: the picture.
        recipe: JSON values; its "provenance" is the statement, without which the least is said.
        provenance: False writes the bare pixels: no statement, no recipe, no signature.
        operator: None reads the environment.

    Raises:
        InputError: no provenance where the operator demands it, or a certificate that cannot sign.
        MissingPartError: signing is asked for, and c2pa-python is not installed.
    """
    operator = operator or Operator.from_environment()
    if not provenance:
        check_bare(operator)
        return _encoded(image, None)
    told = (recipe or {}).get("provenance") or plain_statement()
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", told["software"])
    info.add_itxt("Description", in_words(told))
    info.add_itxt(XMP_KEY, _xmp(told))
    if recipe is not None:
        info.add_itxt(RECIPE_KEY, json.dumps(recipe, sort_keys=True, ensure_ascii=False))
    made = _encoded(image, info)
    return made if operator.signing is None else sign_png(made, told, operator.signing)


def check_bare(operator: Operator | None = None) -> None:
    """Whether pictures without provenance may be written.

    Raises:
        InputError: the operator demands provenance.
    """
    operator = operator or Operator.from_environment()
    if operator.require_provenance:
        raise InputError(
            f"--no_provenance: this installation demands provenance ({REQUIRE_PROVENANCE}); leave the option out"
        )


def _encoded(image: Image.Image, info: PngImagePlugin.PngInfo | None) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG", pnginfo=info)
    return stream.getvalue()


def _xmp(told: Mapping[str, Any]) -> str:
    """XMP packet (ISO 16684-1) with IPTC's term and the tool's name."""
    source, tool = quoteattr(told["digital_source_type"]), quoteattr(told["software"])
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        f"Iptc4xmpExt:DigitalSourceType={source} xmp:CreatorTool={tool}/>"
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )
