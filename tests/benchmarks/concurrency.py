"""``python -m tests.benchmarks.concurrency``: many coroutines that load cold keys at once.

Async calls run in the vault's own threads. Beside that stands what the alternative costs at the least: a
second client on the event loop, here without its rate limit, breaker and retries. Each has a process of its
own, and the emulator another one, whose answers take ``--latency`` seconds.
"""

import argparse
import asyncio
import json
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from django.core.management import call_command

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import VaultUnavailable
from tests.benchmarks.simulation import VALUE, cipher_over, sealed

API_KEY = "sk_test_benchmark"
TICK = 0.005


class LoopVault(WorkOSVault):
    """Unwraps keys for coroutines over connections of their event loop."""

    async def adecrypt_data_key(self, wrapped: bytes) -> DataKey:
        transport = self.__dict__.setdefault("on_loop", httpx.AsyncHTTPTransport(verify=False, limits=LIMITS))
        request = httpx.Request(
            "POST",
            f"{self.base_url}/vault/v1/keys/decrypt",
            headers={"Authorization": f"Bearer {API_KEY}"},
            json={"keys": b64encode(wrapped).decode()},
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), self.deadline)},
        )
        try:
            async with asyncio.timeout(self.deadline):
                response = await transport.handle_async_request(request)
                answer = json.loads(await response.aread())
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise VaultUnavailable("too late") from exc
        return DataKey(id=answer["id"], plaintext=bytearray(b64decode(answer["data_key"])), wrapped=wrapped)


LIMITS = httpx.Limits(max_connections=10)
KINDS = {"threads": WorkOSVault, "loop": LoopVault}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--keys", type=int, default=10, help="cold keys of each task")
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--deadline", type=float, default=1.0, help="of a call while Vault is silent")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(*options.one, options.tasks, options.keys, options.deadline)))
        return
    print(f"{options.tasks} tasks, {options.keys} cold keys each, {options.latency * 1000:g} ms an answer\n")
    print("| | loaded in | longest gap of the loop | threads | memory | cancelled in | silent Vault |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder, emulator(Path(folder) / "vault", options.latency) as url:
        for kind in [*KINDS] * options.repeats:
            command = [sys.executable, "-m", "tests.benchmarks.concurrency", "--one", kind, f"{folder} {url}"]
            sizes = [
                "--tasks",
                str(options.tasks),
                "--keys",
                str(options.keys),
                "--deadline",
                str(options.deadline),
            ]
            found = json.loads(subprocess.run([*command, *sizes], check=True, stdout=subprocess.PIPE).stdout)
            print(
                f"| {kind} | {found['seconds']:.2f} s | {found['gap'] * 1000:.0f} ms | {found['threads']} | "
                f"{found['memory']:.1f} MB | {found['cancelled'] * 1000:.0f} ms | {found['silent']:.2f} s |",
                flush=True,
            )


@contextmanager
def emulator(state: Path, latency: float) -> Iterator[str]:
    command = [
        sys.executable,
        "-m",
        "django",
        "vault_emulator",
        "--settings",
        "tests.settings",
        "--port",
        "0",
    ]
    command += ["--api-key", API_KEY, "--state", str(state), "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            yield re.search(r"http://\S+:\d+", first)[0]  # type: ignore[index]
        finally:
            process.terminate()


def measured(kind: str, where: str, tasks: int, keys: int, deadline: float) -> dict[str, float]:
    """Return what loading, cancelling and a silent Vault cost."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    folder, url = where.split()
    vault = LocalVault(key_file=f"{folder}/vault.key", objects_file=f"{folder}/vault")
    cells = sealed(cipher_over(vault, tasks * keys), tasks * keys, tasks * keys)
    shares = [cells[start::tasks] for start in range(tasks)]
    client = KINDS[kind](api_key=API_KEY, base_url=url, rate_limit_share=1.0, deadline=60.0)
    return asyncio.run(loads(client, shares, deadline))


async def loads(client: WorkOSVault, shares: list[list[bytes]], deadline: float) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, gap, threads = await watched(client, shares)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    cipher = cipher_over(client, 10_000)
    under_way = [asyncio.create_task(cipher.aload_keys(share)) for share in shares]
    await asyncio.sleep(0.1)
    began = time.perf_counter()
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
    await cipher_over(client, 10).aload_keys(shares[0][:1])  # the next one's turn
    cancelled = time.perf_counter() - began

    client.close()
    settings = {"headers": {"Authorization": f"Bearer {API_KEY}"}, "verify": False}
    with httpx.Client(base_url=client.base_url, **settings) as http:
        latency = http.get("/_emulator/faults").json()["latency"]
        http.post("/_emulator/faults", json={"latency": 30}).raise_for_status()
        hasty = type(client)(api_key=API_KEY, base_url=client.base_url, deadline=deadline)
        began = time.perf_counter()
        with suppress(VaultUnavailable):
            await asyncio.gather(*(cipher_over(hasty, 10_000).aload_keys(share) for share in shares))
        silent = time.perf_counter() - began
        hasty.close()
        http.post("/_emulator/faults", json={"latency": latency})
    found = (seconds, gap, threads, memory, cancelled, silent)
    return dict(zip(("seconds", "gap", "threads", "memory", "cancelled", "silent"), found, strict=True))


async def watched(client: WorkOSVault, shares: list[list[bytes]]) -> tuple[float, float, int]:
    """Load ``shares`` at once; return the seconds, the loop's longest gap and the most threads meanwhile."""
    cipher = cipher_over(client, 10_000)
    gaps, threads = [0.0], [0]

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            gaps.append(now - last - TICK)
            threads.append(threading.active_count())
            last = now

    ticking = asyncio.create_task(tick())
    began = time.perf_counter()
    await asyncio.gather(*(cipher.aload_keys(share) for share in shares))
    seconds = time.perf_counter() - began
    ticking.cancel()
    for share in shares:
        assert all(cipher.open(cell) == VALUE for cell in share)
    return seconds, max(gaps), max(threads)


if __name__ == "__main__":
    main()
