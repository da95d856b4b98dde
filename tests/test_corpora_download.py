"""The real clients of the hub and of OPUS against servers on loopback, in processes of their own, with everything that goes wrong on a network."""
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_on_loopback import Fault, Hub, serve

COUNT = 3000
PAIRS = [(f"This is sentence number {number} of them.", f"Das hier ist der Satz mit der Nummer {number}.") for number in range(COUNT)]
CODE = """
import os, sys, time
real, hurry = time.sleep, float(os.environ.get("HURRY", 1))
time.sleep = lambda seconds: real(seconds / hurry)
from ppde_nbdev.corpora import find_corpora, load_pairs, read_pairs
from ppde_nbdev.recipe import InputError
try:
    for corpus in find_corpora(sys.argv[2:], sys.argv[1]): print(corpus.name, sum(len(read_pairs(path)) for path in corpus.files))
except InputError as error:
    print(f"ppde: {error}", file=sys.stderr)
    sys.exit(2)
"""


def write_hub(folder: Path, name: str = "parallel-sentences-tatoeba", splits=("train", "dev"), languages=("en-de", "en-fr")) -> None:
    "Lay out a data set as sentence-transformers' parallel sentences are."
    repository = folder / "datasets" / "sentence-transformers" / name
    table = pa.table({"english": [pair[0] for pair in PAIRS], "non_english": [pair[1] for pair in PAIRS]})
    card = "---\nconfigs:\n"
    for pair in languages:
        (repository / pair).mkdir(parents=True)
        card += f"- config_name: {pair}\n  data_files:\n" + "".join(f"  - split: {split}\n    path: {pair}/{split}-*\n" for split in splits)
        for split in splits: pq.write_table(table if split == "train" else table[:100], repository / pair / f"{split}-00000-of-00001.parquet", compression="none")
    (repository / "README.md").write_text(card + "---\n")


def write_opus(folder: Path, corpus: str = "Tatoeba", scores: bool = False) -> None:
    "Lay out a Moses archive."
    path = folder / "opus" / corpus / "de-en.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for language, side in (("de", 1), ("en", 0)): archive.writestr(f"{corpus}.de-en.{language}", "".join(pair[side] + "\n" for pair in PAIRS))
        if scores: archive.writestr(f"{corpus}.de-en.scores", "".join(f"{1 + number / COUNT}\n" for number in range(COUNT)))
        archive.writestr("README", "about")


def client(hub: Hub, *sources: str, part: str = "train", timeout: float = 120, hurry: float = 1) -> subprocess.CompletedProcess:
    "Ask for corpora in a process of its own, which waits between its tries `hurry` times as briefly as it would."
    return subprocess.run([sys.executable, "-c", CODE, part, *sources], env=os.environ | hub.environment | {"HURRY": str(hurry)}, capture_output=True, text=True, timeout=timeout)


def left_over(hub: Hub) -> list[str]:
    "Names of files in the client's cache that are not whole."
    cache = hub.folder / "client" / "ppde" / "corpora"
    return [path.name for path in cache.rglob("*") if path.name.endswith((".part", ".incomplete", ".zip", ".parquet")) or path.name == "record.json"]


def refusal(result: subprocess.CompletedProcess) -> str:
    "The one sentence that a refused client says."
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    assert sum(line.startswith("ppde: ") for line in lines) == 1
    return next(line for line in lines if line.startswith("ppde: "))


def test_a_corpus_from_the_hub_with_its_splits(tmp_path):
    write_hub(tmp_path)
    with serve(tmp_path) as hub:
        assert client(hub, "tatoeba").stdout == f"tatoeba {COUNT}\n"
        asked = len(hub.requests)
        assert client(hub, "tatoeba", part="dev").stdout == "tatoeba 100\n"
        assert client(hub, "Tatoeba").stdout == f"tatoeba {COUNT}\n"
        assert len(hub.requests) == asked, "what is there is fetched again"


def test_a_data_set_by_its_id(tmp_path):
    write_hub(tmp_path, "mine")
    with serve(tmp_path) as hub: assert client(hub, "sentence-transformers/mine:en-de").stdout == f"mine {COUNT}\n"


def test_opus_by_name_with_a_held_out_development_split(tmp_path):
    write_opus(tmp_path)
    with serve(tmp_path) as hub:
        assert client(hub, "opus:Tatoeba").stdout == f"Tatoeba {COUNT}\n"
        assert client(hub, "opus:Tatoeba", part="dev").stdout == f"Tatoeba {COUNT // 10}\n"


def test_opus_where_the_hub_has_not_got_it(tmp_path):
    write_opus(tmp_path)
    with serve(tmp_path) as hub: assert client(hub, "tatoeba").stdout == f"tatoeba {COUNT}\n"


@pytest.mark.parametrize("fault", [
    Fault(r"train-.*parquet", cut_after=20_000), Fault(r"train-.*parquet", status=500), Fault(r"train-.*parquet", status=429, headers={"Retry-After": "0"}),
    Fault(r"README.md", status=503), Fault(r"/tree/", status=500), Fault(r"/revision/", cut_after=10), Fault(r"train-.*parquet", slow=1.0),
], ids=str)
def test_the_hub_stumbles_once(tmp_path, fault):
    write_hub(tmp_path)
    with serve(tmp_path) as hub:
        hub.faults.append(fault)
        result = client(hub, "tatoeba")
        assert result.stdout == f"tatoeba {COUNT}\n", result.stderr
        assert fault.times == 0


