"""Figures are the evaluators' own, to the last digit, and every STS file gives the right figures or one clear sentence."""
import numpy as np
import pytest
from hypothesis import given, strategies
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator, InformationRetrievalEvaluator, MSEEvaluator, TranslationEvaluator

from ppde_nbdev.evaluate import HUB_STS, DevelopmentEvaluator, GradedPair, Memory, Passages, evaluate, load_development_data, load_sts, read_hub_sts, read_sts, search_ranks
from ppde_nbdev.recipe import InputError, load_recipe
from ppde_nbdev.retrieve import best_threshold, make_haystack, mine_pairs, nearest
from ppde_nbdev.teacher import load_model


@pytest.fixture(scope="module")
def teacher():
    return load_model("sentence-transformers/all-MiniLM-L6-v2", device="cpu")


@pytest.fixture(scope="module")
def data():
    return load_development_data(load_recipe("quick"))


def test_figures_are_the_evaluators_to_the_last_digit(teacher, data):
    figures = evaluate(teacher, data, teacher.encode(data.sources, batch_size=16))
    for name, pairs in (("sts_en", data.sts_en), ("sts_de", data.sts_de)):
        assert figures[name] == 100 * EmbeddingSimilarityEvaluator(*zip(*pairs), write_csv=False)(teacher)["spearman_cosine"]
    mixed = [EmbeddingSimilarityEvaluator([pair.first for pair in one], [pair.second for pair in other], [pair.score for pair in one], write_csv=False)(teacher)["spearman_cosine"] for one, other in ((data.sts_en, data.sts_de), (data.sts_de, data.sts_en))]
    assert figures["sts_en_de"] == np.mean([100 * value for value in mixed])
    accuracy = TranslationEvaluator(data.sources, data.translations, write_csv=False)(teacher)
    assert (figures["translation_en_de"], figures["translation_de_en"]) == (100 * accuracy["src2trg_accuracy"], 100 * accuracy["trg2src_accuracy"])
    assert figures["mse"] == -MSEEvaluator(data.sources, data.translations, teacher_model=teacher, batch_size=16, write_csv=False)(teacher)["negative_mse"]


def test_search_is_the_evaluators_to_the_last_digit(teacher, data):
    numbers = list(map(str, range(len(data.sources))))
    direct = InformationRetrievalEvaluator(dict(zip(numbers, data.translations)), dict(zip(numbers, data.sources)), {number: {number} for number in numbers}, write_csv=False)(teacher)
    ours = search_ranks(Memory(teacher), Memory(teacher), data.translations, data.sources, range(len(numbers)))
    assert ours == {name.removeprefix("cosine_"): value for name, value in direct.items()}
    sides = {"en": data.sources, "de": data.translations}
    assert evaluate(teacher, data._replace(passages=Passages(sides, sides, list(range(len(numbers))))))["retrieval_de_en"] == 100 * direct["cosine_mrr@10"]


def test_evaluation_while_training_is_the_same(teacher, data):
    figures, expected = DevelopmentEvaluator(data)(teacher), evaluate(teacher, data)
    assert {name: figures[name] for name in expected} == expected


