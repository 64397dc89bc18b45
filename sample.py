"""Pictures of people from reference photographs: `python sample.py --help`."""

import sys

from dynamicid_jax.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["sample", *sys.argv[1:]]))
