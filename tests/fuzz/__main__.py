"""The long run: `python -m tests.fuzz` (all of docs/SECURITY.md's counts), or a piece of it."""

import argparse
import json
import sys
from typing import Any

from .fuzzers import ALL
from .workers import run_apart

EXAMPLES = """\
examples:
  python -m tests.fuzz                                        everything: about two hours of a core
  python -m tests.fuzz pictures headers --json results.jsonl
  python -m tests.fuzz configs --start 4000 --count 2000      a piece: the same cases as in the whole run
  python -m tests.fuzz configs --start 4711 --count 1         one case again
"""


def main() -> int:
    """Runs what was asked for and prints a line per fuzzer; 1 where something was found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = ", ".join(ALL)
    parser.add_argument("names", nargs="*", metavar="FUZZER", help=f"of {known}; default: all")
    parser.add_argument("--start", type=int, default=0, help="number of the first case (0)")
    parser.add_argument("--count", type=int, help="cases; default: the full count of each fuzzer")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other cases (0)")
    parser.add_argument("--json", metavar="FILE", help="append a line of JSON per fuzzer")
    args = parser.parse_args()
    if unknown := set(args.names) - set(ALL):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected some of {known}")
    found = 0
    for name in args.names or ALL:
        count = ALL[name].count if args.count is None else args.count
        told = run_apart(ALL[name], args.start, count, args.seed)
        found += len(told["findings"])
        print(_line(told), flush=True)
        if args.json:
            with open(args.json, "a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")
    return int(found > 0)


def _line(told: dict[str, Any]) -> str:
    found = [f"  case {number}: {text}" for number, text in list(told["findings"].items())[:5]]
    head = (
        f"{told['name']}: {told['count']:,} cases, {told['accepted']:,} read, "
        f"{told['refused']:,} refused, {len(told['findings'])} findings, "
        f"slowest {told['slowest']:.2f} s, {told['seconds']:.0f} s in all"
    )
    return "\n".join([head, *found])


if __name__ == "__main__":
    sys.exit(main())
