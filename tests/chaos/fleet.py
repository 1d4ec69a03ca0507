"""A fleet on one machine: replicas behind HAProxy under load, killed in turn, then upgraded to a new xclbin.

Two clients run all the time: one asks the balancers, the other spreads its requests over the replicas by itself. Every
answer is held against what its xclbin has to say. Ends with 1 where a request was lost or an answer wrong, or old
after the upgrade.

With --namespaces each replica, and each of then two balancers, is a host of its own on a network whose cables lose
frames, delay them and are unplugged. With --software the server's software is upgraded too, from a commit to the last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from balancer import Balancer, BalancerError, configuration
from chaos.network import Hosts, Loopback, NetworkError, namespaces, run_at_switch
from chaos.replica import Replica, ReplicaError
from chaos.report import Phase, Screen, summary
from chaos.traffic import Traffic, expected_answers
from chaos.versions import VersionError, install, version_of
from resnet50_triton.errors import Resnet50Error
from resnet50_triton.network.parameters import Network
from resnet50_triton.xclbin.kernel_info import read_xclbin, write_xclbin

from benchmarks.common.machine import made
from benchmarks.perf import pages

ROOT = Path(__file__).resolve().parents[2]
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
DRAIN_S = 60.0
RESTART_S = 1.0  # what a supervisor waits before it starts again what died, as systemd's RestartSec
MODELS = ("resnet50", "preprocess")
KILLS = ("tritonserver", *MODELS, "serve")


class Proxy:
    """One HAProxy before the replicas, on its host.

    Args:
        name: of the host.
        folder: for its configuration, log and socket, NAME.sock.
        network: where the hosts are.
        replicas: what is behind it.
    """

    def __init__(self, name: str, folder: Path, network: Loopback | Hosts, replicas: Sequence[Replica]) -> None:
        self.name = name
        ports = network.ports(name)
        self.url = ports.grpc_url
        self._host = network.command(name)
        self._file, self._log = folder / f"{name}.cfg", folder / f"{name}.log"
        addresses = [replica.address for replica in replicas]
        self._file.write_text(configuration(addresses, self.url, ports.http_url, folder / f"{name}.sock"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; does not wait. Raises BalancerError."""
        if HAPROXY is None:
            raise BalancerError("haproxy is not installed: 'apt-get install haproxy' as root, then try again")
        command = [*self._host, HAPROXY, "-db", "-f", self._file]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> None:
        """kill -9; connections break."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def log_end(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(errors="replace")[-2000:]


class Fleet:
    """Replicas behind a balancer, with clients; a context manager that ends them all.

    Args:
        sample: the sample deployment: the first xclbin, and the images to ask about.
        replicas: their names.
        balancers: their names.
        concurrency: requests that each client has in flight.
        screen: where to tell what happens.
        network: where the hosts are.
        python: whose packages the replicas are started with.
    """

    def __init__(
        self,
        sample: Path,
        replicas: Sequence[str],
        balancers: Sequence[str],
        concurrency: int,
        screen: Screen,
        network: Loopback | Hosts,
        python: Path,
    ) -> None:
        self._sample = sample
        self._concurrency = concurrency
        self._screen = screen
        self._stack = contextlib.ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="resnet50-fleet-")))
        fcweights = sample / "fcweights.csv"
        self.xclbins = {"old": sample / "card.xclbin", "new": self._folder / "new.xclbin"}
        make_new_xclbin(self.xclbins["old"], self.xclbins["new"])
        pictures = {path.name: path.read_bytes() for path in sorted((sample / "images").glob("*.JPEG"))}
        answers = {name: expected_answers(path, fcweights, pictures) for name, path in self.xclbins.items()}
        self.uuids = {name: uuid for name, (uuid, _) in answers.items()}
        self._expected = dict(answers.values())
        self._pictures = pictures
        self._network = network
        self.xclbin, self.python = self.xclbins["old"], python
        self.replicas = [
            Replica(name, network.ports(name), self._folder, fcweights, network.command(name)) for name in replicas
        ]
        self.balancers = [Balancer(self._folder / f"{name}.sock") for name in balancers]
        self.proxies = [Proxy(name, self._folder, network, self.replicas) for name in balancers]
        self.traffics: list[Traffic] = []

    def __enter__(self) -> Fleet:
        try:
            for replica in self.replicas:
                self._stack.callback(replica.stop)
                replica.start(self.xclbin, self.python)
            for replica in self.replicas:
                replica.wait_ready()
            for proxy in self.proxies:
                self._stack.callback(proxy.stop)
                proxy.start()
            for replica in self.replicas:
                self.wait_up(replica)
            for name, servers in (("balanced", self.proxies), ("spread", self.replicas)):
                urls = [server.url for server in servers]
                traffic = Traffic(name, urls, self._pictures, self._expected, self._concurrency)
                self.traffics.append(self._stack.enter_context(traffic))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def wait_up(self, replica: Replica) -> None:
        """Wait until the balancers use a replica. Raises BalancerError."""
        deadline = time.monotonic() + DRAIN_S
        for proxy, balancer in zip(self.proxies, self.balancers, strict=True):
            while True:
                with contextlib.suppress(BalancerError):  # it is only starting
                    if balancer.states()[replica.name].status == "UP":
                        break
                if time.monotonic() > deadline:
                    raise BalancerError(f"{proxy.name} does not use {replica.name}:\n{proxy.log_end()}")
                time.sleep(0.1)

    @contextlib.contextmanager
    def phase(self, title: str) -> Iterator[Phase]:
        """A part of the run, with its own line in the table."""
        with self._screen.phase(title, self) as phase:
            yield phase

    def steady(self, title: str, seconds: float) -> None:
        """Load, and nothing else."""
        with self.phase(title):
            time.sleep(seconds)

    def kill(self, replica: Replica, victim: str, seconds: float) -> None:
        """kill -9 one of a replica's processes, start again what is not started by itself, and wait until it works."""
        with self.phase(f"kill -9 {victim} of {replica.name}") as phase:
            begin_s = time.monotonic()
            phase.notes["pid"] = replica.kill(victim)
            if victim != "serve":  # which sees it, and starts the server again
                while replica.is_ready:
                    time.sleep(0.05)
                phase.notes["noticed_s"] = time.monotonic() - begin_s
            else:
                replica.wait_gone()
                time.sleep(RESTART_S)
                replica.start(self.xclbin, self.python)
            replica.wait_ready()
            self.wait_up(replica)
            phase.notes["back_s"] = time.monotonic() - begin_s
            time.sleep(seconds)

    def upgrade(self, replica: Replica, what: str, seconds: float) -> None:
        """Drain a replica at every balancer, start it as the fleet now starts them, and let it back."""
        with self.phase(f"{what}: {replica.name}") as phase:
            begin_s = time.monotonic()
            for balancer in self.balancers:
                balancer.drain(replica.name, DRAIN_S)
            phase.notes["drained_s"] = time.monotonic() - begin_s
            replica.stop()
            phase.notes["stopped_s"] = time.monotonic() - begin_s
            replica.start(self.xclbin, self.python)
            replica.wait_ready()
            for balancer in self.balancers:
                balancer.ready(replica.name)
            self.wait_up(replica)
            phase.notes["back_s"] = time.monotonic() - begin_s
            time.sleep(seconds)

    def degrade(self, host: str, loss_percent: float, delay_ms: float, seconds: float) -> None:
        """Let a host's cable lose and delay frames for a while, or be unplugged; then wait until all works again."""
        assert isinstance(self._network, Hosts)
        what = f"loses {loss_percent:g} %, {delay_ms:g} ms each way" if loss_percent < 100 else "is unplugged"
        with self.phase(f"cable of {host} {what} for {seconds:g} s"):
            self._network.set_cable(host, loss_percent, delay_ms)
            time.sleep(seconds)
            self._network.set_cable(host)
            for replica in self.replicas:
                self.wait_up(replica)
            time.sleep(seconds / 2)

    def kill_balancer(self, number: int, seconds: float) -> None:
        """kill -9 a balancer, and start it again."""
        proxy = self.proxies[number]
        with self.phase(f"kill -9 haproxy of {proxy.name}"):
            proxy.kill()
            time.sleep(RESTART_S)
            proxy.start()
            for replica in self.replicas:
                self.wait_up(replica)
            time.sleep(seconds)

    def command_accuracy(self) -> dict[str, Any]:
        """What `resnet50-client accuracy` says through the balancer. Raises BalancerError where it fails."""
        images = self._sample / "images"
        options: list[str | Path] = ["--labels", images / "labels.txt", "--json"]
        for proxy in self.proxies:
            options += ["--url", proxy.url]
        done = subprocess.run(
            [sys.executable, "-m", "resnet50_client.cli", "accuracy", images, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BalancerError(f"resnet50-client accuracy ended with {done.returncode}: {done.stderr.strip()}")
        result: dict[str, Any] = json.loads(done.stdout)
        return {name: result[name] for name in ("images", "scored", "top1", "xclbins")}


def make_new_xclbin(old: Path, new: Path) -> None:
    """An xclbin with other biases: every image has other logits, so answers tell which xclbin they are from."""
    network = Network.from_bytes(read_xclbin(old).network_bytes())
    bias = network.arrays["fc.bias"]
    changed = bias + np.random.default_rng(0).integers(1, 1000, bias.shape, bias.dtype)
    write_xclbin(new, Network.check({**network.arrays, "fc.bias": changed}))


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=Path, default=ROOT / "build" / "sample", help="made by build-sample")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "fleet.json")
    parser.add_argument("--replicas", type=int, default=3, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--concurrency", type=int, default=16, help="requests in flight of each client (default: 16)")
    parser.add_argument("--steady-s", type=float, default=10.0, help="load before and after (default: %(default)s)")
    parser.add_argument("--settle-s", type=float, default=3.0, help="load after each event (default: %(default)s)")
    parser.add_argument("--kill", nargs="*", choices=KILLS, default=KILLS, help="what is killed (default: all)")
    parser.add_argument("--upgrades", type=int, help="replicas that are upgraded (default: all)")
    parser.add_argument("--namespaces", action="store_true", help="a network namespace for each host; as root")
    parser.add_argument("--away-s", type=float, default=10.0, help="how long a cable is unplugged (default: 10)")
    parser.add_argument("--software", metavar="COMMIT", help="start with this commit's software, upgrade to the last")
    parser.add_argument("--prefix", help=argparse.SUPPRESS)  # of the namespaces, for the process at their switch
    options = parser.parse_args()
    if options.replicas < 2:
        parser.error("a fleet has at least 2 replicas: while one is down, another has to answer")
    if options.software and options.namespaces:
        parser.error("--software builds with the package index, which the hosts of --namespaces do not reach: run both")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    replicas = [f"card{number}" for number in range(1, options.replicas + 1)]
    balancers = ["balancer1", "balancer2"] if options.namespaces else ["balancer"]
    try:
        if not options.namespaces:
            return run(options, replicas, balancers, Loopback())
        if options.prefix:
            with Hosts(options.prefix, [*replicas, *balancers]) as network:
                return run(options, replicas, balancers, network)
        with namespaces([*replicas, *balancers]) as prefix:
            return run_at_switch(prefix, [sys.executable, "-m", "chaos.fleet", *sys.argv[1:], "--prefix", prefix])
    except KeyboardInterrupt:
        print("\ninterrupted: all was ended")
        return 130
    except (BalancerError, NetworkError, ReplicaError, VersionError, Resnet50Error, OSError) as error:
        print(f"\nfleet: {error}", file=sys.stderr)
        return 1


def run(
    options: argparse.Namespace, replicas: Sequence[str], balancers: Sequence[str], network: Loopback | Hosts
) -> int:
    """The scenario, with the software of two commits where that is asked for."""
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="resnet50-versions-") as scratch:
        pythons = [Path(sys.executable)]
        if options.software:
            screen.say(f"the software of {options.software} and of the last commit is built ...")
            pythons = [
                install(revision, label, Path(scratch) / label)
                for revision, label in ((options.software, "old"), ("HEAD", "new"))
            ]
        screen.say(f"{len(replicas)} replicas start, then HAProxy ...")
        with Fleet(options.sample, replicas, balancers, options.concurrency, screen, network, pythons[0]) as fleet:
            result = go(options, fleet, screen, network, pythons)
    print("\n".join(pages.fleet(result)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1))
    print(f"\nlost {result['lost']}, wrong {result['wrong']}, of {result['sent']} requests: {options.output}")
    if result["stale"]:
        print(f"{result['stale']} answers were of the old xclbin after the last upgrade")
    return int(bool(result["lost"] or result["wrong"] or result["stale"]))


