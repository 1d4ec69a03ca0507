#!/usr/bin/env python3
"""The load balancer of a fleet: makes HAProxy's configuration, and takes replicas out of the traffic and back.

Needs nothing but Python 3.10, so that it can be copied to the balancer's machine together with haproxy.cfg.
"""

from __future__ import annotations

import argparse
import csv
import socket
import string
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).with_name("haproxy.cfg")
DEFAULT_SOCKET = Path("/run/haproxy/resnet50.sock")
BACKENDS = ("grpc", "http")  # in haproxy.cfg; the state of "http" follows that of "grpc"

EXAMPLES = """\
examples:
  balancer.py config --replica card1=10.0.0.1 --replica card2=10.0.0.2 --user haproxy > /etc/haproxy/haproxy.cfg
  balancer.py config --replica a=127.0.0.1:8001:8000 --replica b=127.0.0.1:9001:9000 --tls-cert server.pem
  balancer.py status
  balancer.py drain card1 && ssh card1 systemctl restart resnet50-pynq && balancer.py ready card1

exit codes: 0 done, 1 the balancer refused or the replica was not idle in time (the reason is printed), 2 wrong usage
"""


class BalancerError(Exception):
    """The balancer is not there, or did not do what it was told."""


@dataclass(frozen=True)
class Address:
    """Where a replica listens."""

    name: str
    host: str
    grpc_port: int = 8001
    http_port: int = 8000

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read NAME=HOST[:GRPC_PORT:HTTP_PORT]. Raises ValueError."""
        name, _, place = text.partition("=")
        host, *ports = place.split(":")
        if not name.isidentifier() or not host or len(ports) not in (0, 2):
            raise ValueError(f"'{text}' is not NAME=HOST or NAME=HOST:GRPC_PORT:HTTP_PORT")
        return cls(name, host, *map(int, ports))


def configuration(
    replicas: Sequence[Address],
    grpc_bind: str = ":8001",
    http_bind: str = ":8000",
    control: Path = DEFAULT_SOCKET,
    tls_cert: Path | None = None,
    tls_client_ca: Path | None = None,
    user: str | None = None,
) -> str:
    """HAProxy's configuration.

    Args:
        replicas: the servers.
        grpc_bind, http_bind: addresses to listen on, as HAProxy writes them.
        control: the socket for `Balancer`.
        tls_cert: certificate with its private key, one PEM file; without, neither side is encrypted.
        tls_client_ca: clients need a certificate of this authority.
        user: who HAProxy becomes, with the group of that name, once root has opened its ports; without, it stays.

    Returns:
        The text of a configuration file.
    """
    tls = ""
    if tls_cert:
        tls = f" ssl crt {tls_cert.resolve()} ssl-min-ver TLSv1.2"
    if tls_client_ca:
        tls += f" verify required ca-file {tls_client_ca.resolve()}"
    return string.Template(TEMPLATE.read_text()).substitute(
        socket=control,
        user=f"    user {user}\n    group {user}" if user else "",
        grpc_bind=grpc_bind + (f"{tls} alpn h2" if tls else " proto h2"),
        http_bind=http_bind + (f"{tls} alpn http/1.1" if tls else ""),
        grpc_servers="\n".join(f"    server {r.name} {r.host}:{r.grpc_port} port {r.http_port}" for r in replicas),
        http_servers="\n".join(f"    server {r.name} {r.host}:{r.http_port} track grpc/{r.name}" for r in replicas),
    )


@dataclass(frozen=True)
class State:
    """What the balancer says of one replica."""

    status: str  # "UP", "DOWN", "DRAIN", "MAINT", or on the way between two, "UP 1/2"
    in_flight: int  # requests that it has
    answered: int  # since the balancer started
    resent: int  # requests that went to another replica, because this one could not be reached


class Balancer:
    """A running HAProxy, commanded through its socket.

    Args:
        control: the socket, as in its configuration.
    """

    def __init__(self, control: Path = DEFAULT_SOCKET) -> None:
        self._control = control

    def states(self) -> dict[str, State]:
        """Every replica by its name."""
        table = list(csv.DictReader(self._tell("show stat").lstrip("# ").splitlines()))
        states = {}
        for name in dict.fromkeys(row["svname"] for row in table if row["pxname"] == BACKENDS[0]):
            rows = [row for row in table if row["svname"] == name and row["pxname"] in BACKENDS]
            if name not in ("BACKEND", "FRONTEND"):
                in_flight, answered, resent = (
                    sum(int(row[column] or 0) for row in rows) for column in ("scur", "stot", "wredis")
                )
                states[name] = State(rows[0]["status"], in_flight, answered, resent)
        return states

    def drain(self, name: str, timeout_s: float) -> None:
        """Send a replica no more requests, and wait until it has none.

        Raises:
            BalancerError: there is no such replica, or it still had requests in the end; it then stays drained.
        """
        self._set(name, "drain")
        deadline = time.monotonic() + timeout_s
        while left := self.states()[name].in_flight:
            if time.monotonic() > deadline:
                raise BalancerError(f"{name} still has {left} requests after {timeout_s:g} s; it gets no new ones")
            time.sleep(0.05)

    def ready(self, name: str) -> None:
        """Let a replica have requests again, as soon as its health check passes.

        Raises:
            BalancerError: there is no such replica.
        """
        self._set(name, "ready")

    def _set(self, name: str, state: str) -> None:
        if name not in (known := self.states()):
            raise BalancerError(f"no replica '{name}' (known: {', '.join(known)})")
        if said := self._tell(f"set server {BACKENDS[0]}/{name} state {state}").strip():
            raise BalancerError(f"{name} to {state}: {said}")

    def _tell(self, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self._control))
                connection.sendall(f"{command}\n".encode())
                with connection.makefile() as answer:
                    return answer.read()
        except OSError as error:
            raise BalancerError(
                f"no balancer at {self._control}: {error.strerror} (is HAProxy running, and may you write there?)"
            ) from error


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--socket", type=Path, default=DEFAULT_SOCKET, help="HAProxy's (default: %(default)s)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    c = commands.add_parser("config", help="print the configuration")
    c.add_argument("--replica", type=Address.parse, action="append", required=True, metavar="NAME=HOST[:GRPC:HTTP]")
    c.add_argument("--grpc-bind", default=":8001", metavar="ADDRESS:PORT")
    c.add_argument("--http-bind", default=":8000", metavar="ADDRESS:PORT")
    c.add_argument("--tls-cert", type=Path, metavar="PEM", help="certificate and private key in one file")
    c.add_argument("--tls-client-ca", type=Path, metavar="PEM", help="ask clients for a certificate of this authority")
    c.add_argument("--user", help="who HAProxy becomes where root starts it, on Debian: haproxy")
    commands.add_parser("status", help="the replicas, and what they have to do")
    c = commands.add_parser("drain", help="no more requests to a replica; return when it has none")
    c.add_argument("name")
    c.add_argument("--timeout-s", type=float, default=60.0, help="longest wait (default: %(default)s)")
    c = commands.add_parser("ready", help="let a replica have requests again")
    c.add_argument("name")
    options = parser.parse_args()
    if options.command == "config":
        if options.tls_client_ca and not options.tls_cert:
            parser.error("--tls-client-ca needs --tls-cert")
        names = (options.grpc_bind, options.http_bind, options.socket, options.tls_cert, options.tls_client_ca)
        print(configuration(options.replica, *names, options.user), end="")
        return 0
    balancer = Balancer(options.socket)
    try:
        if options.command == "drain":
            balancer.drain(options.name, options.timeout_s)
        elif options.command == "ready":
            balancer.ready(options.name)
        print(f"{'replica':12}{'state':10}{'in flight':>10}{'answered':>10}{'resent':>8}")
        for name, state in balancer.states().items():
            print(f"{name:12}{state.status:10}{state.in_flight:10}{state.answered:10}{state.resent:8}")
    except BalancerError as error:
        print(f"balancer.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
