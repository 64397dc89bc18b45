"""Who may ask, and what every answer says to the browser: one layer around all routes.

host      while the server is bound to this machine, only its own names are served: a page elsewhere that points a
name of its own at 127.0.0.1 gets nothing
origin    what changes something must come from this server's own page, or from no page at all (curl, Python)
password  where one is set, every route asks for it (HTTP Basic, any user name)
answers   run no foreign script, are shown in no frame, are kept in no cache
"""

import base64
import binascii
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

READING = ("GET", "HEAD")
ANSWER_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether an address or a name can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """The layer."""

    def __init__(self, app: ASGIApp, host: str, password: str | None) -> None:
        """Wraps an application that is served at `host`."""
        self._app = app
        self._local = is_loopback(host)
        self._password = password

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves or refuses one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope["method"], Headers(scope=scope))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(ANSWER_HEADERS)
            await send(message)

        await (refusal or self._app)(scope, receive, answer)

    def _refusal(self, method: str, headers: Headers) -> JSONResponse | None:
        """Why a request is not served; None if it is."""
        host = headers.get("host", "")
        if self._local and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return _refused(403, "this server is reached as localhost or 127.0.0.1 only")
        origin = headers.get("origin")
        if method not in READING and origin is not None and urlsplit(origin).netloc != host:
            return _refused(403, "requests from other sites' pages are refused")
        given = _password_of(headers)
        if self._password is None or hmac.compare_digest(given, self._password.encode()):
            return None
        refusal = _refused(401, "a password is needed")
        refusal.headers["WWW-Authenticate"] = 'Basic realm="dynamicid", charset="UTF-8"'
        return refusal


def _refused(status: int, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status)


def _password_of(headers: Headers) -> bytes:
    """The password of HTTP Basic, empty where there is none."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