ROWS = [("Er schläft, endlich.", "He sleeps.", 4.5), ("Sie sagt: „Ja“; er auch.", "The soup is hot.", 0.0), ("A | b", "Der Zug, der fuhr.", 2.25)]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
@pytest.mark.parametrize("header", ["", "sentence1,sentence2,score"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_every_separator_is_read(tmp_path, separator, header, ending, encoding):
    lines = [header.replace(",", separator)] if header else []
    lines += [separator.join(f'"{field}"' for field in row) for row in ROWS]
    (tmp_path / "sts.csv").write_bytes(ending.join([*lines, ""]).encode(encoding))
    assert read_sts(tmp_path / "sts.csv") == [GradedPair(*row) for row in ROWS]


def test_decimal_commas_are_read(tmp_path):
    (tmp_path / "sts.csv").write_text("Er schläft.;He sleeps.;4,5\nSie isst.;He sleeps.;0,25\n", encoding="utf8")
    assert [pair.score for pair in read_sts(tmp_path / "sts.csv")] == [4.5, 0.25]


@pytest.mark.parametrize("content, complaint", [
    (b"a,b,3\nc,d,\n", "row 2, lacks a score"),
    (b"a,b,3\nc,d\n", "row 2, has 2 columns"),
    (b"a,b,3\n,d,4\n", "row 2, lacks a sentence"),
    (b"a,b,3\nc,d,5.5\n", "row 2, has the score 5.5"),
    (b"a,b,3\nc,d,-1\n", "row 2, has the score -1"),
    (b"a,b,3\nc,d,nan\n", "row 2, has the score nan"),
    (b"a,b,3\nc,d,good\n", "'good', which is no number"),
    (b"a,b,3\nc,d,3\n", "two rows with different scores"),
    (b"a,b,3\n", "two rows with different scores"),
    (b"Only one sentence.\n", "columns instead of 3"),
    (b"a,b,3\na,b,4\n", "same two sentences"),
    (b"a,a,3\nb,b,4\n", "with itself"),
    (b"", "two rows"),
    (b"sentence1,sentence2,score\n", "two rows"),
    (b"\xff\xfe\x00a", "UTF-8"),
    (b'a,b,3\n"never closed,d,4\n', "columns instead of 3"),
])
def test_bad_sts_files_are_named(tmp_path, content, complaint):
    (tmp_path / "sts.csv").write_bytes(content)
    with pytest.raises(InputError) as error: read_sts(tmp_path / "sts.csv")
    assert "sts.csv" in str(error.value) and complaint in str(error.value) and "\n" not in str(error.value)


def test_a_hundred_thousand_rows_are_read(tmp_path):
    rows = [(f"Satz {number}", f"sentence {number}", (number % 51) / 10) for number in range(100_000)]
    (tmp_path / "sts.tsv").write_text("".join(f"{first}\t{second}\t{score}\n" for first, second, score in rows), encoding="utf8")
    assert read_sts(tmp_path / "sts.tsv") == rows


def test_a_collapsed_model_agrees_with_nobody(teacher, data):
    class Collapsed(Memory):
        def encode(self, sentences, **options): return np.ones_like(super().encode(sentences, **options))

    from ppde_nbdev.evaluate import sts_figures
    assert set(sts_figures(Collapsed(teacher), data).values()) == {0.0}


def test_sts_from_the_hub_comes_by_name(monkeypatch):
    from datasets import Dataset
    asked = []
    rows = Dataset.from_dict({"sentence1": ["a", "c"], "sentence2": ["b", "d"], "similarity_score": [4.5, 0.0]})
    monkeypatch.setattr("ppde_nbdev.evaluate.load_dataset", lambda *where, **options: asked.append((where, options)) or rows)
    assert load_sts("stsb-de") == [("a", "b", 4.5), ("c", "d", 0.0)]
    assert asked == [(("PhilipMay/stsb_multi_mt", "de"), {"split": "test"})]


@pytest.mark.parametrize("name", HUB_STS)
def test_a_hub_out_of_reach_is_said(name, monkeypatch):
    monkeypatch.setattr("ppde_nbdev.evaluate.load_dataset", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("no route")))
    with pytest.raises(InputError, match=name): read_hub_sts(name)


@given(strategies.integers(1, 30), strategies.integers(1, 30), strategies.integers(1, 6), strategies.integers(0, 2**32 - 1))
def test_mined_pairs_are_one_to_one_and_ordered(sources, translations, neighbours, seed):
    generator = np.random.default_rng(seed)
    mined = mine_pairs(generator.normal(size=(sources, 8)), generator.normal(size=(translations, 8)), neighbours)
    assert len(set(mined.sources)) == len(set(mined.translations)) == len(mined.margins) >= 1
    assert (np.diff(mined.margins) <= 0).all()


@given(strategies.lists(strategies.booleans(), min_size=1, max_size=40), strategies.integers(0, 5))
def test_no_threshold_is_better_than_the_best(right, missed):
    right = np.array(right)
    margins = np.linspace(2, 1, len(right))
    total = int(right.sum()) + missed
    every = [200 * right[:taken].sum() / (taken + total) for taken in range(1, len(right) + 1) if total]
    assert best_threshold(margins, right, total).f1 == pytest.approx(max(every, default=0))


def test_margin_beats_cosine_where_hubs_are():
    "A hub, near to everything, draws every sentence by cosine; the margin sees through it."
    generator = np.random.default_rng(0)
    sources = generator.normal(size=(200, 16)) + 2
    translations = sources + generator.normal(size=(200, 16)) * 0.8
    translations[0] = translations.mean(0)
    by_margin = mine_pairs(sources, translations)
    by_cosine = nearest(sources, translations, 1)[1][:, 0]
    assert (by_margin.sources == by_margin.translations).sum() > (by_cosine == np.arange(200)).sum()


def test_a_haystack_hides_only_its_middle():
    english, german = ([f"{word} {number}" for number in range(9)] for word in ("sentence", "Satz"))
    haystack = make_haystack(english, german)
    assert haystack.right == {(f"sentence {number}", f"Satz {number}") for number in (3, 4, 5)}
    assert set(haystack.sources) == set(english[:6]) and set(haystack.translations) == set(german[3:])
