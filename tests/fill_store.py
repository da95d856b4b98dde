"""Fill a store in a process of its own, to be killed, starved of disk or run twice: `fill_store.py FOLDER COUNT SHARD_SIZE [KILLS]`."""
import os
import random
import signal
import sys
import time

from ppde_nbdev.corpora import embedded_file, read_pairs
from ppde_nbdev.recipe import InputError
from ppde_nbdev.teacher import embed_missing, load_model, open_store


def some_sentences(count: int) -> list[str]:
    "Distinct sentences of the corpus in the package, in both languages."
    pairs = read_pairs(embedded_file("train"), max_pairs=4000)
    return list(dict.fromkeys([*pairs["source"], *pairs["translation"]]))[:count]


def count_shards(folder) -> int: return len(list(folder.glob("*.safetensors")))


def killed_child(fill, folder, shards: int, seconds: float) -> bool:
    "Fill in a child process, kill it so many seconds after so many shards, and say whether it was still at it."
    before, child = count_shards(folder), os.fork()
    if not child:
        fill()
        os._exit(0)
    while count_shards(folder) < before + shards: time.sleep(0.001)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    folder, count, shard_size, kills = sys.argv[1], *map(int, [*sys.argv[2:], 0][:3])
    teacher = load_model("sentence-transformers/all-MiniLM-L6-v2", device="cpu")
    sentences, chance = some_sentences(count), random.Random(0)
    store = open_store(teacher, folder)

    def fill(): embed_missing(teacher, sentences, store, shard_size=shard_size, progress=False)

    def held() -> set[str]:
        "The sentences whose embeddings are on the disk."
        return {sentence for sentence, row in zip(sentences, open_store(teacher, folder).rows(sentences)) if row >= 0}

    try:
        killed, lost, before = 0, 0, held()
        for _ in range(kills):
            killed += killed_child(fill, store.folder, chance.randrange(4), chance.uniform(0, 0.1))
            after = held()
            lost, before = lost + len(before - after), after
        print(f"{killed} kills, {count_shards(store.folder)} shards, {lost} sentences lost", flush=True)
        fill()
    except InputError as error: sys.exit(f"error: {error}")
