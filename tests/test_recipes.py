"""The recipe `card` is the published model's card, number by number."""
import tomllib

import pytest
from typer.testing import CliRunner

from ppde_nbdev.cli import app
from ppde_nbdev.recipe import RECIPES, load_recipe, recipe_to_toml

# https://huggingface.co/PM-AI/paraphrase-distilroberta-base-v2_de-en, and for what the card leaves open the script
# behind it, make_multilingual_sys.py of sentence-transformers
CARD = {
    "teacher": "sentence-transformers/paraphrase-distilroberta-base-v2", "student": "xlm-roberta-base",
    "corpora": ["tatoeba", "wikimatrix", "ted2020", "opensubtitles", "europarl", "news-commentary"],
    "batch_size": 64, "max_seq_length": 256, "max_sentence_chars": 600, "max_pairs_per_file": 1_000_000, "loss": "mse",
    "learning_rate": 2e-5, "epochs": 20, "eval_steps": 10_000, "warmup_steps": 10_000,
    "adam_epsilon": 1e-6, "weight_decay": 0.01, "max_gradient_norm": 1.0, "source_share": 1.0, "corpus_balance": 1.0,
    "embedding_learning_rate": 2e-5, "dropout": 0.1, "min_scores": {"wikimatrix": 1.075},
}


def test_card_is_printed_number_by_number():
    printed = tomllib.loads(CliRunner().invoke(app, ["recipe", "card"]).output)
    assert {key: printed[key] for key in CARD} == CARD
    assert "minutes" not in printed


def test_batches_of_the_card_are_never_cut_short_by_tokens():
    assert RECIPES["card"].batch_tokens >= RECIPES["card"].batch_size * RECIPES["card"].max_seq_length


@pytest.mark.parametrize("name", RECIPES)
def test_a_printed_recipe_is_read_back_as_it_was(tmp_path, name):
    path = tmp_path / f"{name}.toml"
    path.write_text(recipe_to_toml(RECIPES[name]), encoding="utf8")
    assert load_recipe(str(path)) == RECIPES[name]


@pytest.mark.parametrize("first, second", [("minutes", "epochs"), ("epochs", "minutes")])
def test_a_budget_replaces_the_other(first, second):
    assert getattr(load_recipe("bilingual", **{first: 3}), second) is None
