"""`resnet50-pynq doctor` as a process, in surroundings that are right and wrong; what no process can bring about here
(other Pythons, device files, a small /dev/shm) through the checks themselves."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from helpers import random_network
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from resnet50_triton.standalone.doctor import card, installation
from resnet50_triton.standalone.doctor import server as doctor_server
from resnet50_triton.standalone.doctor.finding import Finding, Wanted
from resnet50_triton.xclbin.kernel_info import write_xclbin
from standalone_support import command, deployment, foreign_image

NOBODY = 65534


def diagnose(*words: object, **environment: str) -> tuple[int, dict[str, list[Finding]]]:
    """The exit code and the findings of `doctor --json`, by check."""
    result = command("doctor", "--json", *words, **environment)
    assert result.stderr == ""
    answer = json.loads(result.stdout)
    assert answer["ok"] == (result.returncode == 0)
    findings: dict[str, list[Finding]] = {}
    for fields in answer["findings"]:
        findings.setdefault(fields["check"], []).append(Finding(**fields))
    return result.returncode, findings


def test_a_sound_deployment_passes(sample: Path) -> None:
    result = command("doctor", *deployment(sample), "--card", "software:0")
    assert result.returncode == 0, result.stdout
    lines = result.stdout.splitlines()
    assert lines[-1].endswith("0 warning, 0 failed")
    statuses = {tuple(line.split(maxsplit=2)[:2]) for line in lines[:-1]}
    assert {("ok", check) for check in ("python", "packages", "pynq", "card", "weights", "libpython")} <= statuses
    assert f"software:0 can be programmed with {sample / 'card.xclbin'}" in result.stdout
    assert f"{sample / 'fcweights.csv'}: 1000 x 2048 int8" in result.stdout


def test_everything_wrong_at_once_is_found_with_a_fix_for_each(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("1,2,3")
    words = ["--xclbin", tmp_path / "bad", "--fcweights", tmp_path / "bad", "--card", "xrt:0", "--url", "127.0.0.1:1"]
    code, findings = diagnose(*words, TRITONSERVER="/nowhere/tritonserver")
    assert code == 1
    failed = {check: found[0] for check, found in findings.items() if found[0].status == "failed"}
    assert {"xclbin", "card", "weights", "tritonserver", "server"} <= set(failed)
    assert all(finding.fix for finding in failed.values())
    assert "not an xclbin" in failed["xclbin"].found
    assert "XRT is not set up" in failed["card"].found
    assert "setup.sh" in str(failed["card"].fix)
    assert failed["tritonserver"].found == "TRITONSERVER=/nowhere/tritonserver is not a program"
    assert failed["server"].found == "no tritonserver at http://127.0.0.1:1: [Errno 111] Connection refused"


def test_text_and_json_say_the_same(tmp_path: Path) -> None:
    words = ["--xclbin", tmp_path / "none.xclbin", "--url", "127.0.0.1:1"]
    text = command("doctor", *words)
    _, findings = diagnose(*words)
    assert text.returncode == 1
    for finding in (one for found in findings.values() for one in found):
        assert finding.found in text.stdout or "free" in finding.found  # of /dev/shm, which others use meanwhile
        assert f"fix: {finding.fix}" in text.stdout or finding.fix is None


@pytest.mark.parametrize(
    ("package", "version", "found", "fix"),
    [
        (
            "pynq",
            "4.0.0",
            "pynq 4.0.0 is installed, resnet50-pynq-triton needs pynq==3.0.1",
            "pip install 'pynq==3.0.1'",
        ),
        ("numpy", "2.1.0", "numpy 2.1.0 is installed, resnet50-pynq-triton needs numpy<2,>=1.23", "numpy<2,>=1.23"),
    ],
)
def test_a_package_of_another_version(tmp_path: Path, package: str, version: str, found: str, fix: str) -> None:
    metadata = tmp_path / f"{package}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    code, findings = diagnose(PYTHONPATH=str(tmp_path))
    assert code == 1
    assert [finding.found for finding in findings["packages"]] == [found]
    assert fix in str(findings["packages"][0].fix)


def test_a_pynq_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "pynq.py").write_text("import pkg_resources_of_old")
    code, findings = diagnose(PYTHONPATH=str(tmp_path))
    assert code == 1
    assert "No module named 'pkg_resources_of_old'" in findings["pynq"][0].found
    assert findings["pynq"][0].fix == "pip install --force-reinstall resnet50-pynq-triton"
    assert findings["libpython"][0].status == "ok"  # the other checks ran


def test_an_xrt_that_cannot_be_loaded() -> None:
    code, findings = diagnose(XILINX_XRT="/nowhere")
    assert code == 1
    assert "/nowhere" in findings["pynq"][0].found
    assert findings["pynq"][0].fix == "correct XILINX_XRT, or unset it to use a software card"


def test_engines() -> None:
    code, findings = diagnose(RESNET50_ENGINE="reference")
    assert (code, findings["engine"][0].status) == (0, "warning")
    assert findings["engine"][0].fix
    code, findings = diagnose(RESNET50_ENGINE="abacus")
    assert (code, findings["engine"][0].status) == (1, "failed")


def test_a_server_program_that_is_none() -> None:
    code, findings = diagnose(TRITONSERVER=shutil.which("false") or "")
    assert code == 1
    assert "does not run: it ends with 1 and says" in findings["tritonserver"][0].found


def test_an_image_that_is_for_another_kind_of_card(sample: Path, tmp_path: Path) -> None:
    image = foreign_image(sample, tmp_path / "foreign.xclbin")
    code, findings = diagnose("--xclbin", image, "--card", "software:0")
    assert code == 1
    assert "a software card needs one made by 'resnet50-pynq build-xclbin'" in findings["card"][-1].found
    code, findings = diagnose("--xclbin", image)  # without --card the image says what it needs
    assert code == 1
    assert "card 'xrt:0': XRT is not set up" in findings["card"][-1].found


@pytest.mark.server
def test_a_server_that_is_up(server: Server) -> None:
    code, findings = diagnose("--url", server.http_url)
    assert code == 0
    assert "preprocess, resnet50, classify are ready, on software:0" in findings["server"][0].found
    for wrong in (f"http://{server.grpc_url}", f"http://{server.metrics_url}"):
        (finding,) = doctor_server.reachable(Wanted(url=wrong))
        assert finding.status == "failed"
        assert "the HTTP address is needed" in str(finding.fix)


def test_pythons() -> None:
    for version, status in (((3, 10, 1), "ok"), ((3, 13, 9), "ok"), ((3, 14, 0), "failed"), ((3, 9, 2), "failed")):
        (finding,) = installation.python(Wanted(), version)
        assert finding.status == status
        assert (finding.fix is None) == (status == "ok")


def test_shared_memory(tmp_path: Path) -> None:
    (enough,) = doctor_server.shared_memory(Wanted(), tmp_path, needed=1)
    (little,) = doctor_server.shared_memory(Wanted(), tmp_path, needed=1 << 60)
    (none,) = doctor_server.shared_memory(Wanted(), tmp_path / "none")
    assert [finding.status for finding in (enough, little, none)] == ["ok", "warning", "failed"]
    assert "--shm-size" in str(little.fix)
    assert doctor_server.SHM_BYTES > 64 << 20  # Docker's limit, which is what it is there to find


@pytest.fixture
def machine() -> Iterator[tuple[Path, Path]]:
    """A machine with an Alveo (renderD129) and a GPU (renderD128); not in tmp_path, which others cannot enter."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for node, vendor in (("renderD128", "0x10de"), ("renderD129", "0x10ee")):
            (root / "drm" / node / "device").mkdir(parents=True)
            (root / "drm" / node / "device" / "vendor").write_text(f"{vendor}\n")
        (root / "dri").mkdir()
        yield root / "drm", root / "dri"


