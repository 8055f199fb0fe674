"""Starts and stops the servers of a run: Tarn and PostgreSQL, each in a folder of its own."""

import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

SERVICES = Path(__file__).resolve().parents[1] / "services"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def machine(repository: Path, binary: Path) -> str:
    """One line that says where figures come from."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=repository, capture_output=True, text=True, check=False)
    cpu = "unknown CPU"
    if Path("/proc/cpuinfo").exists():
        names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
        cpu = f"{len(names)} x {names[0]}" if names else cpu
    load = "/".join(f"{part:.1f}" for part in os.getloadavg())
    return f"commit {commit.stdout.strip()}, {binary.parent.name} build, {cpu}, {platform.system()}, load {load}"


class Tarn:
    """The server under test on an empty warehouse."""

    def __init__(self, binary: Path, folder: Path, *options: str) -> None:
        self.binary, self.folder, self.options = binary, folder, options
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.start()

    def start(self) -> None:
        """Starts it, on the warehouse as it is."""
        binary, folder = self.binary, self.folder
        self.log = (folder / "server.log").open("w+")
        addresses = ["--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        places = ["--warehouse", str(folder / "warehouse"), "--location", str(folder.parent)]
        command = [binary, "serve", *addresses, *places, *self.options]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 60
        while not (found := self.addresses()).get("postgres"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{Path(self.log.name).read_text()}")
            time.sleep(0.05)
        self.port = int(found["postgres"].rpartition(":")[2])
        self.flight = found.get("flight")

    def addresses(self) -> dict[str, str]:
        """Where it says that it listens."""
        lines = Path(self.log.name).read_text().splitlines()
        words = [line.split() for line in lines if line.startswith("tarn: ")]
        return {word[1]: word[3] for word in words if len(word) == 4 and word[2] == "on"}

    def connect(self) -> psycopg.Connection:
        """A session in which each statement is a transaction."""
        return psycopg.connect(f"host=127.0.0.1 port={self.port} user=tarn dbname=tarn", autocommit=True)

    def memory_mib(self, field: str) -> float:
        """`VmRSS` or `VmHWM`."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith(f"{field}:"))

    def reset_peak(self) -> None:
        """Starts a new peak of memory."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self) -> None:
        """Ends it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()

    def close(self) -> None:
        """Ends it and removes its warehouse."""
        self.stop()
        shutil.rmtree(self.folder / "warehouse", ignore_errors=True)


class PostgreSql:
    """PostgreSQL, durable as it comes; only its memory is set to what the machine allows."""

    def __init__(self) -> None:
        # Started by root it runs as a user of its own, who may not be able to enter other folders.
        self.folder = folder = Path(tempfile.mkdtemp(prefix="tarn-bench-"))
        folder.chmod(0o755)
        self.port = free_port()
        settings = ["shared_buffers=1GB", "max_wal_size=8GB", "max_connections=100"]
        done = subprocess.run(
            [SERVICES / "postgres.sh", "start", folder, str(self.port), *settings], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr or f"PostgreSQL did not start, see {folder}")

    def connect(self) -> psycopg.Connection:
        """A session in which each statement is a transaction."""
        return psycopg.connect(f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres", autocommit=True)

    def close(self) -> None:
        """Ends it and removes its cluster."""
        subprocess.run([SERVICES / "postgres.sh", "stop", self.folder], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
