"""What several tests stand on: the command as a user runs it, and one small finished run."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

os.environ.setdefault("HF_HUB_OFFLINE", "1") # before anything imports the hub's client: no test waits for it
os.environ.pop("FORCE_COLOR", None) # a notebook's kernel sets it, and lines would not begin with their words

from ppde_nbdev.corpora import embedded_file

# by epochs, not by minutes: a busy machine takes longer, and learns the same
SMALL = ["--epochs", "0.4", "--set", "max_pairs_per_file=2000", "--set", "vocabulary_size=2000", "--set", "shift_pairs=32", "--set", "swapped_pairs=50", "--set", "eval_steps=100000", "--set", "warmup_steps=5"]


def ppde(*arguments: str, folder: Path, **options) -> subprocess.CompletedProcess:
    "Run the command in a process of its own, in `folder`, without the hub."
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run([sys.executable, "-m", "ppde_nbdev.cli", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, **options)


def write_small_corpus(folder: Path) -> list[str]:
    "Write 400 pairs to train on and 40 to develop on, and give the options that name them and leave STS out."
    for part, rows in (("train", 400), ("dev", 40)):
        lines = embedded_file(part).read_text(encoding="utf8").splitlines(keepends=True)
        (folder / f"small-{part}.tsv").write_text("".join(lines[:rows]), encoding="utf8")
    return ["--train", "small-train.tsv", "--dev", "small-dev.tsv", "--set", "sts_en=", "--set", "sts_de="]


def write_small_development_data(folder: Path) -> list[str]:
    "Write 100 pairs, 60 rows of STS in both languages and 20 passages to develop on, and give the options that name them."
    paths = {part: folder / f"few-{part}{embedded_file(part).suffix}" for part in ("dev", "sts_en", "sts_de")}
    for (part, path), rows in zip(paths.items(), (100, 60, 60)):
        path.write_text("".join(embedded_file(part).read_text(encoding="utf8").splitlines(keepends=True)[:rows]), encoding="utf8")
    pairs = [line.split("\t")[:2] for line in embedded_file("dev").read_text(encoding="utf8").splitlines()[100:120]]
    paths["passages"] = folder / "few-passages.json" # each sentence asks for itself
    paths["passages"].write_text(json.dumps({"contexts": pairs, "questions": [[*pair, number] for number, pair in enumerate(pairs)]}), encoding="utf8")
    return development_options(paths)


def development_options(recipe: dict) -> list[str]:
    "The options that name the development data of a recipe."
    return ["--dev", str(recipe["dev"]), "--sts-en", str(recipe["sts_en"]), "--sts-de", str(recipe["sts_de"]), "--passages", str(recipe["passages"])]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, request) -> tuple[Path, str]:
    "The folder of a small run that has ended, and what it printed. Processes that test at the same time make one and copy it."
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if hasattr(request.config, "workerinput") else base) / "finished" # a worker's folder lies in that of all
    with FileLock(made.with_suffix(".lock")):
        if not (made / "said.txt").exists():
            made.mkdir(exist_ok=True)
            result = ppde("run", "--out", "run", *SMALL, *write_small_development_data(made), folder=made)
            assert result.returncode == 0, result.stderr
            (made / "said.txt").write_text(result.stdout, encoding="utf8")
    mine = shutil.copytree(made, tmp_path_factory.mktemp("copied") / "finished")
    return mine / "run", (mine / "said.txt").read_text(encoding="utf8")
