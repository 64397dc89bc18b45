"""A bucket in memory behind gs://, for both readers of it: etils.epath, and TensorStore over HTTP on this machine."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from fsspec.implementations.memory import MemoryFileSystem


class Bucket(MemoryFileSystem):
    """What epath sees."""

    store: dict[str, Any] = {}  # noqa: RUF012  # fsspec keeps it in the class
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("gs://"))


class _Handler(BaseHTTPRequestHandler):
    """The few calls of the storage API that TensorStore makes: /storage/v1/b/BUCKET/o[/OBJECT]."""

    protocol_version = "HTTP/1.1"
    files = Bucket()

    def do_GET(self) -> None:
        path, query = self._asked()
        bucket, _, name = path.partition("/o")
        if name.strip("/"):
            key = f"/{bucket}/{name.strip('/')}"
            if key not in self.files.store:
                return self._answer(404, b"{}")
            data = self.files.cat_file(key)
            if query.get("alt") == "media":
                return self._ranged(data)
            return self._answer(200, self._about(key))
        prefix = f"/{bucket}/{query.get('prefix', '')}"
        found = sorted(key for key in self.files.store if key.startswith(prefix))
        items = [json.loads(self._about(key)) for key in found]
        return self._answer(200, json.dumps({"items": items}).encode())

    def do_POST(self) -> None:
        path, query = self._asked()
        key = f"/{path.partition('/o')[0]}/{query['name']}"
        self.files.pipe_file(key, self.rfile.read(int(self.headers["Content-Length"])))
        return self._answer(200, self._about(key))

    def do_DELETE(self) -> None:
        path, _ = self._asked()
        bucket, _, name = path.partition("/o")
        self.files.store.pop(f"/{bucket}{name}", None)
        return self._answer(204, b"")

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return unquote(parts.path).partition("storage/v1/b/")[2], query

    def _about(self, key: str) -> bytes:
        name = key.lstrip("/").partition("/")[2]
        size = len(self.files.cat_file(key))
        about = {"name": name, "generation": "1", "size": str(size)}
        return json.dumps(about).encode()

    def _ranged(self, data: bytes) -> None:
        span = self.headers.get("Range", "").removeprefix("bytes=")
        if not span:
            return self._answer(200, data, {"x-goog-generation": "1"})
        first, _, last = span.partition("-")
        start = int(first) if first else len(data) - int(last)
        end = int(last) + 1 if first and last else len(data)
        where = {"Content-Range": f"bytes {start}-{min(end, len(data)) - 1}/{len(data)}"}
        return self._answer(206, data[start:end], {"x-goog-generation": "1", **where})

    def _answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def fake_bucket(patch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Leads gs:// to memory; before TensorStore is asked for any gs:// path."""
    from etils.epath import backend

    Bucket.store.clear()  # what another test of this process left
    bucket, real = Bucket(), backend.fsspec_backend._get_filesystem
    patch.setattr(
        backend.fsspec_backend,
        "_get_filesystem",
        lambda name: bucket if name == "gcs" else real(name),
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    patch.setenv("TENSORSTORE_GCS_HTTP_URL", f"http://127.0.0.1:{server.server_port}")
    patch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "none")
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
