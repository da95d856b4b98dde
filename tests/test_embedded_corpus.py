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


@pytest.fixture(scope="module")
def pairs() -> dict[str, dict[str, list[str]]]:
    return {part: {side: read_pairs(embedded_file(part))[side][:] for side in SIDES} for part in ("train", "dev")}


def test_alike_finds_a_filled_in_template():
    assert alike(["Der Hund schläft im Garten.", "Der Hund schläft im Haus.", "Wir lesen gern."]) == [("Der Hund schläft im Haus.", "Der Hund schläft im Garten.")]


def test_there_is_enough(pairs):
    assert len(pairs["train"]["source"]) >= 15_000 and len(pairs["dev"]["source"]) >= 300
    german = pairs["train"]["translation"] + pairs["dev"]["translation"]
    assert len({word for sentence in german for word in words(sentence)}) >= 25_000


def test_every_sentence_has_3_to_35_words(pairs):
    for part in pairs.values():
        for side in SIDES:
            assert [sentence for sentence in part[side] if not 3 <= len(words(sentence)) <= 35] == []


def test_no_two_pairs_are_alike(pairs):
    for side in SIDES: assert alike(pairs["train"][side] + pairs["dev"][side]) == []


def test_every_german_entry_of_the_word_list_stands_once():
    rows = read_pairs(embedded_file("words"))
    assert len(rows) >= 25_000 and len(set(rows["translation"][:])) == len(rows)
    assert [row for row in zip(*(rows[side][:] for side in SIDES)) if re.search(r"[/()\[\];|=]", "".join(row))] == []
    assert max(len(words(entry)) for entry in rows["translation"][:]) <= 6


def test_german_is_spelt_as_german(pairs):
    german = " ".join([*pairs["train"]["translation"], *pairs["dev"]["translation"], *read_pairs(embedded_file("words"))["translation"][:]])
    assert all(letter in german for letter in "äöüßÄÖÜ")
    assert re.search(r"\b(fuer|ueber|koennen|moechte|groesse|strasse)\b", german.lower()) is None


def test_sts_grades_span_the_scale_and_correspond():
    english, german = (read_sts(embedded_file(part)) for part in ("sts_en", "sts_de"))
    assert len(english) == len(german) == 200
    assert [pair.score for pair in english] == [pair.score for pair in german]
    assert {round(pair.score) for pair in english} == set(range(6))
