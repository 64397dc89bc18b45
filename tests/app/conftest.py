"""A server around the stub, asked through starlette's client, or at an address of its own."""

import socket
import threading

import pytest
from app_stub import NEEDS, StubPipeline, path_of_visit

from dynamicid_jax.packaged import MINI, mini_folder

NO_EXTRA = "the extra `app` is not installed"


@pytest.fixture(scope="session")
def pipe():
    if mini_folder() is None:
        pytest.skip(NEEDS)
    return StubPipeline()


@pytest.fixture
def serve(pipe):
    """Starts servers and ends them again."""
    pytest.importorskip("starlette", reason=NO_EXTRA)
    pytest.importorskip("httpx2", reason="starlette's test client needs it")
    from starlette.testclient import TestClient

    from dynamicid_jax.app.server import build_app
    from dynamicid_jax.app.studio import Studio

    clients = []

    def start(batch=1, warm_up=False, **options):
        app = build_app(Studio(pipe, MINI, batch, warm_up=warm_up), **options)
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


@pytest.fixture(scope="session")
def address(pipe):
    """The stub's server."""
    uvicorn = pytest.importorskip("uvicorn", reason=NO_EXTRA)
    pytest.importorskip("starlette", reason=NO_EXTRA)
    from dynamicid_jax.app.server import build_app
    from dynamicid_jax.app.studio import Studio

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(build_app(Studio(pipe, MINI)), log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
