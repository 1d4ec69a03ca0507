"""`resnet50-pynq make-repository`: a whole repository with all in it, or none."""

from __future__ import annotations

import pickle
import shutil
import stat
from pathlib import Path

import pytest
from google.protobuf import json_format
from helpers import random_network
from resnet50_triton.cli import main
from resnet50_triton.server.config import read_config
from resnet50_triton.server.repository import default_repository
from resnet50_triton.triton.parameters import RESNET50, read_parameters
from resnet50_triton.xclbin.kernel_info import read_xclbin, write_xclbin


@pytest.fixture
def files(sample: Path, tmp_path: Path) -> Path:
    """A deployment's files, which a test may remove."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("card.xclbin", "fcweights.csv", "labels.txt"):
        shutil.copyfile(sample / name, folder / name)
    return folder


def make(files: Path, output: Path, *words: str) -> int:
    """The exit code of the command."""
    given = [f"--xclbin={files / 'card.xclbin'}", f"--fcweights={files / 'fcweights.csv'}"]
    with pytest.raises(SystemExit) as ended:
        main(["make-repository", "-o", str(output), *given, *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def outputs(repository: Path) -> list[str]:
    return [output.name for output in read_config(repository / "classify" / "config.pbtxt").output]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_can_be_taken_anywhere(files: Path, tmp_path: Path) -> None:
    (files / "net.npz").write_bytes(random_network(3).to_bytes())
    names = [f"thing, {i}" for i in range(1000)]
    (files / "labels.pkl").write_bytes(pickle.dumps(dict(enumerate(names))))
    more = [f"--labels={files / 'labels.pkl'}", f"--set=resnet50.network={files / 'net.npz'}"]
    assert make(files, tmp_path / "models", *more, "--card=timing:0", "--preset=latency") == 0
    uuid = read_xclbin(files / "card.xclbin").uuid
    shutil.rmtree(files)
    moved = (tmp_path / "models").rename(tmp_path / "elsewhere") / "resnet50"
    text = (moved / "config.pbtxt").read_text()
    assert str(tmp_path) not in text
    config = json_format.MessageToDict(read_config(moved / "config.pbtxt"), preserving_proto_field_name=True)
    values = read_parameters(RESNET50, config, moved)
    assert (values["xclbin"], values["fcweights"]) == (moved / "card.xclbin", moved / "fcweights.csv")
    assert values["network"] == moved / "network.npz"
    assert values["xclbin_uuid"] == read_xclbin(values["xclbin"]).uuid == uuid
    assert (values["card"], values["kernel_batch_size"]) == ("timing:0", 1)
    assert (moved / "labels.txt").read_text().splitlines() == names
    assert (moved.parent / "classify" / "1").is_dir()


def test_the_ensemble_has_the_kernels_outputs(files: Path, tmp_path: Path) -> None:
    write_xclbin(files / "card.xclbin", random_network(3), "top5")
    assert make(files, tmp_path / "models") == 0
    assert outputs(tmp_path / "models") == ["TOP5"]
    assert make(files, tmp_path / "more", "--provenance") == 0
    assert outputs(tmp_path / "more") == ["TOP5", "PROVENANCE"]
    kernel = read_config(tmp_path / "more" / "resnet50" / "config.pbtxt")
    assert kernel.parameters["provenance"].string_value == "on"


def test_an_object_store_gets_no_library(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make(files, tmp_path / "models") == 0
    assert make(files, tmp_path / "store", "--object-store") == 0
    assert contents(tmp_path / "models").keys() - contents(tmp_path / "store").keys() == {"resnet50/batchstrategy.so"}
    monkeypatch.setattr("resnet50_triton.server.repository.BATCH_STRATEGY", "none.so")  # which this installation lacks
    assert make(files, tmp_path / "more", "--object-store") == 0


def test_what_is_there_is_replaced_only_on_demand(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    models.mkdir()  # an empty folder is nothing
    assert make(files, models) == 0
    assert make(files, models, "--card=timing:0") == 1
    assert "replace it with --force" in capsys.readouterr().err
    assert "software:0" in (models / "resnet50" / "config.pbtxt").read_text()
    assert make(files, models, "--card=timing:0", "--force") == 0
    assert "timing:0" in (models / "resnet50" / "config.pbtxt").read_text()


def test_what_is_no_repository_is_never_replaced(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(files)
    assert make(files, files, "--force") == 1
    assert "no model repository of this project" in capsys.readouterr().err
    assert make(files, files / "labels.txt", "--force") == 1
    assert "is a file" in capsys.readouterr().err
    assert make(files, files / "labels.txt" / "models") == 1
    assert "cannot write" in capsys.readouterr().err
    assert contents(files) == before


@pytest.mark.parametrize(
    "words", [["--labels=/none.txt"], ["--set=resnet50.network=/none.npz"], ["--set=resnet.threads=4"]]
)
def test_where_it_fails_nothing_is_left_or_lost(files: Path, tmp_path: Path, words: list[str]) -> None:
    before = set(tmp_path.iterdir())
    assert make(files, tmp_path / "models", *words) == 1
    assert set(tmp_path.iterdir()) == before
    assert make(files, tmp_path / "models") == 0
    kept = contents(tmp_path / "models")
    assert make(files, tmp_path / "models", "--force", *words) == 1
    assert contents(tmp_path / "models") == kept
    assert set(tmp_path.iterdir()) == {*before, tmp_path / "models"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fcweights={}/labels.txt"], "labels.txt: line 1"),
        (["--set=resnet50.network={}/labels.txt"], "labels.txt"),
        (["--labels={}/fcweights.csv"], "fcweights.csv"),
        (["--set=resnet50.channel_order=RBG"], "is 'RBG': it must be BGR or RGB"),
        (["--card=sofware:0"], "did you mean 'software:0'?"),
        (["--set=resnet50.standby=card1"], "a card is named KIND:INDEX"),
        (["--card=xrt:0"], "this xclbin is for software cards, and the card is 'xrt:0'"),
    ],
)
def test_what_no_triton_could_load_is_not_written(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert make(files, tmp_path / "models", *(word.format(files) for word in words)) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_others_can_read_it_and_its_owner_can_write_it(files: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(default_repository(), source)
    for path in source.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)  # as an installed package may be
    assert make(files, tmp_path / "models", f"--models={source}") == 0
    for path in (tmp_path / "models", *(tmp_path / "models").rglob("*")):
        assert path.stat().st_mode & (stat.S_IROTH | stat.S_IWUSR) == stat.S_IROTH | stat.S_IWUSR, path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--sample DIRECTORY"),
        (["--xclbin=a"], "both --xclbin and --fcweights"),
        (["--sample=a", "--labels=b"], "--sample has its own files"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["make-repository", "-o", "models", *words])
    assert message in capsys.readouterr().err