def go(
    options: argparse.Namespace, fleet: Fleet, screen: Screen, network: Loopback | Hosts, pythons: Sequence[Path]
) -> dict[str, Any]:
    """Load, faults and upgrades; the figures. Raises VersionError where a replica runs another software than told."""
    what = "--namespaces" if options.namespaces else f"--software {options.software}" if options.software else ""
    origin = made(f"make fleet N={options.replicas}" + (f' ARGS="{what}"' if what else ""))
    addresses = [server.url for server in (*fleet.proxies, *fleet.replicas)]
    screen.say(f"balancers and replicas: {', '.join(addresses)}")
    time.sleep(2)  # connections open, queues fill
    fleet.steady("before", options.steady_s)
    for number, victim in enumerate(options.kill):
        fleet.kill(fleet.replicas[number % len(fleet.replicas)], victim, options.settle_s)
    if isinstance(network, Hosts):
        fleet.degrade("card1", 5, 20, options.away_s)
        fleet.degrade("card2", 100, 0, options.away_s)
        fleet.degrade("balancer1", 100, 0, options.away_s)
        fleet.kill_balancer(1, options.settle_s)
    if options.software:
        fleet.python = pythons[-1]
        for replica in fleet.replicas:
            fleet.upgrade(replica, "new software", options.settle_s)
            if not replica.is_of(fleet.python):
                raise VersionError(f"{replica.name} does not run the software of {fleet.python}")
    fleet.xclbin = fleet.xclbins["new"]
    for replica in fleet.replicas[: options.upgrades]:
        fleet.upgrade(replica, "new xclbin", options.settle_s)
    fleet.steady("after", options.steady_s)
    accuracy = None
    if options.upgrades is None:
        accuracy = fleet.command_accuracy()  # which insists on one xclbin
    for traffic in fleet.traffics:
        traffic.end()
    result = {"made": origin, **summary(fleet, screen.phases, accuracy)}
    result["software"] = [version_of(python) for python in pythons]
    last = screen.phases[-1].figures["answered_by_xclbin"]
    result["stale"] = last.get("old", 0) if options.upgrades is None else 0
    return result


if __name__ == "__main__":
    raise SystemExit(main())