def test_permissions(machine: tuple[Path, Path]) -> None:
    nodes, devices = machine
    (absent,) = card.permissions(Wanted(), nodes, devices)
    assert absent.status == "failed"
    assert f"--device={devices / 'renderD129'}" in str(absent.fix)
    (devices / "renderD129").touch(0o600)
    (usable,) = card.permissions(Wanted(), nodes, devices)
    assert usable.status == "ok"
    (needless,) = card.permissions(Wanted(), devices, devices)
    (missing,) = card.permissions(Wanted(card="xrt:0"), devices, devices)
    assert (needless.status, missing.status) == ("note", "failed")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_permissions_of_another_user(machine: tuple[Path, Path]) -> None:
    nodes, devices = machine
    (devices / "renderD129").touch(0o600)
    with ProcessPoolExecutor(1, get_context("fork"), os.setuid, (NOBODY,)) as another:
        (finding,) = another.submit(_permissions, nodes, devices).result()
    assert finding.status == "failed"
    assert finding.found == f"user {NOBODY} may not read and write {devices / 'renderD129'}"
    assert finding.fix


def _permissions(nodes: Path, devices: Path) -> list[Finding]:
    return list(card.permissions(Wanted(), nodes, devices))


def test_help_is_there() -> None:
    result = command("doctor", "--help")
    assert result.returncode == 0
    for option in ("--xclbin", "--fcweights", "--card", "--url", "--json"):
        assert option in result.stdout


