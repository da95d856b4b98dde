"""A finished run, to a hub and back: what is uploaded is the model, and what cannot be uploaded is said in one sentence."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hub_on_loopback import Fault, serve
from typer.testing import CliRunner

from ppde_nbdev.cli import app

TOKEN = {"HF_TOKEN": "hf_loopback"}


def publish(run: Path, *options: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    "Run `ppde publish` against the hub of an environment."
    command = [sys.executable, "-m", "ppde_nbdev.cli", "publish", str(run), "me/my-model", *options]
    return subprocess.run(command, env=os.environ | environment | TOKEN, capture_output=True, text=True, timeout=120)


@pytest.fixture
def copied(finished_run, tmp_path) -> Path:
    "A finished run of this test's own."
    return Path(shutil.copytree(finished_run[0], tmp_path / "run"))


def test_what_is_uploaded_is_the_model(copied, tmp_path):
    with serve(tmp_path) as hub: result = publish(copied, "--license", "apache-2.0", environment=hub.environment)
    assert result.returncode == 0, result.stderr
    assert f"uploaded to {hub.url}/me/my-model" in result.stdout
    there, here = tmp_path / "models" / "me" / "my-model", copied / "model"
    names = sorted(path.relative_to(here) for path in here.rglob("*") if path.is_file())
    assert sorted(path.relative_to(there) for path in there.rglob("*") if path.is_file()) == names
    assert all((there / name).read_bytes() == (here / name).read_bytes() for name in names)
    card = yaml.safe_load((there / "README.md").read_text(encoding="utf8").split("---")[1])
    assert card["license"] == "apache-2.0" and card["model-index"][0]["name"] == "my-model"


def test_dry_run_uploads_nothing(copied, tmp_path):
    with serve(tmp_path) as hub: result = publish(copied, "--dry-run", environment=hub.environment)
    assert result.returncode == 0 and "model.safetensors" in result.stdout and "nothing was uploaded" in result.stdout
    assert not [request for request in hub.requests if request[0] == "POST"] and not (tmp_path / "models").exists()


def test_refusal_is_one_sentence(copied, tmp_path):
    with serve(tmp_path) as hub:
        hub.faults.append(Fault("/api/repos/create", status=403, times=10))
        result = publish(copied, environment=hub.environment)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("ppde: cannot upload to me/my-model")


def test_run_that_has_not_finished(tmp_path):
    result = CliRunner().invoke(app, ["publish", str(tmp_path), "me/my-model"])
    assert result.exit_code == 2 and "report.json" in result.stderr
