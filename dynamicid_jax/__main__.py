"""`python -m dynamicid_jax` is the command `dynamicid`."""

from dynamicid_jax.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
