"""Safe by default: addresses, passwords, paths, sizes, many at once, and errors that stay where they happen."""

import base64
import concurrent.futures
import gc
import io
import struct
import zlib

import pytest
from app_stub import BREAKS, SLOW, path_of_visit, wait_for
from PIL import Image

from dynamicid_jax.app.limits import BusyError, Limits
from dynamicid_jax.app.photos import Photo
from dynamicid_jax.app.visits import GoneError, Visits
from dynamicid_jax.cli.main import main
from dynamicid_jax.faces.quality import Verdict

WISH = {"prompt": "a garden", "steps": 1}
PATHS = [
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "%00",
    "file:///etc/passwd",
    "C:\\boot.ini",
]


def png(width=64, height=64) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(stream, "PNG")
    return stream.getvalue()


def bomb(side: int) -> bytes:
    """A PNG that says it is side x side and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_only_this_machines_names_are_served_while_bound_to_it(client) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/", headers={"Host": "localhost:7860"}).status_code == 200


def test_other_sites_pages_change_nothing(client) -> None:
    foreign = client.post("/api/visits", headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert client.post("/api/visits", headers={"Origin": "http://127.0.0.1"}).status_code == 201


def test_everything_asks_for_the_password(serve) -> None:
    client = serve(host="0.0.0.0", password="correct horse")
    for path in ("/", "/api/settings", "/static/page.js", "/api/people/ada.png", "/nowhere"):
        refused = client.get(path)
        assert (refused.status_code, refused.headers["www-authenticate"][:5]) == (401, "Basic")
    for given, status in (("correct horse", 200), ("correct", 401), ("", 401)):
        token = base64.b64encode(f"me:{given}".encode()).decode()
        assert client.get("/", headers={"Authorization": f"Basic {token}"}).status_code == status
    for header in ("Basic !!!", "Bearer x", "Basic"):
        assert client.get("/", headers={"Authorization": header}).status_code == 401


def test_other_addresses_need_a_password_before_anything_is_loaded(monkeypatch, capsys) -> None:
    pytest.importorskip("uvicorn", reason="the extra `app` is not installed")
    monkeypatch.delenv("DYNAMICID_PASSWORD", raising=False)
    assert main(["app", "--model", "mini", "--host", "0.0.0.0"]) == 2
    assert "password" in capsys.readouterr().err
    monkeypatch.setenv("DYNAMICID_PASSWORD", "short")
    assert main(["app", "--model", "mini", "--host", "0.0.0.0"]) == 2


def test_answers_forbid_foreign_scripts_and_frames(client) -> None:
    headers = client.get("/").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PATHS)
def test_paths_in_requests_are_names_that_do_not_exist(client, visit, path) -> None:
    for place in (
        "/static/",
        f"{visit}/photos/",
        f"{visit}/pictures/",
        f"{visit}/jobs/",
        "/api/people/",
    ):
        answer = client.get(place + path)
        assert answer.status_code in (400, 404, 405), (place, answer.text)
        assert "root:" not in answer.text
    wish = {**WISH, "people": [{"photos": [path]}]}
    assert client.post(f"{visit}/jobs", json=wish).status_code == 404
    named = client.post(f"{visit}/photos", content=png(), headers={"X-File-Name": path})
    assert named.status_code == 422  # no face; the name is only shown
    assert "/etc" not in named.json()["error"]


def test_no_url_is_fetched(client, visit) -> None:
    for given in ("http://127.0.0.1:1/x.png", {"url": "http://127.0.0.1:1/x.png"}):
        answer = client.post(f"{visit}/jobs", json={**WISH, "people": [{"photos": [given]}]})
        assert answer.status_code in (404, 422)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 422),
        (b"%PDF-1.7", 422),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422),
        (png()[:60], 422),
        (png(8, 8), 422),
        (bomb(19_000), 422),
        (b"x" * (10 * 2**20 + 1), 413),
    ],
    ids=["empty", "pdf", "svg", "cut short", "tiny", "bomb", "too long"],
)
def test_uploads_are_bounded_in_kind_pixels_and_bytes(client, visit, data, status) -> None:
    assert client.post(f"{visit}/photos", content=data).status_code == status
    assert client.get(visit).json()["photos"] == []


def test_a_body_that_is_no_json_or_too_long_is_refused(client, visit) -> None:
    for body, status in ((b"{", 422), (b"[" * 60_000, 422), (b" " * 2**17, 413), (b"[]", 422)):
        assert client.post(f"{visit}/jobs", content=body).status_code == status


def test_a_break_in_one_request_is_its_own_and_tells_nothing(client, visit) -> None:
    job = client.post(f"{visit}/jobs", json={**WISH, "prompt": BREAKS}).json()["job"]
    failed = wait_for(client, visit, job)
    assert failed["state"] == "failed"
    assert "passwd" not in failed["error"]
    job = client.post(f"{visit}/jobs", json=WISH).json()["job"]
    assert wait_for(client, visit, job)["state"] == "done"


def test_two_hundred_at_once_are_drawn_or_refused_politely(serve, pipe) -> None:
    limits = Limits(visits=256, queue=16, queue_per_visit=2)
    client = serve(limits=limits)
    pipe.threads.clear()

    def ask(number: int):
        visit = path_of_visit(client)
        answer = client.post(f"{visit}/jobs", json={**WISH, "seed": number})
        return visit, number, answer

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(ask, range(200)))
    accepted = [
        (visit, number, answer.json()["job"])
        for visit, number, answer in answers
        if answer.status_code == 202
    ]
    refused = [answer for *_, answer in answers if answer.status_code != 202]
    assert len(accepted) >= limits.queue
    assert len(accepted) + len(refused) == 200
    assert {answer.status_code for answer in refused} <= {429}
    assert all("retry-after" in answer.headers for answer in refused)
    for visit, number, job in accepted:
        done = wait_for(client, visit, job)
        assert done["state"] == "done"
        (made,) = done["pictures"]
        assert client.get(f"{visit}/pictures/{made}").json()["recipe"]["seed"] == number
    assert pipe.threads == {"drawing"}


def test_one_visit_does_not_fill_the_queue(client, visit) -> None:
    jobs = [
        client.post(f"{visit}/jobs", json={**WISH, "prompt": SLOW, "steps": 9}) for _ in range(5)
    ]
    assert [job.status_code for job in jobs] == [202] * 4 + [429]
    client.delete(visit)
    other = path_of_visit(client)
    job = client.post(f"{other}/jobs", json=WISH).json()["job"]
    assert wait_for(client, other, job)["state"] == "done"


def test_what_a_visit_keeps_is_bounded(serve) -> None:
    client = serve(limits=Limits(results=3, pictures=4))
    visit = path_of_visit(client)
    for seed in (0, 10):
        job = client.post(f"{visit}/jobs", json={**WISH, "seed": seed, "pictures": 4}).json()["job"]
        wait_for(client, visit, job)
    gc.collect()
    kept = client.get(visit).json()["pictures"]
    assert [one["recipe"]["seed"] for one in kept] == [11, 12, 13]


def test_silent_visits_end_and_full_servers_refuse() -> None:
    now = [0.0]
    limits = Limits(visits=2, idle_seconds=60.0, photos=1, kept_bytes=10)
    visits = Visits(limits, {}, clock=lambda: now[0])
    first, second = visits.begin(), visits.begin()
    with pytest.raises(BusyError, match="visitors"):
        visits.begin()
    now[0] = 50.0
    visits.get(first.id)
    now[0] = 90.0
    with pytest.raises(GoneError, match="ended"):
        visits.get(second.id)
    assert second.ended
    visits.add_photo(first, Photo("a", b"x" * 20, Verdict("a", (9, 9)), b""))
    other = visits.begin()
    with pytest.raises(BusyError, match="keeps"):
        visits.check_room(other)
    with pytest.raises(ValueError, match="remove one"):
        visits.check_room(first)
    visits.end(first.id)
    assert first.nbytes == 0
    visits.check_room(other)
