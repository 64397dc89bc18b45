"""`dynamicid app`: a page in the browser for people, places and expressions, and the same functions as an API."""

import argparse
import getpass
import os
import sys
from typing import Any

PASSWORD = "DYNAMICID_PASSWORD"
SHORTEST_PASSWORD = 8
CONNECTIONS = 512
EXAMPLES = f"""\
examples:
  dynamicid app --model mini
      the packaged model of made-up people, at http://127.0.0.1:7860; nothing to download
  dynamicid app --model MODEL --face_pack PACK --port 8000
      a model of your own
  dynamicid app --model mini --host 0.0.0.0
      also for other machines; asks for a password (or takes it from the variable {PASSWORD})

Ctrl-C ends it. Photos and pictures of a visit are kept in memory only, and are deleted when it ends.
The API, with examples for Python and curl: docs/APP.md. Needs the extra: pip install 'dynamicid-jax[app]'
"""


def add_parser(subparsers: Any) -> None:
    """Adds the command to the entry point."""
    from dynamicid_jax.cli.sample_options import add_model_options

    parser = subparsers.add_parser(
        "app",
        help="open a page in the browser that does what sample does",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser)
    served = parser.add_argument_group("server")
    served.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to serve at (127.0.0.1: this machine only); any other needs a password",
    )
    served.add_argument("--port", type=int, default=7860, help="7860; 0 takes a free one")
    served.add_argument(
        "--batch",
        type=int,
        help="waiting requests of equal shape that are drawn in one call; default: 1 on a CPU, else 4",
    )
    served.add_argument(
        "--no_warm_up",
        action="store_true",
        help="compile at the first request; default: at the start, behind the page, while nobody waits",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Checks what is cheap, loads the model, serves until interrupted."""
    import uvicorn

    from dynamicid_jax.app.security import is_loopback
    from dynamicid_jax.cli.console import one_line_warnings, use_compilation_cache
    from dynamicid_jax.cli.sample import load_pipeline

    _check(args)
    password = None if is_loopback(args.host) else _password(args.host)
    listener = _listen(args.host, args.port)
    with one_line_warnings(), listener:
        use_compilation_cache()
        pipe = load_pipeline(args)

        from dynamicid_jax.app.server import build_app
        from dynamicid_jax.app.studio import Studio

        studio = Studio(pipe, args.model, args.batch or _batch(), warm_up=not args.no_warm_up)
        app = build_app(studio, host=args.host, password=password)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=3,
        )
        shown = f"[{args.host}]" if ":" in args.host else args.host
        listener.listen(CONNECTIONS)  # before the address is said: whoever follows it at once waits
        print(f"http://{shown}:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _check(args: argparse.Namespace) -> None:
    from dynamicid_jax.errors import InputError
    from dynamicid_jax.packaged import model_path

    if not 0 <= args.port <= 65535:
        raise InputError(f"--port: expected a number from 0 to 65535, got {args.port}")
    if args.batch is not None and not 1 <= args.batch <= 64:
        raise InputError(f"--batch: expected a number from 1 to 64, got {args.batch}")
    if not model_path(args.model).is_dir():
        raise InputError(f"--model {args.model}: no such folder")


def _password(host: str) -> str:
    """From the environment, else asked for; never from the command line, which other users of the machine can read.

    Raises:
        InputError: none is given, or a short one.
    """
    from dynamicid_jax.errors import InputError

    given = os.environ.get(PASSWORD)
    if given is None and sys.stdin.isatty():
        given = getpass.getpass(f"password that visitors at {host} have to give: ")
    if given is None or len(given) < SHORTEST_PASSWORD:
        raise InputError(
            f"--host {host}: others can reach this address, so a password of at least {SHORTEST_PASSWORD} letters is "
            f"needed; set {PASSWORD}, or leave --host out to serve this machine only"
        )
    return given


def _listen(host: str, port: int) -> Any:
    """The server's socket, before a model is loaded: a port that is taken is said at once.

    Raises:
        InputError: it cannot be opened.
    """
    import socket

    from dynamicid_jax.errors import InputError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InputError(
            f"--host {host} --port {port}: cannot be opened ({error.strerror}); choose another --port"
        ) from error
    return listener


def _batch() -> int:
    """1 on a CPU, where a batch saves nothing and shows no steps."""
    import jax

    return 1 if jax.default_backend() == "cpu" else 4
