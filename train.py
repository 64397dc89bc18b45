"""Training of an adapter: `python train.py --help`."""

import sys

from dynamicid_jax.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main(["train", *sys.argv[1:]]))
