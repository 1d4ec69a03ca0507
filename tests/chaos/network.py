"""Hosts on one machine: each in a network namespace of its own, joined by a cable that can have faults to a switch."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from resnet50_triton.server.process import Ports

SUBNET = "10.77.0"  # of the namespaces alone: nothing of it leaves them
PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}
SWITCH = "switch"
ENDING_S = 120.0  # for what runs in the namespaces, to end by itself


class NetworkError(Exception):
    """The hosts cannot be made."""


class Loopback:
    """All hosts are this machine, at free ports."""

    def ports(self, host: str) -> Ports:  # noqa: ARG002
        return Ports.free("127.0.0.1")

    def command(self, host: str) -> list[str]:  # noqa: ARG002
        return []


class Hosts:
    """The hosts, seen from the switch, where this process runs; a context manager that pulls the cables.

    Args:
        prefix: of the namespaces' names, as `namespaces` gives it.
        hosts: their names, each of at most 10 characters.
    """

    def __init__(self, prefix: str, hosts: Sequence[str]) -> None:
        self._prefix = prefix
        self._addresses = {host: f"{SUBNET}.{number}" for number, host in enumerate(hosts, 11)}
        self._stack = contextlib.ExitStack()
        self._cables: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Hosts:
        with contextlib.ExitStack() as stack:
            _ip("link", "set", "lo", "up")
            _ip("link", "add", SWITCH, "type", "bridge")
            stack.callback(_ip, "link", "delete", SWITCH)
            _ip("address", "add", f"{SUBNET}.1/24", "dev", SWITCH)
            _ip("link", "set", SWITCH, "up")
            for host, address in self._addresses.items():
                stack.enter_context(self._cable(host, address))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _cable(self, host: str, address: str) -> Iterator[None]:
        here, there, namespace = f"{host}-s", f"{host}-h", f"{self._prefix}{host}"
        command = [sys.executable, "-m", "chaos.wire", here, there]
        # A session of its own: it has to stay until what is at its ends has ended.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as wire:
            assert wire.stdin is not None
            assert wire.stdout is not None
            if wire.stdout.readline() != "ready\n":
                raise NetworkError(f"no cable to {host}: TAP interfaces cannot be made here (/dev/net/tun)")
            self._cables[host] = wire
            _ip("link", "set", here, "master", SWITCH, "up")
            _ip("link", "set", there, "netns", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
            _ip("-n", namespace, "address", "add", f"{address}/24", "dev", there)
            _ip("-n", namespace, "link", "set", there, "up")
            yield  # it ends with its input

    def ports(self, host: str) -> Ports:
        """Where a server of that host listens."""
        return Ports(self._addresses[host], **PORTS)

    def command(self, host: str) -> list[str]:
        """What a command begins with that is to run there."""
        return ["ip", "netns", "exec", f"{self._prefix}{host}"]

    def set_cable(self, host: str, loss_percent: float = 0.0, delay_ms: float = 0.0) -> None:
        """Change what a host's cable does to each frame, both ways; 100 per cent: it is unplugged."""
        orders = self._cables[host].stdin
        assert orders is not None
        orders.write(f"{loss_percent} {delay_ms}\n")
        orders.flush()


@contextlib.contextmanager
def namespaces(hosts: Sequence[str]) -> Iterator[str]:
    """Namespaces for the hosts and the switch, as root; the prefix of their names. In the end nothing is left of them.

    Raises:
        NetworkError: they cannot be made.
    """
    if os.geteuid() != 0 or not shutil.which("ip"):
        raise NetworkError("network namespaces need root and the program ip (Debian: apt-get install iproute2)")
    prefix = f"resnet50-{os.getpid()}-"
    with contextlib.ExitStack() as stack:
        for host in (*hosts, SWITCH):
            _ip("netns", "add", f"{prefix}{host}")
            stack.callback(_ip, "netns", "delete", f"{prefix}{host}")
            stack.callback(_end_all, f"{prefix}{host}")
        yield prefix


def run_at_switch(prefix: str, command: Sequence[str]) -> int:
    """Run a command there, without proxies, and return its exit code; Ctrl-C and SIGTERM are for it to end by."""
    environment: Mapping[str, str] = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    whole = ["ip", "netns", "exec", f"{prefix}{SWITCH}", *command]
    # A session of its own: Ctrl-C is for us, and we tell it once.
    with subprocess.Popen(whole, env=environment, start_new_session=True) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGTERM)
            return process.wait(ENDING_S)


def _end_all(namespace: str) -> None:
    """End what still runs in a namespace, after a process at the switch that was killed."""
    deadline_s = time.monotonic() + ENDING_S
    while pids := _ip("netns", "pids", namespace).split():
        for pid in map(int, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline_s - ENDING_S / 2 else signal.SIGKILL)
        if time.monotonic() > deadline_s:
            return
        time.sleep(0.5)


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
