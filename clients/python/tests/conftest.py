"""Starts one server for all tests. Each test has a tenant of its own."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent.parent
sys.path.insert(0, str(ROOT / "clients" / "python"))

from cortex_store import AsyncCortex, Cortex  # noqa: E402


class Server:
    """A server process of its own, with its own Postgres."""

    def __init__(self, folder: str, *settings: str, listen: str = "127.0.0.1:0") -> None:
        main = ROOT / "server" / "dist" / "server" / "main.js"
        assert main.exists(), "build the server first: npm run build"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CORTEX_")}
        self._log = open(Path(folder) / "log", "ab")  # noqa: SIM115
        command = ["node", str(main), "--listen", listen, "--data-dir", str(Path(folder) / "data"), *settings]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "listening on" in line:
                self.address = line.split()[-1]
                return
        raise AssertionError((Path(folder) / "log").read_text())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        started = Server(folder, "--allow-purge-all")
        yield started
        started.stop()


_tenants = itertools.count()


@pytest.fixture
def tenant() -> str:
    return f"tenant-{next(_tenants)}-{time.time_ns()}"


@pytest.fixture
def options(server: Server, tenant: str) -> dict[str, Any]:
    """The options of a client."""
    return {"address": server.address, "tenant_id": tenant, "timeout": 20}


@pytest.fixture
def cortex(options: dict[str, Any]) -> Iterator[Cortex]:
    with Cortex(**options) as client:
        yield client


@pytest.fixture
def aio(options: dict[str, Any]) -> AsyncCortex:
    """A client for asyncio; the test closes it."""
    return AsyncCortex(**options)


@pytest.fixture(scope="session")
def session_cortex(server: Server) -> Iterator[Cortex]:
    """A client that many tests share."""
    with Cortex(address=server.address, tenant_id="shared", timeout=20) as client:
        yield client


def run_program(program: str, options: dict[str, Any]) -> str:
    """Runs a program with an address and a tenant as its arguments. Gives what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program, options["address"], options["tenant_id"]],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
