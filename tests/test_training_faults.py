"""A run that is killed goes on with the batches that would have come, and ends where the uninterrupted one does."""
import json
import os
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ppde, write_small_corpus
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformerTrainer

from ppde_nbdev.cli import train_student
from ppde_nbdev.distill import DistillationTrainer
from ppde_nbdev.recipe import InputError, load_recipe

EPOCHS = ["--epochs", "2", "--set", "vocabulary_size=2000", "--set", "shift_pairs=32", "--set", "eval_steps=25", "--set", "eval_seconds=0", "--set", "save_steps=10", "--set", "warmup_steps=5", "--set", "batch_tokens=256"]


def weights(run):
    "The weights of a run's model."
    return load_file(run / "model" / "model.safetensors")


def killed_once(folder, options: list[str], seconds: float) -> bool:
    "Start the run, kill it after so many seconds of training, and say whether it was still at it."
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-u", "-m", "ppde_nbdev.cli", "run", "--out", "run", *EPOCHS, *options]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if line.startswith("distill"): break
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def test_killed_training_ends_with_the_same_weights(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken): folder.mkdir()
    assert ppde("run", "--out", "run", *EPOCHS, *write_small_corpus(whole), folder=whole).returncode == 0
    options, chance = write_small_corpus(broken), random.Random(0)
    lasted = json.loads((whole / "run" / "report.json").read_text(encoding="utf8"))["seconds"]["distill"] # quick machines are killed sooner
    kills = sum(killed_once(broken, options, chance.uniform(0.05, 0.18) * lasted) for _ in range(4))
    assert kills >= 3
    result = ppde("run", "--out", "run", *EPOCHS, *options, folder=broken)
    assert result.returncode == 0, result.stderr
    expected, found = weights(whole / "run"), weights(broken / "run")
    assert expected.keys() == found.keys()
    difference = max(np.abs(expected[name] - found[name]).max() for name in expected)
    reports = [json.loads((folder / "run" / "report.json").read_text(encoding="utf8")) for folder in (whole, broken)]
    print(f"{kills} kills survived, {reports[0]['sentences'] - reports[1]['sentences']} sentences lost, weights differ by at most {difference:.0e}")
    assert difference < 1e-5
    for name in ("steps", "sentences", "tokens"): assert reports[0][name] == reports[1][name]
    assert [entry["step"] for entry in reports[0]["losses"]] == [entry["step"] for entry in reports[1]["losses"]]


def test_two_processes_learn_as_one_with_the_same_global_batch(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two): folder.mkdir()
    common = ["run", "--out", "run", *EPOCHS[2:], "--epochs", "1"]
    assert ppde(*common, "--set", "gradient_accumulation_steps=2", *write_small_corpus(one), folder=one).returncode == 0
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(two / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "ppde_nbdev.cli", *common, *write_small_corpus(two)]
    result = subprocess.run(command, cwd=two, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("model and report") == 1 # one process speaks for both
    reports = [json.loads((folder / "run" / "report.json").read_text(encoding="utf8")) for folder in (one, two)]
    losses = [report["losses"] for report in reports]
    assert [entry["step"] for entry in losses[0]] == [entry["step"] for entry in losses[1]]
    # every step has the same two batches, and what is logged is the mean over the processes
    assert np.allclose(*([entry["loss"] for entry in some] for some in losses), rtol=1e-3)
    assert abs(reports[0]["student"]["mse"] - reports[1]["student"]["mse"]) < 0.02 * reports[0]["student"]["mse"]


def test_sampler_is_told_the_epoch_whatever_wraps_it(monkeypatch):
    told = []
    trainer = object.__new__(DistillationTrainer)
    trainer.sampler = SimpleNamespace(set_epoch=told.append)
    monkeypatch.setattr(SentenceTransformerTrainer, "_run_epoch", lambda self, **options: told.append(options["epoch"]))
    trainer._run_epoch(epoch=3)
    assert told == [3, 3]


def test_run_of_two_processes_is_not_gone_on_with_by_one(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "processes.json").write_text("2", encoding="utf8")
    with pytest.raises(InputError, match="begun by 2 processes, not 1"): train_student(tmp_path, load_recipe("quick"), SimpleNamespace(student=None))
