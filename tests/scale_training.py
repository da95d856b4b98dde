"""Measure the memory of training at scale: `python tests/scale_training.py 1000000`."""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import small_models
from datasets import Dataset
from safetensors.numpy import save_file
from scale_corpora import PEAK, write_corpus

from ppde_nbdev.corpora import load_pairs
from ppde_nbdev.recipe import CorpusParameters
from ppde_nbdev.teacher import sentence_keys

DIMENSION, STEPS = 768, 20
CHILD = PEAK + """
import json, sys
from datasets import Dataset, load_from_disk
from ppde_nbdev.distill import distill, training_examples
from ppde_nbdev.recipe import load_recipe
from ppde_nbdev.teacher import EmbeddingStore, load_model
folder, dimension, steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
student, store = load_model(str(folder / "student"), device="cpu"), EmbeddingStore(folder / "store", dimension)
training_examples(student.tokenizer, Dataset.from_file(str(folder / "pairs.arrow")), 64).save_to_disk(folder / "examples")
prepared, examples = peak_mib(), load_from_disk(folder / "examples")
history = distill(student, examples, store, load_recipe("bilingual", epochs=steps / len(examples) * 60, warmup_steps=0), folder / "training", progress=False)
model = sum(parameter.nbytes for parameter in student.parameters())
print(json.dumps({"examples": len(examples), "targets": len(store), "steps": history.steps, "prepared_mib": prepared, "peak_mib": peak_mib(), "model_and_optimizer_mib": 4 * model / 2**20}))
"""


def write_targets(folder: Path, pairs: Dataset, shard: int = 50_000) -> None:
    "Write a store of random targets, in the form of `03_teacher`."
    folder.mkdir()
    keys, generator = np.unique(sentence_keys(pairs["source"][:])), np.random.default_rng(0)
    for start in range(0, len(keys), shard):
        some = keys[start : start + shard]
        targets = generator.standard_normal((len(some), DIMENSION), dtype=np.float32).astype(np.float16)
        save_file({"keys": some, "embeddings": targets}, folder / f"{start:032x}.safetensors", metadata={"teacher": ""})


def measure(count: int, folder: Path) -> dict:
    "Train some steps on so many pairs in a process of its own; MiB, model and optimiser (weights, gradients, two moments) told apart."
    write_corpus(folder / "corpus.tsv", count, duplicates=0.0)
    pairs, _ = load_pairs([str(folder / "corpus.tsv")], parameters=CorpusParameters(max_pairs_per_file=10**9), path=folder / "pairs.arrow")
    write_targets(folder / "store", pairs)
    small_models.encoder(folder / "student", "wordpiece uncased", small_models.ENGLISH + small_models.GERMAN, dimension=DIMENSION)
    child = subprocess.run([sys.executable, "-c", CHILD, str(folder), str(DIMENSION), str(STEPS)], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    figures = json.loads(child.stdout.splitlines()[-1])
    return {"pairs": len(pairs), **figures, "besides_mib": figures["peak_mib"] - figures["model_and_optimizer_mib"]}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder: print(json.dumps(measure(int(sys.argv[1]), Path(folder)), indent=1))
