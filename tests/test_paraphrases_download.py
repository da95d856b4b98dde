"""English paraphrases by the card's names, from a hub on loopback: every record format, and the giants streamed."""
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hub_on_loopback import Hub, serve

from ppde_nbdev.paraphrases import PARAPHRASES, STREAMED, TRAINING_DATA

COUNT = 500
CODE = """
import json, sys
from ppde_nbdev.paraphrases import find_english, load_paraphrases, read_english
from ppde_nbdev.recipe import InputError
try: print(json.dumps({name: [load_paraphrases(name, 100).column_names, read_english(find_english([name])[0], 50)] for name in sys.argv[1:]}))
except InputError as error:
    print(f"ppde: {error}", file=sys.stderr)
    sys.exit(2)
"""
RECORDS = {
    "msmarco-triplets": lambda number: {"query": f"question {number}", "pos": [f"answer {number}"], "neg": [f"other {number}"]},
    "S2ORC_citation_pairs": lambda number: [f"paper {number}", f"cited {number} {os.urandom(400).hex()}"], # cannot be compressed
    "wiki-atomic-edits": lambda number: {"set": [f"before {number}", f"after {number}"]},
}


def write_paraphrases(folder: Path, name: str) -> None:
    "Lay out a set of paraphrases as the hub has it."
    place = PARAPHRASES[name]
    repository = folder / "datasets" / place.hub
    if place.file:
        repository.mkdir(parents=True, exist_ok=True)
        with gzip.open(repository / place.file, "wt", encoding="utf8", newline="\n") as file:
            for number in range(COUNT * (40 if name in STREAMED else 1)): file.write(json.dumps(RECORDS[name](number)) + "\n")
        return
    config = place.config or "pair"
    columns = ("anchor", "positive", "negative")[: 3 if config == "triplet" else 2]
    (repository / config).mkdir(parents=True)
    pq.write_table(pa.table({column: [f"{column} {number}" for number in range(COUNT)] for column in columns}), repository / config / "train-00000-of-00001.parquet")
    (repository / "README.md").write_text(f"---\nconfigs:\n- config_name: {config}\n  data_files:\n  - split: train\n    path: {config}/train-*\n---\n")


def client(hub: Hub, *names: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", CODE, *names], env=os.environ | hub.environment, capture_output=True, text=True, timeout=300)


def test_every_set_of_the_card_is_read(tmp_path):
    for name in PARAPHRASES: write_paraphrases(tmp_path, name)
    with serve(tmp_path) as hub: result = client(hub, *PARAPHRASES)
    assert result.returncode == 0, result.stderr
    read = json.loads(result.stdout)
    triplets = {name for name, (columns, _) in read.items() if columns == ["anchor", "positive", "negative"]}
    assert triplets == {"AllNLI", "msmarco-triplets"} and len(read) == 12
    assert all(len(sentences) == 50 == len(set(sentences)) for _, sentences in read.values())
    assert read["wiki-atomic-edits"][1][:2] == ["before 0", "after 0"] and read["msmarco-triplets"][1][:3] == ["question 0", "answer 0", "other 0"]


def test_a_giant_is_never_fetched_whole(tmp_path):
    write_paraphrases(tmp_path, "S2ORC_citation_pairs")
    size = (tmp_path / "datasets" / TRAINING_DATA / PARAPHRASES["S2ORC_citation_pairs"].file).stat().st_size
    with serve(tmp_path) as hub: result = client(hub, "S2ORC_citation_pairs")
    assert result.returncode == 0, result.stderr
    ranges = [asked for _, path, asked in hub.requests if path.endswith(".gz") and asked]
    assert ranges and size > 2 * (1 << 22)
    assert max(int(asked.removeprefix("bytes=").split("-")[1]) for asked in ranges) < size - 1
    assert not list((tmp_path / "client").rglob("S2ORC*"))


def test_what_the_hub_has_not_got_is_said(tmp_path):
    with serve(tmp_path) as hub: result = client(hub, "altlex")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "sentence-transformers/altlex" in next(line for line in result.stderr.splitlines() if line.startswith("ppde: "))
