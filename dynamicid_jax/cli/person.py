"""`dynamicid person`: a reusable person in one file, with an expiry date and a consent note.

The file (NAME.person) holds face tokens, which are biometric data: it is written only by this command, only its owner
may read it, and after its expiry date it is refused. It holds no photograph, and nothing is cached from it.
"""

import argparse
from typing import Any

EXAMPLES = """\
examples:
  dynamicid person --model MODEL --face_pack PACK --photos alice1.jpg alice2.jpg \\
      --consent "release of 2026-11-02, portraits, until end of 2027" --expires 2027-12-31 --out alice.person
  dynamicid sample --model MODEL --person alice.person --prompt "a woman in a garden" --out out.png
  dynamicid person --show alice.person
      what it is, how long it may be used, with what consent; nothing biometric
  dynamicid person --forget alice.person
      deletes the file and whatever an interrupted write left of it
"""
NEEDED = ("model", "photos", "consent", "expires")


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    parser = subparsers.add_parser(
        "person",
        help="keep a person as a file, look at such a file, or forget it",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", metavar="FILE", help="write a person file; ends in .person")
    what.add_argument("--show", metavar="FILE", help="print what a file says, as JSON")
    what.add_argument("--forget", metavar="FILE", help="delete a file")
    make = parser.add_argument_group("for --out")
    make.add_argument("--model", help='model folder, the published layout, or "mini"')
    make.add_argument("--face_pack", help="pack of face networks; default: the model folder's own")
    make.add_argument("--photos", nargs="+", metavar="PHOTO", help="photo(s) of one person")
    make.add_argument(
        "--consent", metavar="TEXT|FILE", help="what the person has agreed to; kept in the file"
    )
    make.add_argument(
        "--expires", metavar="DAY", help="last day of use: 2027-12-31, or 90d from today"
    )
    make.add_argument("--face", metavar="WORDS", help='expression and pose to keep ("happy")')
    make.add_argument("--source_face", metavar="WORDS", help="what the photos show, if you know")
    make.add_argument("--which", type=int, metavar="N", help="Nth face from the left (from 0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes, shows or forgets one file."""
    if args.forget:
        from dynamicid_jax.inference.person_file import forget_person

        print("\n".join(f"deleted {path}" for path in forget_person(args.forget)))
        return 0
    if args.show:
        import json

        from dynamicid_jax.inference.person_file import describe_person

        print(json.dumps(describe_person(args.show), indent=2, ensure_ascii=False))
        return 0
    return _write(args)


def _write(args: argparse.Namespace) -> int:
    from dynamicid_jax import DynamicIDPipeline
    from dynamicid_jax.cli.console import one_line_warnings
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.images import check_file, shown
    from dynamicid_jax.inference.person_file import check_name, parse_expiry
    from dynamicid_jax.provenance.consent import read_consent

    for name in NEEDED:
        if getattr(args, name) is None:
            raise InputError(f"--{name}: needed with --out (see dynamicid person --help)")
    check_name(args.out)
    parse_expiry(args.expires)
    read_consent(args.consent)
    for photo in args.photos:
        check_file(photo, shown(photo))
    with one_line_warnings():
        pipe = DynamicIDPipeline.from_pretrained(args.model, face_pack=args.face_pack)
        person = pipe.person(
            args.photos, face=args.face, source_face=args.source_face, which=args.which
        )
        path = pipe.save_person(person, args.out, expires=args.expires, consent=args.consent)
    print(path)
    return 0
