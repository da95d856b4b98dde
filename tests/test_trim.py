"""Trimming loses nothing that text made of kept pieces could notice, for every kind of tokenizer."""
from typing import NamedTuple

import numpy as np
import pytest
import small_models
from hypothesis import assume, given, settings
from hypothesis import strategies as some
from sentence_transformers import SentenceTransformer
from skeletoken import TokenizerModel
from small_models import ELSEWHERE, ENGLISH, GERMAN, KINDS, ROBERTA
from transformers import XLMRobertaTokenizer

from ppde_nbdev.trim import choose_pieces, count_pieces, find_scripts, keep_pieces, plain_tokenizer, remove_pieces, required_pieces, segmentation_change, trim_student

SEEN = ENGLISH[:300] + GERMAN[:300]
# fragments of words, words, and characters that no piece covers, glued together in any way
fragments = some.sampled_from([word[start:] for sentence in SEEN[::7] for word in sentence.split() for start in (0, 2)] + [" ", "☃", "ж"])
texts = some.lists(some.tuples(fragments, some.sampled_from(["", " "])), min_size=1, max_size=8).map(lambda parts: "".join(map("".join, parts)))


class Pair(NamedTuple):
    "A model, the numbers of what it keeps, and what it has become."

    whole: SentenceTransformer
    kept: np.ndarray
    trimmed: SentenceTransformer


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory) -> Pair:
    whole = small_models.multilingual(tmp_path_factory.mktemp("whole"), request.param, size=4000)
    rules = TokenizerModel.from_transformers_tokenizer(whole.tokenizer)
    kept = choose_pieces(rules, count_pieces(whole.tokenizer, SEEN), find_scripts(SEEN), reserve=0)
    return Pair(whole, kept, keep_pieces(whole, kept))


def test_much_is_gone(pair):
    assert len(pair.trimmed.tokenizer) == len(pair.kept) < 0.9 * len(pair.whole.tokenizer)
    assert pair.trimmed[0].model.get_input_embeddings().num_embeddings == len(pair.kept)


@given(text=texts)
@settings(deadline=None, max_examples=200)
def test_text_of_kept_pieces_is_cut_as_before(pair, text):
    before = pair.whole.tokenizer(text)["input_ids"]
    assume(set(before) <= set(pair.kept))
    assert pair.kept[pair.trimmed.tokenizer(text)["input_ids"]].tolist() == before


@given(batch=some.lists(texts, min_size=1, max_size=5))
@settings(deadline=None, max_examples=30)
def test_its_embeddings_are_as_before(pair, batch):
    assume({number for text in batch for number in pair.whole.tokenizer(text)["input_ids"]} <= set(pair.kept))
    assert np.abs(pair.trimmed.encode(batch) - pair.whole.encode(batch)).max() < 1e-6


def test_the_corpus_is_cut_as_before(pair):
    assert segmentation_change(pair.whole.tokenizer, pair.trimmed.tokenizer, SEEN).sentences == 0


def test_unseen_latin_text_has_no_unknown_pieces(pair):
    change = segmentation_change(pair.whole.tokenizer, pair.trimmed.tokenizer, ENGLISH[300:] + GERMAN[300:])
    assert change.sentences > 0 and change.unknown_after == change.unknown_before


def test_a_saved_model_is_the_same(pair, tmp_path):
    pair.trimmed.save_pretrained(str(tmp_path))
    loaded = SentenceTransformer(str(tmp_path), device="cpu")
    assert loaded.tokenizer(SEEN)["input_ids"] == pair.trimmed.tokenizer(SEEN)["input_ids"]
    assert np.abs(loaded.encode(SEEN[::50]) - pair.whole.encode(SEEN[::50])).max() < 1e-6


def test_the_special_tokens_keep_their_meaning(pair):
    assert pair.trimmed.tokenizer.special_tokens_map == pair.whole.tokenizer.special_tokens_map
    assert pair.trimmed.tokenizer.pad_token_id == pair.whole.tokenizer.pad_token_id == pair.trimmed[0].model.config.pad_token_id
    required = required_pieces(TokenizerModel.from_transformers_tokenizer(pair.whole.tokenizer))
    assert set(pair.whole.tokenizer.all_special_ids) <= required <= set(pair.kept)


def test_a_reserve_keeps_more(pair):
    more = trim_student(pair.whole, SEEN, reserve=3900)
    assert len(more.tokenizer) > len(pair.kept)
    changes = [segmentation_change(pair.whole.tokenizer, some.tokenizer, GERMAN[300:]).sentences for some in (pair.trimmed, more)]
    assert changes[1] < changes[0]


def test_a_script_of_the_corpus_can_be_spelt(pair):
    spelt = trim_student(pair.whole, SEEN + [ELSEWHERE[0]] * 20, reserve=0)
    letters = [letter for letter in "абвгдеж" if pair.whole.tokenizer.unk_token_id not in pair.whole.tokenizer(letter)["input_ids"]]
    assert letters and all(spelt.tokenizer.unk_token_id not in spelt.tokenizer(letter)["input_ids"] for letter in letters)


def test_the_price_of_an_unknown_character_stays():
    "Unigram charges for it by its lowest score: without that piece, `жab` would become <unk> ab."
    scores = {"▁": -1.0, "жa": -15.0, "b": -15.0, "ab": -0.1, "zzz": -40.0, "<mask>": 0.0}
    tokenizer = XLMRobertaTokenizer(vocab=[*((special, 0.0) for special in ROBERTA), *scores.items()])
    rules = TokenizerModel.from_transformers_tokenizer(tokenizer)
    kept = choose_pieces(rules, count_pieces(tokenizer, ["жab", "ab"]), {"LATIN", "CYRILLIC"}, reserve=0)
    trimmed = plain_tokenizer(remove_pieces(tokenizer, kept), tokenizer)
    assert trimmed.tokenize("жab") == tokenizer.tokenize("жab") == ["▁", "жa", "b"]
