"""A pipeline that draws at once: the packaged face pack and the real checks, but one colour instead of a network."""

import threading
import time
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from PIL import Image

from dynamicid_jax.faces.pack import FacePack
from dynamicid_jax.inference.people import Person, mix_people
from dynamicid_jax.inference.pipeline import DynamicIDPipeline, Output
from dynamicid_jax.inference.random_model import nano_config
from dynamicid_jax.inference.request import check_number
from dynamicid_jax.models.configs import IMRConfig
from dynamicid_jax.packaged import mini_folder
from dynamicid_jax.provenance.statement import plain_statement

BREAKS = "break"  # in a prompt: an error that nobody expected
SLOW = "slowly"  # in a prompt: a second a step
NEEDS = "this version comes without the mini model, whose face pack the stub uses"


class StubPipeline(DynamicIDPipeline):
    """What `Studio` uses of a pipeline."""

    def __init__(self):  # without a network: not the real one's
        self.name = "stub"
        self.config = replace(nano_config(), imr=IMRConfig())
        self.face_pack = FacePack.load(mini_folder() / "face_pack")
        self.calls, self.batches, self.warmed = [], [], []
        self.threads = set()

    def person(self, photos, *, face=None, pose=None, box=None, strength=1.0):
        recipe = {
            "references": ["0" * 64] * len(photos),
            "face": face,
            "pose": None if pose is None else "1" * 64,
            "box": box if box is None or isinstance(box, str) else list(box),
            "strength": check_number(strength, "strength"),
        }
        return Person(((jnp.zeros((4, 8)), 1.0),), None, strength, recipe)

    def mix(self, parts, box=None, strength=1.0):
        return mix_people(parts, box, strength)

    def __call__(self, prompt, people, *, progress=None, preview=None, **options):
        self.threads.add(threading.current_thread().name)
        if BREAKS in prompt:
            raise RuntimeError("a secret path: /etc/passwd")
        request = self._asked(tuple(people), prompt=prompt, **options)
        self.calls.append(request)
        image = Image.new("RGB", (request.width, request.height), (request.seed % 256, 90, 160))
        for step in range(request.steps + 1):
            if progress is not None:
                progress(step, request.steps)
            if preview is not None and step == request.steps // 2:
                preview(image)
            if SLOW in prompt:
                time.sleep(1)
        recipe = {**request.to_recipe(), "people": [person.recipe for person in people]}
        recipe["provenance"] = plain_statement()
        gates = {"mid": np.ones((1, 4, 4), np.float32)} if people else {}
        return Output(
            [image], np.zeros((1, 4, 4, 4), np.float32), gates, {"recipe": recipe, "quality": []}
        )

    def warm_up(self, people=0, *, boxes=False, preview=False):
        self.threads.add(threading.current_thread().name)
        self.warmed.append((people, boxes))
        if len(self.warmed) == 1:
            raise RuntimeError("no compiler")

    def many(self, calls, rows=None):
        self.batches.append(len(calls))
        return [self(**call) for call in calls]


def path_of_visit(client):
    return f"/api/visits/{client.post('/api/visits').json()['visit']}"


def wait_for(client, visit, job, states=("done", "failed", "cancelled")):
    """The job as soon as it is in one of these states."""
    for _ in range(2000):
        found = client.get(f"{visit}/jobs/{job}").json()
        if found["state"] in states:
            return found
        time.sleep(0.01)
    raise AssertionError(f"the job stays {found}")
