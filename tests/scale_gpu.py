"""Measure training on a GPU against the standard: `python tests/scale_gpu.py RUN`, with the folder of a finished `ppde run` for its sentences and its tokenizer."""
import copy
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoTokenizer, TrainerCallback, XLMRobertaConfig, XLMRobertaModel

from ppde_nbdev.benchmark import train_standard
from ppde_nbdev.distill import TokenBatchSampler, count_seen, distill, machine_limit, training_examples, training_operations
from ppde_nbdev.recipe import load_recipe
from ppde_nbdev.teacher import EmbeddingStore, sentence_keys

DIMENSION, ROWS = 768, 250_002 # XLM-R base: its width, and the rows of its vocabulary


class Pace(TrainerCallback):
    "Time the steps after the first ones, and end training after so many seconds of them."

    def __init__(self, seconds: float, skip: int = 20): self.seconds, self.skip, self.started = seconds, skip, None

    def on_step_end(self, arguments, state, control, **_):
        if state.global_step == self.skip: self.started = now()
        elif self.started and time.perf_counter() - self.started > self.seconds: control.should_training_stop = True

    def on_train_end(self, arguments, state, *_, **__): self.passed, self.steps = now() - self.started, state.global_step - self.skip


def now() -> float:
    "Tell the time at which the device has done all that it was told."
    if torch.cuda.is_available(): torch.cuda.synchronize()
    return time.perf_counter()


def large_student(folder: Path, tokenizer: str, layers: int = 12) -> SentenceTransformer:
    "Make a random student of XLM-R base's shape."
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer)
    XLMRobertaModel(XLMRobertaConfig(vocab_size=ROWS, num_hidden_layers=layers, max_position_embeddings=514, pad_token_id=tokenizer.pad_token_id), add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return SentenceTransformer(modules=[Transformer(str(folder), max_seq_length=128), Pooling(DIMENSION)])


def random_store(folder: Path, sentences: list[str]) -> EmbeddingStore:
    "Write a store of random targets of unit length, in the form of `03_teacher`."
    folder.mkdir()
    keys = np.unique(sentence_keys(sentences))
    vectors = np.random.default_rng(0).standard_normal((len(keys), DIMENSION)).astype(np.float32)
    save_file({"keys": keys, "embeddings": (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)}, folder / f"{0:032x}.safetensors", metadata={"teacher": ""})
    return EmbeddingStore(folder, DIMENSION)


def standard(student, pairs, store, seconds: float, batch_size: int, workers: int) -> float:
    "Tell the sentences per second of the standard."
    pace, cuda = Pace(seconds), torch.cuda.is_available()
    train_standard(copy.deepcopy(student), pairs, store[store.rows(pairs["source"][:])], batch_size, callbacks=[pace], bf16=cuda, dataloader_num_workers=workers)
    return 2 * batch_size * pace.steps / pace.passed


def here(student, examples, store, seconds: float, **changes) -> tuple[float, float]: # sentences per second, operations per second
    "Tell the rates of this project."
    pace, copied = Pace(seconds), copy.deepcopy(student)
    recipe = load_recipe("bilingual", minutes=60, words_first=0.0, source_share=1.0, save_steps=10**6, **changes)
    with tempfile.TemporaryDirectory() as folder: history = distill(copied, examples, store, recipe, folder, callbacks=[pace], progress=False)
    sampler = TokenBatchSampler(examples, recipe.batch_tokens, recipe.batch_size, recipe.source_share, recipe.corpus_balance, seed=recipe.seed)
    sentences, tokens = np.subtract([history.sentences, history.tokens], count_seen(sampler, pace.skip))
    return sentences / pace.passed, training_operations(copied, sentences, tokens) / pace.passed


def main(run: Path, seconds: float = 8.0, layers: int = 12, tokens: tuple[int, ...] = (32_768, 65_536, 131_072)) -> None:
    "Print what the device does."
    device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    limit = machine_limit(device, dtype)
    print(f"{torch.cuda.get_device_name() if device == 'cuda' else 'CPU'}, {limit / 1e12:.1f} TFLOP/s in a large {dtype} product", flush=True)
    pairs = Dataset.from_file(str(run / "work" / "pairs.arrow"))
    with tempfile.TemporaryDirectory() as folder:
        student, store = large_student(Path(folder, "student"), str(run / "work" / "initial"), layers), random_store(Path(folder, "store"), pairs["source"][:])
        examples = training_examples(student.tokenizer, pairs, 128)
        lengths = np.array([len(numbers) for numbers in examples["input_ids"][:]])
        for name, some in (("mixed", examples), ("20 to 30 tokens", examples.select(np.flatnonzero((lengths >= 20) & (lengths <= 30))))):
            for budget in tokens:
                for compiled in (False, True):
                    sentences, operations = here(student, some, store, seconds, batch_tokens=budget, batch_size=8192, compile=compiled)
                    print(f"this project, {name}, {budget:,} tokens to a batch{', compiled' * compiled}: {sentences:,.0f} sentences/s, {operations / limit:.0%} of the limit", flush=True)
        some = pairs.select(np.random.default_rng(0).permutation(len(pairs))[:60_000])
        for batch_size, workers in ((64, 8), (512, 8)) if device == "cuda" else ((64, 0),):
            print(f"standard, batches of {batch_size}: {standard(student, some, store, seconds, batch_size, workers):,.0f} sentences/s", flush=True)


if __name__ == "__main__": main(Path(sys.argv[1]), *map(float, sys.argv[2:3]))
