"""The store of teacher embeddings survives kills, bad disks, full disks and company."""
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fill_store import some_sentences
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from ppde_nbdev.recipe import InputError
from ppde_nbdev.teacher import EmbeddingStore, embed, embed_missing, fingerprint, load_model, open_store, sentence_keys

SCRIPT = Path(__file__).with_name("fill_store.py")


@pytest.fixture(scope="module")
def teacher() -> SentenceTransformer:
    "The small teacher that a package carries."
    return load_model("sentence-transformers/all-MiniLM-L6-v2", device="cpu")


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    "Sentences of the corpus in the package."
    return some_sentences(800)


def filling(folder: Path, *arguments: int, **options) -> subprocess.Popen:
    "Start to fill a store in a process of its own."
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, str(SCRIPT), str(folder), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finished(process: subprocess.Popen) -> str:
    "What a process printed that ended well."
    printed, problem = process.communicate(timeout=600)
    assert process.returncode == 0, problem
    return printed


def embeddings(folder: Path, teacher: SentenceTransformer, sentences: list[str]) -> np.ndarray:
    "What a store holds of the sentences."
    store = open_store(teacher, folder)
    return store[store.rows(sentences)]


def test_twenty_kills_change_no_embedding(tmp_path, teacher, sentences):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finished(filling(whole, 800, 8))
    printed = finished(filling(broken, 800, 8, 20))
    assert printed.startswith("20 kills"), printed
    assert 10 < int(printed.split()[2]) < 100, printed # kills fell while shards were made
    some = sentences[:800]
    assert np.array_equal(embeddings(whole, teacher, some), embeddings(broken, teacher, some))
    names = [{path.name for path in folder.rglob("*.safetensors")} for folder in (whole, broken)]
    assert names[0] == names[1]
    lost = int(printed.split()[4]) # held before a kill, not after it
    print(f"{printed.split()[0]} kills survived, {lost} of {len(some)} sentences lost")
    assert lost == 0


def test_two_processes_share_the_work_of_one_store(tmp_path, teacher, sentences):
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    finished(filling(whole, 600, 32))
    for process in [filling(shared, 600, 32) for _ in range(2)]: finished(process)
    some = sentences[:600]
    assert np.array_equal(embeddings(whole, teacher, some), embeddings(shared, teacher, some))
    assert len(open_store(teacher, shared)) == len(set(some)) # none twice


@pytest.mark.parametrize("place", [3, 60, 5000, -1])
def test_flipped_byte_is_found_and_its_sentences_encoded_again(tmp_path, teacher, sentences, place):
    some = sentences[:40]
    before = embed_missing(teacher, some, store := open_store(teacher, tmp_path), shard_size=16, progress=False)
    expected = store[before]
    file = sorted(store.folder.glob("*.safetensors"))[1]
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.warns(UserWarning, match=f"{file.stem}.*damaged"):
        rows = embed_missing(teacher, some, store := open_store(teacher, tmp_path), progress=False)
    assert np.array_equal(store[rows], expected)


def test_cut_off_shard_is_encoded_again(tmp_path, teacher, sentences):
    embed_missing(teacher, sentences[:40], store := open_store(teacher, tmp_path), shard_size=16, progress=False)
    file = next(store.folder.glob("*.safetensors"))
    for content in (file.read_bytes()[:1000], b""):
        file.write_bytes(content)
        with pytest.warns(UserWarning, match="damaged"): rows = embed_missing(teacher, sentences[:40], open_store(teacher, tmp_path), progress=False)
        assert rows.min() >= 0


def test_damaged_index_is_made_again(tmp_path, sentences):
    store = EmbeddingStore(tmp_path, 2)
    store.add(sentences[:100], vectors := np.arange(200, dtype=np.float32).reshape(100, 2))
    store.reload()
    file = next(tmp_path.glob("index-*.npy"))
    content = bytearray(file.read_bytes())
    content[-8] ^= 1
    file.write_bytes(content)
    store = EmbeddingStore(tmp_path, 2)
    assert np.array_equal(store[store.rows(sentences[:100])], vectors)


def test_store_of_another_teacher_is_refused(tmp_path, teacher, sentences):
    store = open_store(teacher, tmp_path)
    embed_missing(teacher, sentences[:10], store, progress=False)
    store.folder.rename(other := tmp_path / "other")
    with pytest.raises(InputError, match=f"another teacher.*{fingerprint(teacher)}"): EmbeddingStore(other, 384, "0" * 16)
    with pytest.raises(InputError, match="not of the teacher"): embed_missing(teacher, sentences[:10], EmbeddingStore(tmp_path / "new", 384, "0" * 16), progress=False)


