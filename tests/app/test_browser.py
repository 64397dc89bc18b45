"""The page as a new user meets it, in headless Chromium: pointer, keyboard, reload, two tabs, two languages, a phone.

The stub draws, so that what is tested is the page; one slow test draws with the packaged mini model and makes the same
picture again by `dynamicid sample`.
"""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from app_stub import SLOW
from PIL import Image

from dynamicid_jax.cli.main import main
from dynamicid_jax.packaged import MINI, mini_folder, photos

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
DRAWN = "article.made"


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visitor(browser):
    """Opens pages as somebody new; errors on a page fail the test."""
    contexts, errors = [], []

    def come(address, *, size=DESKTOP, language="en"):
        context = browser.new_context(viewport=size, locale=language, accept_downloads=True)
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#add option:nth-child(2)", state="attached")
        return page

    yield come
    for context in contexts:
        context.close()
    assert errors == []


def add(page, *names):
    for name in names:
        page.select_option("#add", name)


def draw(page, prompt, **fields):
    page.fill("#prompt", prompt)
    for name, value in fields.items():
        page.fill(f"#{name}", str(value))
    page.click("button[type=submit]")


def drag(page, start, stop):
    """On the stage, in fractions."""
    page.locator("#stage").scroll_into_view_if_needed()
    frame = page.locator("#stage").bounding_box()
    points = [
        (frame["x"] + x * frame["width"], frame["y"] + y * frame["height"])
        for x, y in (start, stop)
    ]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=4)
    page.mouse.up()


def saved(page, text) -> bytes:
    with page.expect_download() as download:
        page.click(f"{DRAWN} a:has-text('{text}')")
    return download.value.path().read_bytes()


def test_two_people_are_placed_drawn_and_looked_at(visitor, address) -> None:
    page = visitor(address)
    add(page, "ada", "ben")
    page.get_by_role("combobox", name="Expression").first.select_option("happy")
    page.get_by_role(
        "combobox", name="Pose"
    ).first.focus()  # in a person's card: whom a new box is for
    drag(page, (0.49, 0.02), (0.05, 0.12))  # on empty ground: a new box for the chosen person
    drag(page, (0.75, 0.5), (0.7, 0.55))  # inside the other's box: moves it
    draw(page, "two people, {face}, before the sea", seed=5)
    page.wait_for_selector(DRAWN)
    recipe = json.loads(saved(page, "Download recipe"))
    assert recipe["seed"] == 5
    assert recipe["prompt"] == "two people, in a happy expression, before the sea"
    first, second = (person["box"] for person in recipe["people"])
    np.testing.assert_allclose(first, [0.05, 0.02, 0.49, 0.12], atol=0.02)
    np.testing.assert_allclose(second, [0.47, 0.21, 0.92, 0.89], atol=0.02)
    picture = Image.open(io.BytesIO(saved(page, "Download picture")))
    assert json.loads(picture.text["dynamicid"]) == recipe
    maps = page.get_by_role("group", name="Where faces act")
    with page.expect_response("**/gates-1.png") as answer:
        maps.get_by_role("button", name="Person 2").click()
    assert answer.value.status == 200
    page.click("text=another seed")
    page.locator(DRAWN).nth(1).wait_for()
    page.locator("text=changes (fills the form)").first.click()
    assert page.input_value("#seed") == "6"


def test_a_photo_without_a_face_is_answered_with_the_reason(visitor, address, tmp_path) -> None:
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "wall.png")
    page = visitor(address)
    page.set_input_files("#upload", tmp_path / "wall.png")
    page.wait_for_selector("#notice:has-text('no face found')")
    assert page.locator("fieldset.person").count() == 0


def test_an_uploaded_person_needs_a_consent_line(visitor, address) -> None:
    page = visitor(address)
    page.set_input_files("#upload", photos()["eva"])
    page.wait_for_selector("fieldset.person")
    draw(page, "a person")
    assert page.evaluate("document.activeElement.required")  # the browser asks for the line
    page.get_by_label("Upload more photos of this person").set_input_files(photos()["finn"])
    page.wait_for_selector(".photos li:nth-child(2)")
    page.get_by_label("Consent: who agreed, or that it is you").fill("it is me")
    page.click("button[type=submit]")
    page.wait_for_selector(DRAWN)


