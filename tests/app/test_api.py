"""The API that the page uses: photos, pictures, gate maps, recipes, progress, cancelling, the end of a visit."""

import io
import json
import re
import shlex
import time

import numpy as np
import pytest
from app_stub import SLOW, path_of_visit, wait_for
from PIL import Image

from dynamicid_jax.app.limits import Limits
from dynamicid_jax.app.studio import USUAL
from dynamicid_jax.faces.prompts import EXPRESSIONS, VIEWS
from dynamicid_jax.inference.recipe import read_recipe
from dynamicid_jax.packaged import photos

ADA = {"photos": ["ada"], "face": "happy, half left", "box": [0.0, 0.2, 0.5, 0.9]}
BEN = {"photos": ["ben"], "box": [0.5, 0.2, 1.0, 0.9]}
WISH = {"prompt": "two people, {face}, before the sea", "seed": 7, "people": [ADA, BEN]}


def picture(client, visit, wish=WISH) -> dict:
    job = client.post(f"{visit}/jobs", json=wish)
    assert job.status_code == 202, job.text
    done = wait_for(client, visit, job.json()["job"])
    assert done["state"] == "done", done
    return client.get(f"{visit}/pictures/{done['pictures'][-1]}").json()


def image(client, path) -> Image.Image:
    answer = client.get(path)
    assert answer.headers["content-type"] == "image/png"
    return Image.open(io.BytesIO(answer.content))


def test_settings_say_what_the_page_needs(client) -> None:
    said = client.get("/api/settings").json()
    assert [one["name"] for one in said["people"]] == sorted(photos())
    assert said["samplers"]["ddim"] == 50
    assert said["limits"]["people"] == Limits().people
    assert image(client, "/api/people/ada.png").size == (160, 160)


def test_a_picture_carries_the_recipe_that_is_shown(client, visit, tmp_path) -> None:
    made = picture(client, visit)
    where = f"{visit}/pictures/{made['id']}"
    (tmp_path / "out.png").write_bytes(client.get(f"{where}/picture.png").content)
    (tmp_path / "out.json").write_bytes(client.get(f"{where}/recipe.json").content)
    recipes = [read_recipe(tmp_path / name) for name in ("out.png", "out.json")]
    assert recipes == [made["recipe"]] * 2
    prompt = "two people, in a happy expression, in half left view, before the sea"
    assert made["recipe"]["prompt"] == prompt
    assert made["wish"] == {**WISH, "seed": 7}
    words = shlex.split(made["command"])
    assert words[:4] == ["dynamicid", "sample", "--model", "mini"]
    assert words[words.index("--seed") + 1] == "7"
    assert words.count("--person") == 2
    compile(made["python"], "recipe", "exec")


def test_gate_maps_are_laid_over_it_for_everybody_and_in_each_box(client, visit) -> None:
    made = picture(client, visit)
    where = f"{visit}/pictures/{made['id']}"
    everybody, left, right = (
        np.asarray(image(client, f"{where}/gates{who}.png")).astype(int) for who in ("", "-0", "-1")
    )
    assert everybody.shape == left.shape == right.shape
    quarter = (
        left.shape[1] // 4
    )  # the map of the stub has four cells, and light fades over half a cell
    assert np.ptp(left[:, -quarter:], axis=(0, 1)).max() == 0  # nothing is lit on the other side
    assert np.ptp(right[:, :quarter], axis=(0, 1)).max() == 0
    assert np.ptp(left[:, :quarter], axis=(0, 1)).max() > 0
    assert client.get(f"{where}/gates-2.png").status_code == 404


def test_several_pictures_have_seeds_of_their_own(client, visit, pipe) -> None:
    pipe.calls.clear()
    picture(client, visit, {**WISH, "pictures": 3})
    assert [request.seed for request in pipe.calls] == [7, 8, 9]
    kept = client.get(visit).json()["pictures"]
    assert [one["recipe"]["seed"] for one in kept] == [7, 8, 9]


def test_a_grid_is_one_sheet_of_all_expressions_and_poses(client, visit, pipe) -> None:
    pipe.calls.clear()
    made = picture(client, visit, {"kind": "grid", "prompt": "one person, {face}", "people": [BEN]})
    assert len({request.prompt for request in pipe.calls}) == 35
    assert made["recipe"] == {}
    assert image(client, f"{visit}/pictures/{made['id']}/picture.png").width > 5 * 96


def test_mixing_strength_and_consent_reach_the_recipe(client, visit) -> None:
    person = {"photos": ["ada"], "mix": {"photos": ["ben"], "share": 0.25}, "strength": 0.5}
    person["consent"] = "both agreed"
    (made,) = picture(client, visit, {"prompt": "a person", "people": [person]})["recipe"]["people"]
    assert [part["weight"] for part in made["mix"]] == [0.75, 0.25]
    assert (made["strength"], made["consent"]) == (0.5, "both agreed")


