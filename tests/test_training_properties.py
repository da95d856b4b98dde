"""Properties of what training stands on, for whatever sentences, sizes and seeds."""
import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as some

from ppde_nbdev.distill import RowSparseAdamW, TokenBatchSampler, draw_counts
from ppde_nbdev.student import NULL, align, count_links, prefer_rare, starting_embeddings

lengths = some.lists(some.integers(1, 90), min_size=1, max_size=200)
segments = some.lists(some.integers(0, 30), max_size=6, unique=True).map(np.array)


def examples(sizes: list[int], corpora: int) -> Dataset:
    "Examples of the given lengths, every second one a source."
    return Dataset(pa.table({
        "input_ids": [list(range(size)) for size in sizes], "target": list(range(len(sizes))),
        "is_source": [place % 2 == 1 for place in range(len(sizes))], "corpus": [f"corpus {place % corpora}" for place in range(len(sizes))],
    }))


@given(lengths, some.integers(1, 4), some.integers(1, 400), some.integers(1, 64), some.integers(0, 5))
@settings(deadline=None)
def test_an_epoch_holds_every_sentence_once_within_the_limits(sizes, corpora, batch_tokens, batch_size, seed):
    sampler = TokenBatchSampler(examples(sizes, corpora), batch_tokens, batch_size, source_share=1.0, balance=0.0, seed=seed, window=32)
    batches = list(sampler)
    assert sorted(place for batch in batches for place in batch) == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * max(sizes[place] for place in batch) <= batch_tokens


@given(some.lists(some.integers(1, 10_000), min_size=1, max_size=8), some.floats(0, 1))
def test_balance_never_gives_a_small_corpus_less_than_its_share(sizes, balance):
    counts = draw_counts(sizes, balance)
    assert abs(counts.sum() - sum(sizes)) <= len(sizes) / 2
    smallest = int(np.argmin(sizes))
    assert counts[smallest] >= sizes[smallest] - 1


@given(some.lists(some.tuples(segments, segments), min_size=1, max_size=30), some.integers(1, 6))
@settings(deadline=None)
def test_translation_probabilities_are_probabilities(pairs, iterations):
    links = count_links([target for target, _ in pairs], [source for _, source in pairs])
    probability = align(links, iterations)
    totals = np.bincount(links.target - NULL, probability)[np.unique(links.target) - NULL]
    assert np.allclose(totals, 1) and (probability >= 0).all()


@given(some.lists(some.tuples(segments, segments), min_size=1, max_size=30))
@settings(deadline=None)
def test_starting_embeddings_stay_among_the_old_ones(pairs):
    old = np.random.default_rng(0).normal(size=(31, 4)).astype(np.float32)
    links = count_links([target + 31 for target, _ in pairs], [source for _, source in pairs])
    start = starting_embeddings(old, links, align(links), [np.array([0])] * 31)
    assert (start[:31] == old).all() and np.isfinite(start).all()
    assert (start[31:] >= old.min(0) - 1e-5).all() and (start[31:] <= old.max(0) + 1e-5).all()


@given(some.lists(some.lists(some.integers(0, 7), min_size=8, max_size=8, unique=True), min_size=1, max_size=6), some.floats(0.01, 2.0))
@settings(deadline=None)
def test_row_sparse_adamw_is_adamw_where_every_row_is_touched(batches, clip):
    weights = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    tables = [torch.nn.Embedding(8, 3, sparse=sparse, _weight=weights.clone()) for sparse in (True, False)]
    sparse = RowSparseAdamW(tables[0].parameters(), max_gradient_norm=clip, lr=0.05, weight_decay=0.1)
    dense = torch.optim.AdamW(tables[1].parameters(), lr=0.05, weight_decay=0.1)
    for batch in batches:
        for table in tables: table(torch.tensor(batch)).pow(2).sum(1).mul(torch.arange(1.0, 9.0)).sum().backward()
        torch.nn.utils.clip_grad_norm_(tables[1].parameters(), clip)
        for optimiser in (sparse, dense):
            optimiser.step()
            optimiser.zero_grad()
    assert torch.allclose(tables[0].weight, tables[1].weight, atol=1e-5)
