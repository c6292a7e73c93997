"""Writes the generated files: messages from the protos, and the synchronous client from the asyncio one.

python tools/generate.py           writes them
python tools/generate.py --check   fails if they are not what it would write
"""

from __future__ import annotations

import filecmp
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parent
PROTO = PYTHON.parent.parent / "proto"
PACKAGE = PYTHON / "cortex_store"

HEADER = '"""Generated from _aio/{name} by tools/generate.py: change that file."""\n\n'

# Replacements that turn the asyncio client into the synchronous one. They are applied in this order, in code and in
# docstrings.
WORDS = [
    (r"\bawait ", ""),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\b__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\bAbstractAsyncContextManager\b", "AbstractContextManager"),
    (r"\bAsync(Iterator|Iterable)\b", r"\1"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAwaitable\[None\]", "None"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b_aio\b", "_sync"),
    (r"\bpatterns\.aio\b", "patterns"),
]
NOT_GENERATED = {"io.py", "__init__.py"}


def protos() -> list[str]:
    return sorted(str(path.relative_to(PROTO)) for path in (PROTO / "cortex").rglob("*.proto"))


def write_messages(target: Path) -> None:
    target.mkdir(parents=True)
    out = [f"--python_out={target}", f"--pyi_out={target}"]
    protoc = [sys.executable, "-m", "grpc_tools.protoc"]
    subprocess.run([*protoc, f"-I{PROTO}", *out, *protos()], check=True)
    subprocess.run([*protoc, f"-I{HERE}", *out, "cortex/python/v1/status.proto"], check=True)
    for path in [*target.rglob("*.py"), *target.rglob("*.pyi")]:
        # The modules live in this package, not at the top.
        path.write_text(re.sub(r"(?m)^from cortex\.", "from cortex_store._gen.cortex.", path.read_text()))
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()


def write_sync(target: Path) -> None:
    target.mkdir(parents=True)
    for source in sorted((PACKAGE / "_aio").rglob("*.py")):
        name = source.relative_to(PACKAGE / "_aio")
        if str(name) in NOT_GENERATED:
            continue
        text = source.read_text()
        for pattern, replacement in WORDS:
            text = re.sub(pattern, replacement, text)
        head = HEADER.format(name=name)
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(head + without_docstring(text))
    config = PYTHON / "pyproject.toml"
    for step in (["check", "--fix", "--select", "I,F401"], ["format"]):
        subprocess.run(
            [sys.executable, "-m", "ruff", *step, "--quiet", "--config", str(config), str(target)], check=True
        )


def without_docstring(text: str) -> str:
    """The module without its docstring: the header replaces it."""
    return re.sub(r'\A"""(?:.|\n)*?"""\n+', "", text)


def differences(made: Path, kept: Path, skip: set[str]) -> list[str]:
    names = {
        str(path.relative_to(root))
        for root in (made, kept)
        for path in root.rglob("*.py*")
        if path.is_file() and path.suffix in (".py", ".pyi")
    } - skip
    return [
        str(kept / name)
        for name in sorted(names)
        if not ((made / name).exists() and (kept / name).exists() and filecmp.cmp(made / name, kept / name, False))
    ]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        gen, sync = Path(folder) / "_gen", Path(folder) / "_sync"
        write_messages(gen)
        write_sync(sync)
        if "--check" in sys.argv:
            stale = [
                *differences(gen, PACKAGE / "_gen", set()),
                *differences(sync, PACKAGE / "_sync", NOT_GENERATED),
            ]
            for path in stale:
                print(f"not as generated: {path}")
            return 1 if stale else 0
        shutil.rmtree(PACKAGE / "_gen", ignore_errors=True)
        shutil.copytree(gen, PACKAGE / "_gen")
        for path in (PACKAGE / "_sync").rglob("*.py"):
            if str(path.relative_to(PACKAGE / "_sync")) not in NOT_GENERATED:
                path.unlink()
        shutil.copytree(sync, PACKAGE / "_sync", dirs_exist_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
