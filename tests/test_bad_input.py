"""What a user gets wrong ends with exit code 2 and one sentence that names the thing, never with a traceback."""
import json
import subprocess

import pytest
from conftest import SMALL, development_options, ppde
from typer.testing import CliRunner, Result

from ppde_nbdev.cli import app


def one_sentence(result: subprocess.CompletedProcess | Result) -> str:
    "The one line that a refused command says."
    code = result.returncode if isinstance(result, subprocess.CompletedProcess) else result.exit_code
    assert code == 2, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    complaints = [line for line in result.stderr.splitlines() if line.startswith("ppde: ")]
    assert len(complaints) == 1, result.stderr
    return complaints[0]


@pytest.mark.parametrize("arguments, named", [
    (["--train", "missing.tsv"], "missing.tsv"),
    (["--train", "missing-*.tsv"], "missing-*.tsv"),
    (["--dev", "missing.tsv"], "missing.tsv"),
    (["--sts-en", "missing.csv"], "missing.csv"),
    (["--train", "empty.tsv"], "empty.tsv"),
    (["--train", "one-column.tsv"], "one-column.tsv"),
    (["--train", "blank.tsv"], "blank.tsv"),
    (["--dev", "one-column.tsv"], "one-column.tsv"),
    (["--sts-de", "one-column.tsv"], "one-column.tsv"),
    (["--passages", "missing.json"], "missing.json"),
    (["--passages", "one-column.tsv"], "one-column.tsv"),
    (["--set", "learning_speed=1"], "learning_speed"),
    (["--set", "batch_tokens=none"], "batch_tokens"),
    (["--set", "seed"], "seed"),
    (["--minutes", "0"], "minutes"),
    (["unknown-key.toml"], "learning_speed"),
    (["broken.toml"], "broken.toml"),
    (["quikc"], "quikc"),
    (["--teacher", "missing-folder/model"], "missing-folder/model"),
    (["--student", "missing-folder/model"], "missing-folder/model"),
    (["--out", "empty.tsv"], "empty.tsv"),
    (["--out", "/proc/run"], "/proc/run"),
])
def test_bad_input_is_named(tmp_path, monkeypatch, arguments, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.tsv").touch()
    (tmp_path / "blank.tsv").write_text("\t\n\t\n", encoding="utf8")
    (tmp_path / "one-column.tsv").write_text("Only one column here.\nAnd here.\n", encoding="utf8")
    (tmp_path / "unknown-key.toml").write_text("learning_speed = 1\n", encoding="utf8")
    (tmp_path / "broken.toml").write_text("minutes = = 1\n", encoding="utf8")
    assert named in one_sentence(CliRunner().invoke(app, ["run", *arguments]))


def test_a_process_leaves_with_the_same_code_and_sentence(tmp_path):
    assert "missing.tsv" in one_sentence(ppde("run", "--train", "missing.tsv", folder=tmp_path))


def test_folder_of_another_run_is_not_touched(finished_run):
    folder, _ = finished_run
    before = (folder / "report.json").read_bytes()
    data = development_options(json.loads(before)["recipe"])
    assert "different: minutes" in one_sentence(CliRunner().invoke(app, ["run", "--out", str(folder), "--minutes", "3", *SMALL[2:], *data]))
    assert (folder / "report.json").read_bytes() == before


def test_no_hub_is_said(tmp_path):
    assert "no-such/model-anywhere" in one_sentence(CliRunner().invoke(app, ["run", "--teacher", "no-such/model-anywhere", "--out", str(tmp_path / "run")]))