@pytest.mark.parametrize("fault", [Fault(r"\.zip$", cut_after=20_000), Fault(r"\.zip$", status=500), Fault(r"\.zip$", status=429), Fault("opusapi", status=503), Fault("opusapi", cut_after=5), Fault(r"\.zip$", slow=1.0)], ids=str)
def test_opus_stumbles_once(tmp_path, fault):
    write_opus(tmp_path)
    with serve(tmp_path) as hub:
        hub.faults.append(fault)
        result = client(hub, "opus:Tatoeba")
        assert result.stdout == f"Tatoeba {COUNT}\n", result.stderr
        if fault.cut_after == 20_000: assert (("GET", "/opus/Tatoeba/de-en.zip", "bytes=20000-")) in hub.requests, "it does not resume"


def test_a_cut_hub_download_is_asked_for_again(tmp_path):
    write_hub(tmp_path)
    with serve(tmp_path) as hub:
        hub.faults.append(Fault(r"train-.*parquet", cut_after=20_000))
        assert client(hub, "tatoeba").stdout == f"tatoeba {COUNT}\n"
        assert sum(method == "GET" and "train-" in path for method, path, _ in hub.requests) == 2


def test_a_large_file_of_the_hub_goes_on_where_it_was_cut(tmp_path):
    write_hub(tmp_path, splits=("train",), languages=("en-de",))
    path = tmp_path / "datasets" / "sentence-transformers" / "parallel-sentences-tatoeba" / "en-de" / "train-00000-of-00001.parquet"
    padding = "x " * 4000 # the client writes ten MiB at a time, so the file must have more
    pq.write_table(pa.table({"english": [source + padding for source, _ in PAIRS], "non_english": [translation for _, translation in PAIRS]}), path, compression="none", use_dictionary=False)
    with serve(tmp_path) as hub:
        hub.faults.append(Fault("train-00000", cut_after=15 << 20))
        assert client(hub, "tatoeba").stdout == f"tatoeba {COUNT}\n"
    ranges = [asked for method, path, asked in hub.requests if method == "GET" and "train-00000" in path]
    assert len(ranges) == 2 and ranges[1] == f"bytes={10 << 20}-", ranges
    assert left_over(hub).count("record.json") == 1 and not [name for name in left_over(hub) if name.endswith(".incomplete")]


@pytest.mark.parametrize("fault", [Fault(".", status=404, times=1000), Fault(".", status=500, times=1000), Fault(".", status=429, times=1000)], ids=lambda fault: str(fault.status))
def test_a_server_that_never_gives_is_refused_in_a_sentence(tmp_path, fault):
    write_hub(tmp_path)
    write_opus(tmp_path)
    with serve(tmp_path) as hub:
        hub.faults.append(fault)
        said = refusal(client(hub, "tatoeba", timeout=400, hurry=50))
        assert "tatoeba" in said and "Hugging Face hub" in said and "OPUS" in said and "by hand" in said
        assert left_over(hub) == []


def test_a_truncated_archive_is_refused_and_not_left(tmp_path):
    write_opus(tmp_path)
    with serve(tmp_path) as hub:
        hub.faults.append(Fault(r"\.zip$", lose=500, times=1000))
        assert "damaged" in refusal(client(hub, "opus:Tatoeba"))
        assert left_over(hub) == []


def test_a_truncated_parquet_file_is_refused(tmp_path):
    write_hub(tmp_path)
    with serve(tmp_path) as hub:
        hub.faults.append(Fault(r"train-.*parquet", lose=500, times=1000))
        assert "parallel-sentences-tatoeba" in refusal(client(hub, "sentence-transformers/parallel-sentences-tatoeba:en-de"))


def test_no_network(tmp_path):
    hub = Hub(tmp_path, "http://127.0.0.1:9")
    said = refusal(client(hub, "tatoeba", timeout=400, hurry=50))
    assert "tatoeba" in said and "by hand" in said


def test_two_processes_want_the_same_corpus(tmp_path):
    write_opus(tmp_path)
    with serve(tmp_path) as hub:
        hub.faults.append(Fault(r"\.zip$", slow=1.0))
        clients = [subprocess.Popen([sys.executable, "-c", CODE, "train", "opus:Tatoeba"], env=os.environ | hub.environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        assert [process.communicate(timeout=120)[0] for process in clients] == [f"Tatoeba {COUNT}\n"] * 2
        assert sum(path.endswith(".zip") for _, path, _ in hub.requests) == 1


def test_code_in_a_data_set_is_not_run(tmp_path):
    repository = tmp_path / "datasets" / "evil" / "data"
    repository.mkdir(parents=True)
    (repository / "data.py").write_text("open('ran', 'w')")
    (repository / "README.md").write_text("---\n---\n")
    with serve(tmp_path) as hub:
        refusal(client(hub, "evil/data"))
        assert not Path("ran").exists()


def test_scores_of_an_archive_count(tmp_path):
    write_opus(tmp_path, "WikiMatrix", scores=True)
    code = "from ppde_nbdev.corpora import load_pairs; print(load_pairs(['opus:WikiMatrix'])[1][0])"
    with serve(tmp_path) as hub:
        result = subprocess.run([sys.executable, "-c", code], env=os.environ | hub.environment, capture_output=True, text=True)
        assert "'low score': 225," in result.stdout, result.stdout + result.stderr
