"""Tasks of MTEB, whose data come from a hub on loopback: the package itself is asked, and says what sentence-transformers says."""
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from hub_on_loopback import serve

from ppde_nbdev.corpora import embedded_file

CODE = """
import json, sys
from ppde_nbdev.compare import mteb_figures
from ppde_nbdev.evaluate import Memory, load_sts, _spearman
from ppde_nbdev.recipe import InputError
from ppde_nbdev.teacher import load_model
teacher = load_model("sentence-transformers/all-MiniLM-L6-v2", device="cpu")
try: figures = mteb_figures(teacher, sys.argv[1:])
except InputError as error: sys.exit(f"error: {error}")
pairs = load_sts("embedded")[:40]
print(json.dumps([figures, _spearman(Memory(teacher), *zip(*pairs))]))
"""


def measure(hub, *tasks: str) -> subprocess.CompletedProcess:
    "Measure the teacher in a process of its own."
    return subprocess.run([sys.executable, "-c", CODE, *tasks], env=os.environ | hub.environment, capture_output=True, text=True, timeout=300)


def write_task(folder: Path) -> None:
    "Lay out the data of STSBenchmark as the hub has it, with graded pairs of the package in it."
    repository = folder / "datasets" / "mteb" / "stsbenchmark-sts"
    repository.mkdir(parents=True)
    with embedded_file("sts_en").open(encoding="utf8", newline="") as file: rows = list(csv.reader(file))[:40]
    lines = [json.dumps({"sentence1": one, "sentence2": other, "score": float(score)}) for one, other, score in rows]
    (repository / "test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf8")


def test_a_task_is_measured_as_sentence_transformers_does(tmp_path):
    write_task(tmp_path)
    with serve(tmp_path) as hub: result = measure(hub, "STSBenchmark")
    assert result.returncode == 0, result.stderr
    figures, expected = json.loads(result.stdout.splitlines()[-1])
    assert list(figures) == ["STSBenchmark"] and abs(figures["STSBenchmark"] - expected) < 1e-3


def test_data_that_cannot_be_had_are_named(tmp_path):
    with serve(tmp_path) as hub: result = measure(hub, "STSBenchmark")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "error: STSBenchmark cannot be measured" in result.stderr.splitlines()[-1]
