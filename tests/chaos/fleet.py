"""A fleet on one machine: replicas behind HAProxy under load, killed in turn, then upgraded to a new xclbin.

Two clients run all the time: one asks the balancer, the other spreads its requests over the replicas by itself. Every
answer is held against what its xclbin has to say. Ends with 1 where a request was lost or an answer wrong, or old
after the upgrade.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from balancer import Address, Balancer, BalancerError, configuration
from chaos.replica import Replica, ReplicaError
from chaos.report import Phase, Screen, summary
from chaos.traffic import Traffic, expected_answers
from resnet50_triton.errors import Resnet50Error
from resnet50_triton.network.parameters import Network
from resnet50_triton.server.process import Ports
from resnet50_triton.xclbin.kernel_info import read_xclbin, write_xclbin

from benchmarks.common.machine import made
from benchmarks.perf import pages

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
DRAIN_S = 60.0
RESTART_S = 1.0  # what a supervisor waits before it starts again what died, as systemd's RestartSec
MODELS = ("resnet50", "preprocess")
KILLS = ("tritonserver", *MODELS, "serve")


class Fleet:
    """Replicas behind a balancer, with clients; a context manager that ends them all.

    Args:
        sample: the sample deployment: the first xclbin, and the images to ask about.
        replicas: how many.
        concurrency: requests that each client has in flight.
        screen: where to tell what happens.
    """

    def __init__(self, sample: Path, replicas: int, concurrency: int, screen: Screen) -> None:
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
        self.replicas = []
        for number in range(1, replicas + 1):
            ports = Ports.free(HOST)
            address = Address(f"card{number}", HOST, ports.grpc, ports.http)
            self.replicas.append(Replica(address, ports.metrics, self._folder, fcweights))
        self.balancer = Balancer(self._folder / "haproxy.sock")
        self.url = ""
        self.traffics: list[Traffic] = []

    def __enter__(self) -> Fleet:
        try:
            for replica in self.replicas:
                self._stack.callback(replica.stop)
                replica.start(self.xclbins["old"])
            for replica in self.replicas:
                replica.wait_ready()
            self._stack.enter_context(self._haproxy())
            for replica in self.replicas:
                self.wait_up(replica)
            for name, urls in (("balanced", [self.url]), ("spread", [replica.url for replica in self.replicas])):
                traffic = Traffic(name, urls, self._pictures, self._expected, self._concurrency)
                self.traffics.append(self._stack.enter_context(traffic))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _haproxy(self) -> Iterator[None]:
        program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            raise BalancerError("haproxy is not installed: 'apt-get install haproxy' as root, then try again")
        ports = Ports.free(HOST)
        self.url = f"{HOST}:{ports.grpc}"
        file = self._folder / "haproxy.cfg"
        addresses = [replica.address for replica in self.replicas]
        control = self._folder / "haproxy.sock"
        file.write_text(configuration(addresses, self.url, f"{HOST}:{ports.http}", control))
        with (self._folder / "haproxy.log").open("wb") as log:
            process = subprocess.Popen([program, "-db", "-f", file], stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    def wait_up(self, replica: Replica) -> None:
        """Wait until the balancer uses a replica. Raises BalancerError."""
        deadline = time.monotonic() + DRAIN_S
        while True:
            with contextlib.suppress(BalancerError):  # it is only starting
                if self.balancer.states()[replica.name].status == "UP":
                    return
            if time.monotonic() > deadline:
                log = (self._folder / "haproxy.log").read_text(errors="replace")
                raise BalancerError(f"the balancer does not use {replica.name}:\n{log[-2000:]}")
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
                replica.start(self.xclbins["old"])
            replica.wait_ready()
            self.wait_up(replica)
            phase.notes["back_s"] = time.monotonic() - begin_s
            time.sleep(seconds)

    def upgrade(self, replica: Replica, seconds: float) -> None:
        """Drain a replica, start it on the new xclbin, and let it back."""
        with self.phase(f"upgrade {replica.name}") as phase:
            begin_s = time.monotonic()
            self.balancer.drain(replica.name, DRAIN_S)
            phase.notes["drained_s"] = time.monotonic() - begin_s
            replica.stop()
            phase.notes["stopped_s"] = time.monotonic() - begin_s
            replica.start(self.xclbins["new"])
            replica.wait_ready()
            self.balancer.ready(replica.name)
            self.wait_up(replica)
            phase.notes["back_s"] = time.monotonic() - begin_s
            time.sleep(seconds)

    def command_accuracy(self) -> dict[str, Any]:
        """What `resnet50-client accuracy` says through the balancer. Raises BalancerError where it fails."""
        images = self._sample / "images"
        options: list[str | Path] = ["--labels", images / "labels.txt", "--url", self.url, "--json"]
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
    options = parser.parse_args()
    if options.replicas < 2:
        parser.error("a fleet has at least 2 replicas: while one is down, another has to answer")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(options)
    except KeyboardInterrupt:
        print("\ninterrupted: all was ended")
        return 130
    except (BalancerError, ReplicaError, Resnet50Error, OSError) as error:
        print(f"\nfleet: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    """The scenario."""
    screen = Screen()
    origin = made(f"make fleet N={options.replicas}")
    screen.say(f"{options.replicas} replicas start, then HAProxy ...")
    with Fleet(options.sample, options.replicas, options.concurrency, screen) as fleet:
        screen.say(f"balancer {fleet.url}, replicas {', '.join(replica.url for replica in fleet.replicas)}")
        time.sleep(2)  # connections open, queues fill
        fleet.steady("before", options.steady_s)
        for number, victim in enumerate(options.kill):
            fleet.kill(fleet.replicas[number % len(fleet.replicas)], victim, options.settle_s)
        for replica in fleet.replicas[: options.upgrades]:
            fleet.upgrade(replica, options.settle_s)
        fleet.steady("after", options.steady_s)
        accuracy = None
        if options.upgrades is None:
            accuracy = fleet.command_accuracy()  # which insists on one xclbin
        for traffic in fleet.traffics:
            traffic.end()
        result = {"made": origin, **summary(fleet, screen.phases, accuracy)}
        last = screen.phases[-1].figures["answered_by_xclbin"]
        result["stale"] = last.get("old", 0) if options.upgrades is None else 0
    print("\n".join(pages.fleet(result)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1))
    print(f"\nlost {result['lost']}, wrong {result['wrong']}, of {result['sent']} requests: {options.output}")
    if result["stale"]:
        print(f"{result['stale']} answers were of the old xclbin after the last upgrade")
    return int(bool(result["lost"] or result["wrong"] or result["stale"]))


if __name__ == "__main__":
    raise SystemExit(main())
