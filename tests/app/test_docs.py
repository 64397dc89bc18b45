"""The examples of docs/APP.md do what they say."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "APP.md").read_text(encoding="utf-8")
SERVER = "http://127.0.0.1:7860"


def example(language: str, word: str) -> str:
    """The first code block of a language that holds a word."""
    blocks = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return next(block for block in blocks if word in block)


def test_the_python_example_draws(address, tmp_path) -> None:
    code = example("python", "urlopen").replace(SERVER, address)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
    assert Image.open(tmp_path / "out.png").format == "PNG"


def test_the_curl_example_asks(address, tmp_path) -> None:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("needs curl and bash")
    lines = example("bash", "curl").replace(SERVER, address).splitlines()[:3]
    done = subprocess.run(
        ["bash", "-ec", "\n".join(lines)], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert '"state":"' in done.stdout
    assert '"visit":"' in done.stdout


def test_the_request_shown_is_one_that_is_taken(client, visit) -> None:
    wish = json.loads(example("json", "people"))
    wish["people"][1]["pose"] = "cleo"
    assert client.post(f"{visit}/jobs", json=wish).status_code == 202