def test_full_disk_is_one_sentence_and_keeps_what_is_done(tmp_path, teacher, sentences):
    def limit(): resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    embed_missing(teacher, sentences[:16], open_store(teacher, tmp_path), progress=False)
    process = filling(tmp_path, 100, 84, preexec_fn=limit)
    problem = process.communicate(timeout=600)[1].splitlines()[-1]
    assert process.returncode == 1
    assert problem.startswith("error: cannot write") and "--cache" in problem
    assert not list(tmp_path.rglob(".*.safetensors.*"))
    assert open_store(teacher, tmp_path).rows(sentences[:16]).min() >= 0


def test_adding_a_corpus_encodes_only_what_is_new(tmp_path, teacher, sentences):
    store = open_store(teacher, tmp_path)
    embed_missing(teacher, sentences[:50], store, progress=False)
    before = {path.name for path in store.folder.glob("*.safetensors")}
    embed_missing(teacher, sentences[30:70] * 2, store, progress=False)
    assert len(store) == len(set(sentences[:70]))
    assert before < {path.name for path in store.folder.glob("*.safetensors")}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.text(), max_size=30), max_size=4), st.lists(st.text(), max_size=10))
def test_store_finds_what_was_put_in_and_nothing_else(tmp_path_factory, parts, others):
    store, vector = EmbeddingStore(tmp_path_factory.mktemp("store"), 1), {}
    for part in parts:
        new = [sentence for sentence in dict.fromkeys(part) if sentence not in vector]
        vector |= {sentence: len(vector) + place for place, sentence in enumerate(new)}
        if new: store.add(new, np.array([[vector[sentence]] for sentence in new]))
        store.reload()
    assert [sentence in vector for sentence in others] == (store.rows(others) >= 0).tolist()
    if vector: assert store[store.rows(list(vector))][:, 0].tolist() == list(vector.values())


def test_four_million_embeddings_open_in_a_second_without_being_loaded(tmp_path):
    keys = np.arange(4_000_000, dtype=np.uint64)
    keys *= np.uint64(0x9E3779B97F4A7C15) # spread, and distinct since the factor is odd
    write_sparse_store(tmp_path, keys, 768)
    EmbeddingStore(tmp_path, 768) # makes the index
    started, before = time.perf_counter(), own_memory()
    store = EmbeddingStore(tmp_path, 768)
    rows = store.find(keys[:1])
    assert time.perf_counter() - started < 1
    assert own_memory() - before < 100e6
    assert len(store) == 4_000_000 and rows[0] >= 0
    some = np.random.default_rng(0).integers(0, 4_000_000, 10_000)
    assert min(seconds(lambda: store[some]) for _ in range(5)) < 0.5 # now they are in memory


def seconds(action) -> float:
    "How long an action takes."
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def own_memory() -> int:
    "Bytes of this process that are not mapped from files."
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")).split()[1]) * 1024


def write_sparse_store(folder: Path, keys: np.ndarray, dimension: int, shard_size: int = 8192):
    "Write shards whose embeddings are holes in their files, so that they take no room."
    for number, start in enumerate(range(0, len(keys), shard_size)):
        some = keys[start : start + shard_size]
        header = f'{{"__metadata__":{{"teacher":""}},"embeddings":{{"dtype":"F16","shape":[{len(some)},{dimension}],"data_offsets":[{8 * len(some)},{(8 + 2 * dimension) * len(some)}]}},"keys":{{"dtype":"U64","shape":[{len(some)}],"data_offsets":[0,{8 * len(some)}]}}}}'.encode()
        header += b" " * (-len(header) % 8)
        with open(folder / f"{number:032x}.safetensors", "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header + some.tobytes())
            file.truncate(8 + len(header) + (8 + 2 * dimension) * len(some))


def test_embeddings_of_any_model_are_those_of_encode(teacher, sentences):
    dense = SentenceTransformer(modules=[teacher[0], teacher[1], Dense(384, 100), Normalize()], device="cpu")
    dense.max_seq_length, dense.prompts, dense.default_prompt_name = 12, {"query": "query: "}, "query"
    for model in (teacher, dense):
        expected, found = model.encode(some := [*sentences[:150], "", " ", "a" * 3000]), embed(model, some)
        assert np.abs(found - expected).max() < 1e-5


def test_pool_of_two_processes_gives_the_same(tmp_path, teacher, sentences):
    pool = teacher.start_multi_process_pool(["cpu", "cpu"])
    try: rows = embed_missing(teacher, sentences[:200], store := open_store(teacher, tmp_path), progress=False, pool=pool)
    finally: teacher.stop_multi_process_pool(pool)
    expected = teacher.encode(sentences[:200])
    assert ((store[rows] * expected).sum(1) > 0.9999).all()
