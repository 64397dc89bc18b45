"""Does the page stay within its memory? Many visitors at once, round after round, against `dynamicid app` itself.

    python benchmarks/page_load.py --rounds 6          200 visitors at once, six times; about a minute of 2 cores each

Every visitor begins a visit, asks for one picture, waits for it where the request was taken, and leaves. Prints for
each round how many pictures were made, how many requests were refused (429, with a time to ask again), whether any was
lost, and the server's resident memory afterwards. The first round warms the server up; the last is compared with it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

WISH = {"prompt": "one person in a red shirt, before the sea", "people": [{"photos": ["ada"]}]}


def main() -> int:
    """A line per round; 1 where a request was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mini")
    parser.add_argument("--visitors", type=int, default=200, help="at once")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=8, help="of a picture")
    parser.add_argument("--port", type=int, default=7871)
    args = parser.parse_args()
    server = f"http://127.0.0.1:{args.port}"
    command = [sys.executable, "-m", "dynamicid_jax", "app", "--model", args.model]
    with subprocess.Popen([*command, "--port", str(args.port)]) as process:
        try:
            wait_for(server)
            memory, lost = [], 0
            for number in range(args.rounds):
                ends = one_round(server, args.visitors, args.steps, number)
                memory.append(resident(process.pid))
                lost += args.visitors - ends["made"] - ends["refused"]
                print(
                    f"round {number + 1}: {ends['made']} made, {ends['refused']} refused, {lost} lost so far; "
                    f"{memory[-1]:.0f} MiB resident",
                    flush=True,
                )
        finally:
            process.terminate()
    print(f"after the last round against after the first: {memory[-1] / memory[0] - 1:+.2%}")
    return int(lost > 0)


def wait_for(server: str) -> None:
    """Until the server answers."""
    for _ in range(600):
        try:
            ask(server, "GET", "/api/settings")
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("the server did not come up in five minutes")


def one_round(server: str, visitors: int, steps: int, number: int) -> Counter[str]:
    """How every visitor's request ended: made, refused, or whatever else happened."""
    seeds = range(number * visitors, (number + 1) * visitors)
    with ThreadPoolExecutor(visitors) as pool:
        return Counter(pool.map(lambda seed: visitor(server, steps, seed), seeds))


def visitor(server: str, steps: int, seed: int) -> str:
    """One visit, from beginning to end."""
    try:
        visit = "/api/visits/" + ask(server, "POST", "/api/visits")["visit"]
    except HTTPError as error:
        return polite(error)
    try:
        job = ask(server, "POST", f"{visit}/jobs", {**WISH, "steps": steps, "seed": seed})
        while job["state"] in ("waiting", "running"):
            time.sleep(0.5)
            job = ask(server, "GET", f"{visit}/jobs/{job['job']}")
        return "made" if job["state"] == "done" and job["pictures"] else str(job)
    except HTTPError as error:
        return polite(error)
    finally:
        ask(server, "DELETE", visit)


def polite(error: HTTPError) -> str:
    """A refusal that says when to ask again, or what else it was."""
    good = error.code == 429 and error.headers.get("Retry-After")
    return "refused" if good else f"{error.code} {error.read()[:200]!r}"


def ask(server: str, method: str, path: str, body: Any = None) -> Any:
    """One request; its JSON."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(server + path, data, method=method), timeout=300) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def resident(process: int) -> float:
    """Resident memory in MiB (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None, os.uname()
    return int(found[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