def test_limits_and_places_of_a_server(tmp_path: Path) -> None:
    argv = ["bash", "-c", 'ulimit -n 64; exec "$0" -m resnet50_triton.cli doctor --json', sys.executable]
    answer = json.loads(subprocess.run(argv, capture_output=True, text=True, check=False).stdout)
    (found,) = (finding for finding in answer["findings"] if finding["check"] == "limits")
    assert found["status"] == "failed"
    assert "ulimit -n 4096" in found["fix"]
    _, findings = diagnose(TMPDIR=str(tmp_path))
    assert findings["limits"][0].status == "ok"
    assert findings["temporary files"][0].status == "ok"


def test_no_proxy_is_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as somebody:
        threading.Thread(target=somebody.handle_request, daemon=True).start()
        (finding,) = doctor_server.reachable(Wanted(url=f"127.0.0.1:{somebody.server_port}"))
    assert "Unsupported method" in finding.found  # it answered


def test_a_repository_is_checked_with_its_files(sample: Path, tmp_path: Path) -> None:
    """As one for a Triton of one's own is: a file missing, another's xclbin, outputs that the kernel lacks."""
    models = Deployment.of_sample(sample, "timing:0").make_repository(tmp_path / "models", is_for_here=False)
    code, findings = diagnose("--model-repository", models)
    assert code == 0
    assert "a complete repository, logits kernel" in findings["models"][0].found
    assert findings["card"][-1].found == f"timing:0 can be programmed with {models}/resnet50/card.xclbin"
    assert f"{models}/resnet50/fcweights.csv: 1000 x 2048" in findings["weights"][0].found

    write_xclbin(models / "resnet50" / "card.xclbin", random_network(3), "top5")
    code, findings = diagnose("--model-repository", models)
    assert code == 1
    told = " ".join(finding.found for finding in findings["models"])
    assert "is not that of" in told
    assert "classify has the outputs LOGITS, resnet50 with" in told
    assert all("make-repository" in str(finding.fix) for finding in findings["models"])

    (models / "resnet50" / "fcweights.csv").unlink()
    code, findings = diagnose("--model-repository", models)
    assert code == 1
    assert f"{models}/resnet50/fcweights.csv, which is not a file" in findings["models"][0].found
    assert "make-repository" in str(findings["models"][0].fix)

    shutil.rmtree(models / "resnet50")
    code, findings = diagnose("--model-repository", models)
    assert code == 1
    assert "has no model resnet50" in findings["models"][0].found

    (models / "preprocess" / "config.pbtxt").write_text("name: preprocess")
    (models / "resnet50").mkdir()
    (models / "resnet50" / "config.pbtxt").write_text("name: 'resnet50'")
    _, findings = diagnose("--model-repository", models)
    assert "is not a model configuration" in findings["models"][0].found