def test_a_photo_is_looked_at_and_then_used_with_consent_only(client, visit) -> None:
    data = photos()["eva"].read_bytes()
    sent = client.post(f"{visit}/photos", content=data, headers={"X-File-Name": "%E6%81%B5.png"})
    assert sent.status_code == 201
    photo = sent.json()
    assert (photo["name"], photo["faces"], photo["made_up"]) == ("恵.png", 1, False)
    assert image(client, f"{visit}/photos/{photo['id']}.png").size == (160, 160)
    person = {"photos": [photo["id"]]}
    wish = {"prompt": "a person", "people": [person]}
    refused = client.post(f"{visit}/jobs", json=wish)
    assert (refused.status_code, "consent" in refused.json()["error"]) == (422, True)
    made = picture(client, visit, {**wish, "people": [{**person, "consent": "it is me"}]})
    assert "恵.png" in made["command"]
    client.delete(f"{visit}/photos/{photo['id']}")
    assert client.post(f"{visit}/jobs", json=wish).status_code == 404


def test_a_photo_without_a_face_says_why(client, visit) -> None:
    grey = io.BytesIO()
    Image.new("RGB", (200, 200), "grey").save(grey, "PNG")
    sent = client.post(f"{visit}/photos", content=grey.getvalue())
    assert sent.status_code == 422
    assert sent.json()["findings"][0]["reason"] == "no face"
    assert client.get(visit).json()["photos"] == []


def test_a_job_shows_steps_and_a_preview_and_can_be_cancelled(client, visit) -> None:
    slow = client.post(f"{visit}/jobs", json={**WISH, "prompt": SLOW, "steps": 20}).json()["job"]
    waiting = client.post(f"{visit}/jobs", json=WISH).json()
    assert (waiting["state"], waiting["ahead"]) in {("waiting", 1), ("waiting", 2)}
    assert client.delete(f"{visit}/jobs/{waiting['job']}").json()["state"] == "cancelled"
    running = wait_for(client, visit, slow, ("running",))
    assert client.get(visit).json()["jobs"][0]["job"] == slow
    assert running["pictures"] == []
    client.delete(f"{visit}/jobs/{slow}")
    assert wait_for(client, visit, slow)["state"] == "cancelled"
    assert picture(client, visit)["recipe"]["seed"] == 7


def test_waiting_wishes_of_one_shape_are_drawn_together(serve, pipe) -> None:
    client = serve(batch=4)
    visit = path_of_visit(client)
    pipe.batches.clear()
    first = client.post(f"{visit}/jobs", json={**WISH, "prompt": SLOW, "steps": 1}).json()["job"]
    wait_for(client, visit, first, ("running",))
    rest = [
        client.post(f"{visit}/jobs", json={**WISH, "seed": seed}).json()["job"]
        for seed in (1, 2, 3)
    ]
    made = [wait_for(client, visit, job)["pictures"] for job in rest]
    assert pipe.batches == [3]
    seeds = [client.get(f"{visit}/pictures/{one}").json()["recipe"]["seed"] for (one,) in made]
    assert seeds == [1, 2, 3]


def test_usual_programs_are_compiled_by_the_drawing_thread_and_a_failure_stops_nothing(
    serve, pipe
) -> None:
    pipe.warmed.clear()
    pipe.threads.clear()
    client = serve(warm_up=True)
    visit = path_of_visit(client)
    picture(client, visit)
    for _ in range(1000):
        if len(pipe.warmed) == len(USUAL):
            break
        time.sleep(0.01)
    assert pipe.warmed[0] == (1, True)
    assert {people for people, _ in pipe.warmed} == {0, 1, 2}
    assert pipe.threads == {"drawing"}


def test_the_end_of_a_visit_deletes_everything(client, visit) -> None:
    made = picture(client, visit)
    assert client.delete(visit).status_code == 204
    for path in (visit, f"{visit}/pictures/{made['id']}/picture.png"):
        assert client.get(path).status_code == 404
    assert client.post(f"{visit}/jobs", json=WISH).status_code == 404


def test_visits_do_not_see_each_other(client, visit) -> None:
    made, other = picture(client, visit), path_of_visit(client)
    assert client.get(f"{other}/pictures/{made['id']}").status_code == 404
    assert client.get(other).json()["pictures"] == []


def test_a_command_of_mixed_people_is_not_offered(client, visit) -> None:
    person = {"photos": ["ada"], "mix": {"photos": ["ben"]}}
    made = picture(client, visit, {"prompt": "a person", "people": [person]})
    assert made["command"] == ""
    assert "pipe.mix" in made["python"]


@pytest.mark.parametrize("name", ["index.html", "page.js", "labels.js", "page.css"])
def test_the_page_is_served_with_everything_it_names(client, name) -> None:
    assert client.get(f"/static/{name}").status_code == 200
    assert client.get("/").text == client.get("/static/index.html").text


def test_labels_say_the_same_things_in_both_languages() -> None:
    pytest.importorskip("starlette", reason="the extra `app` is not installed")
    from dynamicid_jax.app.server import static_files

    files = static_files()
    english, japanese = json.loads(files["labels.json"]).values()
    assert english.keys() == japanese.keys()
    for key, text in english.items():
        nested = text.items() if isinstance(text, dict) else [(key, text)]
        other = japanese[key] if isinstance(text, dict) else japanese
        assert {one for one, _ in nested} <= other.keys()
        for one, said in nested:
            assert sorted(re.findall(r"{.}", said)) == sorted(re.findall(r"{.}", other[one])), one
    assert set(re.findall(r'data-say="(\w+)"', files["index.html"].decode())) <= english.keys()
    code = "".join(data.decode() for name, data in files.items() if name.endswith(".js"))
    assert set(re.findall(r'\bsay\("(\w+)"', code)) <= english.keys()
    assert set(EXPRESSIONS) | set(VIEWS) == english["choices"].keys()
