"""The corpus in the package is what its data card says: large enough, varied, and written rather than filled in."""
import re
from collections import Counter, defaultdict

import pytest

from ppde_nbdev.corpora import embedded_file, read_pairs
from ppde_nbdev.evaluate import read_sts

SIDES = ("source", "translation")


def words(sentence: str) -> list[str]:
    "The words of a sentence, in lower case."
    return re.findall(r"\w+", sentence.lower())


def alike(sentences: list[str], share: float = 0.7) -> list[tuple[str, str]]:
    "Sentences that share more than so many of their words, counted against the shorter one."
    sets, holders = [frozenset(words(sentence)) for sentence in sentences], defaultdict(list)
    frequency = Counter(word for some in sets for word in some)
    for number, some in enumerate(sets):
        for word in some: holders[word].append(number)
    found = set()
    for number, some in enumerate(sets):
        # a longer sentence that shares so many words shares at least one of this one's rarest few
        rarest = sorted(some, key=lambda word: (frequency[word], word))[: len(some) - int(share * len(some))]
        longer = {other for word in rarest for other in holders[word] if other != number and len(sets[other]) >= len(some)}
        found |= {(max(number, other), min(number, other)) for other in longer if len(some & sets[other]) > share * len(some)}
    return [(sentences[later], sentences[earlier]) for later, earlier in sorted(found)]


def is_passage(row: str) -> bool:
    "Whether a row is a passage, whose many words would be like those of any short sentence."
    return len(words(row)) > 45


def long_sentences(row: str) -> list[str]:
    "The sentences of a row that have 8 words or more."
    return [sentence for sentence in re.split(r"(?<=[.!?]) (?=[A-ZÄÖÜ„\"])", row) if len(words(sentence)) >= 8]


@pytest.fixture(scope="module")
def pairs() -> dict[str, dict[str, list[str]]]:
    return {part: {side: read_pairs(embedded_file(part))[side][:] for side in SIDES} for part in ("train", "examples", "dev")}


def test_alike_finds_a_filled_in_template():
    assert alike(["Der Hund schläft im Garten.", "Der Hund schläft im Haus.", "Wir lesen gern."]) == [("Der Hund schläft im Haus.", "Der Hund schläft im Garten.")]


def test_there_is_enough(pairs):
    assert len(pairs["train"]["source"]) >= 15_000 and len(pairs["dev"]["source"]) >= 300
    german = pairs["train"]["translation"] + pairs["dev"]["translation"]
    assert len(pairs["examples"]["source"]) >= 30_000
    assert sum(sentence.endswith("?") for sentence in pairs["examples"]["translation"]) >= 7_000
    assert sum(map(is_passage, pairs["examples"]["translation"])) >= 450
    assert len({word for sentence in german for word in words(sentence)}) >= 25_000


@pytest.mark.parametrize("part, longest", [("train", 35), ("examples", 140), ("dev", 35)])
def test_every_sentence_has_at_least_3_words_and_not_too_many(pairs, part, longest):
    for side in SIDES:
        assert [sentence for sentence in pairs[part][side] if not 3 <= len(words(sentence)) <= longest] == []


def test_examples_show_words_of_the_list_that_the_other_sentences_lack(pairs):
    shown = {part: {word for sentence in pairs[part]["translation"] for word in words(sentence)} for part in ("train", "examples")}
    listed = {max(words(entry), key=len) for entry in read_pairs(embedded_file("words"))["translation"][:]}
    assert len(listed & shown["examples"] - shown["train"]) >= 6_000


def test_no_two_pairs_are_alike(pairs):
    for side in SIDES:
        rows = pairs["train"][side] + pairs["examples"][side] + pairs["dev"][side]
        assert alike([row for row in rows if not is_passage(row)]) == []


def test_no_passage_says_what_another_pair_says(pairs):
    for side in SIDES:
        rows = pairs["train"][side] + pairs["examples"][side] + pairs["dev"][side]
        passages = {sentence for row in rows if is_passage(row) for sentence in long_sentences(row)}
        assert [found for found in alike([sentence for row in rows for sentence in long_sentences(row)]) if passages & set(found)] == []


def test_every_german_entry_of_the_word_list_stands_once():
    rows = read_pairs(embedded_file("words"))
    assert len(rows) >= 25_000 and len(set(rows["translation"][:])) == len(rows)
    assert [row for row in zip(*(rows[side][:] for side in SIDES)) if re.search(r"[/()\[\];|=]", "".join(row))] == []
    assert max(len(words(entry)) for entry in rows["translation"][:]) <= 6


def test_german_is_spelt_as_german(pairs):
    german = " ".join([*(sentence for part in pairs.values() for sentence in part["translation"]), *read_pairs(embedded_file("words"))["translation"][:]])
    assert all(letter in german for letter in "äöüßÄÖÜ")
    assert re.search(r"\b(fuer|ueber|koennen|moechte|groesse|strasse)\b", german.lower()) is None


def test_sts_grades_span_the_scale_and_correspond():
    english, german = (read_sts(embedded_file(part)) for part in ("sts_en", "sts_de"))
    assert len(english) == len(german) == 200
    assert [pair.score for pair in english] == [pair.score for pair in german]
    assert {round(pair.score) for pair in english} == set(range(6))
