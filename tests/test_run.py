"""End to end: the command leaves what it promises, goes on where it stopped, and never does a finished stage again."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import SMALL, development_options, ppde, write_small_corpus

from ppde_nbdev.teacher import embed, load_model

FIGURES = {"sts_en", "sts_de", "sts_en_de", "translation_en_de", "translation_de_en", "retrieval_en_en", "retrieval_de_de", "retrieval_de_en", "retrieval_en_de", "mse"}


def test_run_leaves_what_it_promises(finished_run):
    folder, output = finished_run
    assert {"model", "report.json", "report.md", "loss.png", "quality.png"} <= set(os.listdir(folder))
    for picture in ("loss.png", "quality.png"): assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    for model in ("teacher", "untrained", "trained"): assert model in output


def test_report_has_the_documented_names(finished_run):
    report = json.loads((finished_run[0] / "report.json").read_text(encoding="utf8"))
    for model in ("teacher", "initial", "student"): assert set(report[model]) == FIGURES
    assert set(report["seconds"]) == {"corpora", "student", "teacher", "evaluate before", "distill", "evaluate after"}
    assert report["recipe"]["epochs"] == 0.4 and report["versions"]["sentence-transformers"]
    assert report["steps"] > 0 and report["tokens"] > report["sentences"] > 0
    assert all(row["read"] == row["kept"] + sum(count for name, count in row.items() if name not in ("corpus", "read", "kept")) for row in report["corpora"])


def test_student_has_learnt(finished_run):
    report = json.loads((finished_run[0] / "report.json").read_text(encoding="utf8"))
    assert report["student"]["translation_de_en"] > report["initial"]["translation_de_en"] > report["teacher"]["translation_de_en"]
    assert report["student"]["mse"] < report["initial"]["mse"] < report["teacher"]["mse"]
    assert report["student"]["retrieval_de_en"] > report["teacher"]["retrieval_de_en"]


def test_model_loads_without_this_package(finished_run):
    code = "import sys; sys.modules['ppde_nbdev'] = None\nfrom sentence_transformers import SentenceTransformer as S\nprint(S('model').encode(['Hallo Welt']).shape)"
    result = subprocess.run([sys.executable, "-c", code], cwd=finished_run[0], capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    assert result.stdout.strip() == "(1, 384)", result.stderr


def test_finished_stages_are_not_done_again(finished_run):
    folder, _ = finished_run
    watched = [folder / "model" / "model.safetensors", folder / "work" / "initial" / "model.safetensors", folder / "work" / "teacher.json", folder / "work" / "history.json"]
    before = [path.stat().st_mtime_ns for path in watched]
    recipe = json.loads((folder / "report.json").read_text(encoding="utf8"))["recipe"]
    result = ppde("run", "--out", "run", *SMALL, *development_options(recipe), folder=folder.parent)
    assert result.returncode == 0 and result.stdout.count("done before") == 6
    assert [path.stat().st_mtime_ns for path in watched] == before


@pytest.mark.parametrize("stage", ["student", "teacher", "distill"])
def test_killed_run_goes_on(tmp_path, stage):
    options = ["run", "--out", "run", *SMALL[2:], "--epochs", "2", *write_small_corpus(tmp_path)]
    command = [sys.executable, "-u", "-m", "ppde_nbdev.cli", *options]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if line.startswith(stage): break
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "run" / "report.json").exists()
    result = ppde(*options, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "corpora (done before" in result.stdout
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf8"))
    assert report["student"]["mse"] < report["initial"]["mse"]


def test_interrupt_leaves_a_model(tmp_path):
    long = ["--epochs", "300", *SMALL[2:], "--set", "save_steps=10", *write_small_corpus(tmp_path)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    process = subprocess.Popen([sys.executable, "-u", "-m", "ppde_nbdev.cli", "run", "--out", "run", *long], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    while not list(tmp_path.glob("run/**/checkpoint-*/trainer_state.json")):
        assert process.poll() is None
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert process.returncode == 0
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf8"))
    assert report["scores"][-1]["step"] == report["steps"] > 0 # what was learnt last is judged by its own figure


def test_frozen_body_keeps_english(tmp_path):
    corpus = write_small_corpus(tmp_path)
    result = ppde("run", "--out", "run", *SMALL[2:], "--epochs", "2", *corpus, "--set", "freeze_body=true", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    english = [line.split("\t")[0] for line in (tmp_path / "small-dev.tsv").read_text(encoding="utf8").splitlines()]
    teacher, student = (embed(load_model(name, device="cpu"), english) for name in ("sentence-transformers/all-MiniLM-L6-v2", str(tmp_path / "run" / "model")))
    assert (teacher * student).sum(axis=1).min() > 0.9999
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf8"))
    assert report["student"]["mse"] < report["initial"]["mse"]
