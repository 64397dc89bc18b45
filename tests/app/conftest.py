"""A server around the stub, asked through starlette's client."""

import pytest
from app_stub import NEEDS, StubPipeline, path_of_visit

from dynamicid_jax.packaged import mini_folder

pytest.importorskip("starlette", reason="the extra `app` is not installed")
pytest.importorskip("httpx2", reason="starlette's test client needs it")

from starlette.testclient import TestClient

from dynamicid_jax.app.server import build_app
from dynamicid_jax.app.studio import Studio


@pytest.fixture(scope="session")
def pipe():
    if mini_folder() is None:
        pytest.skip(NEEDS)
    return StubPipeline()


@pytest.fixture
def serve(pipe):
    """Starts servers and ends them again."""
    clients = []

    def start(batch=1, **options):
        app = build_app(Studio(pipe, "mini", batch), **options)
        client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        clients.append(client.__enter__())
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve):
    return serve()


@pytest.fixture
def visit(client):
    """The path of a new visit."""
    return path_of_visit(client)
