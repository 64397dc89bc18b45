"""The routes: the page's files, and the API that the page and every other client use (docs/APP.md).

Nothing of a request is ever part of a path on the disk: static files are read once at the start, and photos, pictures
and jobs are looked up in tables by ids that this server made.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dynamicid_jax.app.jobs import Jobs
from dynamicid_jax.app.limits import BusyError, Limits
from dynamicid_jax.app.photos import Photo, findings_json
from dynamicid_jax.app.security import Guard
from dynamicid_jax.app.studio import Studio, recipe_json
from dynamicid_jax.app.visits import GoneError, Visit, Visits
from dynamicid_jax.app.wishes import parse_wish
from dynamicid_jax.diffusion.samplers import SAMPLERS
from dynamicid_jax.errors import DynamicIDError, InputError
from dynamicid_jax.faces.quality import Verdict

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
PNG = "image/png"
MAX_UPLOADS_AT_ONCE = 8  # bodies in memory; one at a time is examined
SWEEP_SECONDS = 30.0
BODY_SECONDS = 60.0
BROKEN = "something broke here; it has been logged, and the next request will be served"


class TooLargeError(InputError):
    """A request's body is larger than the limits allow."""


STATUS: dict[type[Exception], int] = {GoneError: 404, BusyError: 429, TooLargeError: 413}
"""HTTP's number for an error; any other one that a visitor can mend is 422."""


def build_app(
    studio: Studio,
    *,
    host: str = "127.0.0.1",
    password: str | None = None,
    limits: Limits | None = None,
) -> Starlette:
    """The application.

    Args:
        studio: draws.
        host: the address that it will be served at.
        password: asked for by every route; None: no password.
        limits: what visitors may ask for.
    """
    return _Routes(studio, limits or Limits()).application(host, password)


def static_files() -> dict[str, bytes]:
    """The page's files by name."""
    folder = resources.files("dynamicid_jax") / "app" / "static"
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if PurePosixPath(file.name).suffix in KINDS
    }


