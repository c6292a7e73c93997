"""Checks and tests the Python client: `npm run test:python`.

It makes a virtual environment in .venv, checks that the generated files are fresh, the style and the types
(also those for Python 3.9 and 3.13), installs the wheel in an environment of its own and runs the README there,
and runs the tests with the lowest protobuf and grpcio that the package allows and with the newest. With
arguments, it only runs pytest with them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PYTHON = Path(__file__).resolve().parent.parent
VENV = PYTHON / ".venv"
PROTOBUF_MAX = "8"


def run(*command: str, **options: object) -> None:
    print(f"$ {' '.join(Path(part).name if part.startswith('/') else part for part in command)}", flush=True)
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(command, check=True, cwd=PYTHON, env=environment, **options)  # type: ignore[call-overload]


def python_of(folder: Path) -> str:
    return str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")


def make(folder: Path, *requirements: str) -> str:
    """A virtual environment with these packages. One that is there is used again."""
    python = python_of(folder)
    if not Path(python).exists():
        venv.create(folder, with_pip=True)
    run(python, "-m", "pip", "install", "--quiet", *requirements)
    return python


def lowest() -> list[str]:
    """The lowest versions that pyproject.toml allows."""
    text = (PYTHON / "pyproject.toml").read_text()
    found = re.search(r'grpcio>=([\d.]+)", "protobuf>=([\d.]+),<(\d+)', text)
    assert found is not None and found[3] == PROTOBUF_MAX, (
        "the versions in pyproject.toml do not have the expected form"
    )
    return [f"grpcio=={found[1]}.*", f"protobuf=={found[2]}"]


def main() -> None:
    os.environ.setdefault("RUFF_CACHE_DIR", str(VENV / "ruff"))
    tools = make(VENV, "-r", "requirements-dev.txt")
    newest = make(VENV / "newest", "pytest", "hypothesis", "--upgrade", "grpcio", f"protobuf<{PROTOBUF_MAX}")
    if len(sys.argv) > 1:
        run(newest, "-m", "pytest", "-p", "no:cacheprovider", *sys.argv[1:])
        return
    run(tools, "tools/generate.py", "--check")
    run(tools, "-m", "ruff", "check", ".")
    run(tools, "-m", "ruff", "format", "--check", "--quiet", ".")
    for version in ("3.9", "3.13"):
        run(tools, "-m", "mypy", "--python-version", version, "--cache-dir", str(VENV / "mypy"))
    low = make(VENV / "lowest", "pytest", "hypothesis", *lowest())
    run(low, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_conformance.py", "tests/test_jsontext.py")
    with tempfile.TemporaryDirectory() as folder:
        run(tools, "-m", "build", "--wheel", "--outdir", folder, ".")
        (wheel,) = Path(folder).glob("*.whl")
        clean = make(Path(folder) / "clean", str(wheel))
        run(clean, "tools/walk.py", "README.md")
    run(newest, "-m", "pytest", "-q", "-p", "no:cacheprovider")


if __name__ == "__main__":
    main()
