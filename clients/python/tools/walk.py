"""Runs the Python programs of a README as printed, with this interpreter, against a server of its own, and
compares what they print with their comments. Arguments: README."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    readme = Path(sys.argv[1]).read_text("utf-8")
    programs = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(programs) >= 5, "the README has fewer programs than it had"
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            ["node", str(main_of_server()), "--listen", "127.0.0.1:0", "--data-dir", str(Path(folder) / "data")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert server.stdout is not None
            line = next(line for line in server.stdout if "listening on" in line)
            for program in programs:
                run(program, line.split()[-1], folder)
        finally:
            server.terminate()
            server.wait(30)
    print(f"{len(programs)} programs of the README print what they say")
    return 0


def main_of_server() -> Path:
    return Path(__file__).resolve().parents[3] / "server" / "dist" / "server" / "main.js"


def run(program: str, address: str, folder: str) -> None:
    """Runs a program twice: it must not matter what an earlier run left."""
    file = Path(folder) / "program.py"
    file.write_text(program.replace("127.0.0.1:50051", address), "utf-8")
    expected = re.findall(r"print\(.*\)  # (.*)", program)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(file)],
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, "CORTEX_ADDRESS": address},
        )
        printed = done.stdout.splitlines()
        assert done.returncode == 0, done.stderr
        assert printed == expected, f"it printed {printed}, and says {expected}"


if __name__ == "__main__":
    sys.exit(main())
