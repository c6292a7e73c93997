"""Makes calls through the Python client for bench/python.ts. A line on its input, `KIND OPERATION COUNT`, is answered by a
line of JSON with the seconds and the CPU seconds that it took. Arguments: ADDRESS."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "clients" / "python"))

from cortex_store import AsyncCortex, Cortex  # noqa: E402

VALUE = {"text": "x" * 195}
CONCURRENCY = 64


def call(cortex: Any, operation: str, i: int) -> Any:
    if operation == "set":
        return cortex.mutable.set("bench", f"python-{i % 1000}", VALUE)
    if operation == "get":
        return cortex.mutable.get("bench", "python-0")
    return cortex.mutable.update("bench", f"python-{i % 1000}", lambda value: value)


async def at_once(cortex: AsyncCortex, operation: str, count: int) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for i in numbers:
            await call(cortex, operation, i)

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


async def main() -> None:
    one, many = Cortex(address=sys.argv[1], timeout=60), AsyncCortex(address=sys.argv[1], timeout=60)
    for line in sys.stdin:
        kind, operation, count = line.split()
        began, cpu = time.perf_counter(), time.process_time()
        if kind == "asyncio":
            await at_once(many, operation, int(count))
        else:
            for i in range(int(count)):
                call(one, operation, i)
        spent = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        print(json.dumps(spent), flush=True)


asyncio.run(main())