class _Routes:
    """All routes; one method each."""

    def __init__(self, studio: Studio, limits: Limits) -> None:
        self.studio, self.limits = studio, limits
        self.visits = Visits(limits, studio.packaged())
        self.jobs = Jobs(studio, self.visits, limits)
        self.static = static_files()
        self.uploads = anyio.CapacityLimiter(MAX_UPLOADS_AT_ONCE)
        self.looks = anyio.CapacityLimiter(1)

    def application(self, host: str, password: str | None) -> Starlette:
        """Starlette's application with every route."""
        visit = "/api/visits/{visit}"
        photo, job, picture = f"{visit}/photos", f"{visit}/jobs", f"{visit}/pictures"
        table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "/", self.page),
            ("GET", "/static/{name}", self.file),
            ("GET", "/api/settings", self.settings),
            ("GET", "/api/people/{photo}.png", self.packaged_crop),
            ("POST", "/api/visits", self.begin),
            ("GET", visit, self.visit),
            ("DELETE", visit, self.end),
            ("POST", photo, self.upload),
            ("GET", photo + "/{photo}.png", self.crop),
            ("DELETE", photo + "/{photo}", self.remove_photo),
            ("POST", job, self.ask),
            ("GET", job + "/{job}", self.job),
            ("DELETE", job + "/{job}", self.cancel),
            ("GET", job + "/{job}/preview.png", self.preview),
            ("GET", picture + "/{picture}", self.picture),
            ("GET", picture + "/{picture}/picture.png", self.picture_file),
            ("GET", picture + "/{picture}/recipe.json", self.recipe),
            ("GET", picture + "/{picture}/gates.png", self.gates),
            ("GET", picture + "/{picture}/gates-{person:int}.png", self.gates),
        ]
        return Starlette(
            routes=[Route(path, answer, methods=[method]) for method, path, answer in table],
            middleware=[Middleware(Guard, host=host, password=password)],
            exception_handlers={
                HTTPException: _http_error,
                DynamicIDError: _our_error,
                ClientDisconnect: _gone,
                Exception: _broken,
            },
            lifespan=self.lifespan,
        )

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Ends silent visits now and then, and the drawing thread at the end."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep)
            yield
            tasks.cancel_scope.cancel()
        await anyio.to_thread.run_sync(self.jobs.close)

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(SWEEP_SECONDS)
            self.visits.sweep()

    async def page(self, request: Request) -> Response:
        """The page itself."""
        return Response(self.static["index.html"], media_type=KINDS[".html"])

    async def file(self, request: Request) -> Response:
        """One of its files, by name."""
        name = request.path_params["name"]
        if name not in self.static:
            raise HTTPException(404)
        return Response(self.static[name], media_type=KINDS[PurePosixPath(name).suffix])

    async def settings(self, request: Request) -> Response:
        """The model's defaults, the choices, the limits, the packaged people."""
        people = [photo.to_json() for photo in self.visits.packaged.values()]
        return JSONResponse(
            {
                **self.studio.settings(),
                "samplers": {name: one.default_steps for name, one in SAMPLERS.items()},
                "limits": self.limits.to_json(),
                "people": people,
            }
        )

    async def packaged_crop(self, request: Request) -> Response:
        """The face of one of the packaged people."""
        photo = self.visits.packaged.get(request.path_params["photo"])
        if photo is None:
            raise HTTPException(404)
        return Response(photo.crop, media_type=PNG)

    async def begin(self, request: Request) -> Response:
        """A new visit."""
        return JSONResponse(self._visit_json(self.visits.begin()), 201)

    async def visit(self, request: Request) -> Response:
        """All that a visit holds; also its sign of life."""
        return JSONResponse(self._visit_json(self._visit(request)))

    async def end(self, request: Request) -> Response:
        """Ends a visit and deletes everything in it."""
        visit = self._visit(request)
        self.jobs.end(visit)
        self.visits.end(visit.id)
        return Response(status_code=204)

    async def upload(self, request: Request) -> Response:
        """A photo: the body is the file, the header X-File-Name (percent-encoded) its name."""
        visit = self._visit(request)
        self.visits.check_room(visit)
        name = _file_name(request.headers.get("x-file-name", ""), self.limits.words_letters)
        async with _one_of(self.uploads):
            data = await _body(request, self.limits.upload_bytes)
            found = await anyio.to_thread.run_sync(self._look_at, data, name, limiter=self.looks)
        if isinstance(found, Verdict):
            error = found.lines()[0]
            return JSONResponse({"error": error, "findings": findings_json(found)}, 422)
        self.visits.add_photo(visit, found)
        return JSONResponse(found.to_json(), 201)

    def _look_at(self, data: bytes, name: str) -> Photo | Verdict:
        return self.studio.look_at(data, name, max_pixels=self.limits.upload_pixels)

    async def crop(self, request: Request) -> Response:
        """The face of a photo."""
        photo = self.visits.photo(self._visit(request), request.path_params["photo"])
        return Response(photo.crop, media_type=PNG)

    async def remove_photo(self, request: Request) -> Response:
        """Deletes a photo."""
        self._visit(request).photos.pop(request.path_params["photo"], None)
        return Response(status_code=204)

    async def ask(self, request: Request) -> Response:
        """A wish; it is queued, and drawn when its turn comes."""
        visit = self._visit(request)
        said = _json(await _body(request, self.limits.body_bytes))
        wish = parse_wish(said, self.studio.pipe.config, self.limits)
        self._check_consent(visit, wish)
        return JSONResponse(self.jobs.to_json(self.jobs.add(visit, wish, said)), 202)

    def _check_consent(self, visit: Visit, wish: Any) -> None:
        """Photos of people who exist need a word about their consent."""
        for number, person in enumerate(wish.people, 1):
            photos = [self.visits.photo(visit, key) for key in person.all_photos]
            if not person.consent.strip() and not all(photo.made_up for photo in photos):
                raise InputError(
                    f"people: person {number}: consent: say that whoever the photos show agreed, or that it is you"
                )

    async def job(self, request: Request) -> Response:
        """How a wish stands."""
        return JSONResponse(self.jobs.to_json(self._job(request)))

    async def cancel(self, request: Request) -> Response:
        """Takes a wish back."""
        job = self._job(request)
        self.jobs.cancel(job)
        return JSONResponse(self.jobs.to_json(job))

    async def preview(self, request: Request) -> Response:
        """The picture as it stands, rough."""
        job = self._job(request)
        if not job.preview:
            raise HTTPException(404)
        return Response(job.preview, media_type=PNG)

    async def picture(self, request: Request) -> Response:
        """What is known about a picture."""
        return JSONResponse(self._picture(request).to_json())

    async def picture_file(self, request: Request) -> Response:
        """The picture, with its recipe."""
        return Response(self._picture(request).data, media_type=PNG)

    async def recipe(self, request: Request) -> Response:
        """Its recipe as a file."""
        return Response(recipe_json(self._picture(request)), media_type="application/json")

    async def gates(self, request: Request) -> Response:
        """Where the gate was open: for everybody, or in one person's box."""
        picture, person = self._picture(request), request.path_params.get("person")
        if picture.gate is None or (person is not None and person >= len(picture.boxes)):
            raise HTTPException(404)
        data = await anyio.to_thread.run_sync(picture.gate_picture, person)
        return Response(data, media_type=PNG)

    def _visit(self, request: Request) -> Visit:
        return self.visits.get(request.path_params["visit"])

    def _job(self, request: Request) -> Any:
        return self.jobs.get(self._visit(request), request.path_params["job"])

    def _picture(self, request: Request) -> Any:
        return self.visits.picture(self._visit(request), request.path_params["picture"])

    def _visit_json(self, visit: Visit) -> dict[str, Any]:
        waiting = [self.jobs.to_json(job) for job in self.jobs.of(visit)]
        return {**self.visits.to_json(visit), "jobs": waiting}


@asynccontextmanager
async def _one_of(limiter: anyio.CapacityLimiter) -> AsyncIterator[None]:
    """A place in a bounded room.

    Raises:
        BusyError: it is full.
    """
    try:
        limiter.acquire_nowait()
    except anyio.WouldBlock:
        raise BusyError("many photos are being uploaded; try again in some seconds") from None
    try:
        yield
    finally:
        limiter.release()


async def _body(request: Request, most: int) -> bytes:
    """A request's body, given up as soon as it is too long or takes too long."""
    parts, size = [], 0
    with anyio.move_on_after(BODY_SECONDS) as time:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise TooLargeError(f"the request is too large; at most {most // 1024} KiB")
            parts.append(part)
    if time.cancelled_caught:
        raise HTTPException(408, f"the request took longer than {BODY_SECONDS:.0f} s to arrive")
    return b"".join(parts)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InputError("request: expected JSON; see docs/APP.md") from None


def _file_name(given: str, most: int) -> str:
    """An uploaded file's own name, as one printable word; it is shown and never opened."""
    name = PurePosixPath(unquote(given).replace("\\", "/")).name
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:most] or "photo"


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


async def _our_error(request: Request, error: Exception) -> Response:
    """Errors that a visitor can act on."""
    status = STATUS.get(type(error), 422)
    headers = {"Retry-After": "10"} if status == 429 else None
    return JSONResponse({"error": str(error)}, status, headers)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


async def _broken(request: Request, error: Exception) -> Response:
    """A defect of ours: Starlette raises it again behind this answer, and the server logs it."""
    return JSONResponse({"error": BROKEN}, 500)