def test_a_drawing_is_cancelled(visitor, address) -> None:
    page = visitor(address)
    draw(page, SLOW, steps=50)
    page.click(".job button")
    page.wait_for_selector(".job:has-text('cancelled')")


def test_a_reload_in_the_middle_loses_nothing(visitor, address) -> None:
    page = visitor(address)
    add(page, "cleo")
    draw(page, f"{SLOW} at the sea", steps=3)
    page.wait_for_selector(".job:has-text('step')")
    page.reload()
    page.wait_for_selector("fieldset.person:has-text('cleo')")
    assert page.input_value("#prompt") == f"{SLOW} at the sea"
    page.wait_for_selector(DRAWN)
    page.reload()
    page.wait_for_selector(DRAWN)
    assert page.locator(DRAWN).count() == 1


def test_two_tabs_are_two_visits(visitor, address) -> None:
    pages = [visitor(address), visitor(address)]
    pages.append(pages[0].context.new_page())
    pages[2].goto(address)
    for number, page in enumerate(pages):
        draw(page, "the sea", seed=number)
    for page in pages:
        page.wait_for_selector(DRAWN)
        assert page.locator(DRAWN).count() == 1


def test_the_end_of_a_visit_begins_a_new_one(visitor, address) -> None:
    page = visitor(address)
    draw(page, "the sea")
    page.wait_for_selector(DRAWN)
    page.click("#end")
    page.wait_for_selector("#notice:has-text('deleted')")
    assert page.locator(DRAWN).count() == 0
    draw(page, "the sea")
    page.wait_for_selector(DRAWN)


def test_boxes_obey_the_keyboard(visitor, address) -> None:
    page = visitor(address)
    add(page, "ada")
    box = page.locator(".box")
    box.focus()
    before = box.get_attribute("aria-label")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert before == "ada: left 3 %, top 16 %, width 45 %, height 68 %"
    assert box.get_attribute("aria-label") == "ada: left 4 %, top 16 %, width 45 %, height 69 %"
    assert page.evaluate("document.activeElement.className").startswith("box")


NAMELESS = """[...document.querySelectorAll('input, select, textarea, button, a, img, [role=group]')].filter((one) =>
  !(one.labels?.length || one.textContent.trim() || one.getAttribute('aria-label') || one.alt || one.hidden))
  .map((one) => one.outerHTML)"""


@pytest.mark.parametrize("language", ["en", "ja"])
def test_everything_has_a_name_and_fits_a_phone(visitor, address, language) -> None:
    page = visitor(address, size=PHONE, language=language)
    assert page.evaluate("document.documentElement.lang") == language
    add(page, "ada", "ben")
    page.check("input[value=auto]")
    draw(page, "the sea")
    page.wait_for_selector("article.made, #notice:visible, .job [role=alert]")
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    heading = page.locator("#people-title").text_content()
    assert heading == {"en": "1. People", "ja": "1. 人物"}[language]


@pytest.fixture
def command():
    """The address of `dynamicid app` with the mini model, as a process of its own."""
    if mini_folder() is None:
        pytest.skip("this version comes without the mini model")
    words = [sys.executable, "-m", "dynamicid_jax", "app", "--model", MINI, "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.mark.slow  # compiles the mini model's programs: a minute of two cores
def test_a_picture_of_the_mini_model_is_made_again_by_the_command(
    visitor, command, tmp_path
) -> None:
    page = visitor(command)
    page.context.set_default_timeout(300_000)
    page.click("#example")
    page.click("button[type=submit]")
    page.wait_for_selector(f"{DRAWN}, .job [role=alert]")
    assert page.locator(".job [role=alert]").all_text_contents() == []
    picture = Image.open(io.BytesIO(saved(page, "Download picture"))).convert("RGB")
    (tmp_path / "recipe.json").write_bytes(saved(page, "Download recipe"))
    page.click("button:has-text('everybody')")
    page.check("input[value=auto]")
    page.click("button[type=submit]")
    page.locator(DRAWN).nth(1).wait_for()
    page.check("input[value=boxes]")
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=tmp_path / "desktop.png")
    page.set_viewport_size(PHONE)
    page.screenshot(path=tmp_path / "phone.png")
    people = [word for name in ("ada", "ben") for word in ("--person", str(photos()[name]))]
    out = tmp_path / "out.png"
    words = ["sample", "--model", MINI, *people, "--like", str(tmp_path / "recipe.json")]
    assert main([*words, "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(Image.open(out)))
