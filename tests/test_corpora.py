"""Whatever bytes a file holds, reading ends in pairs or in one sentence; and cleaning invents, loses and reorders nothing."""
import bz2
import gzip
import io
import json
import lzma
import os
import tempfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scale_corpora import measure, write_corpus

from ppde_nbdev.corpora import REASONS, SeenHashes, clean_pairs, embedded_file, load_pairs, read_pairs
from ppde_nbdev.formats import MAGIC, PACKED, read_rows
from ppde_nbdev.recipe import CorpusParameters, InputError

PAIRS = [("Good night.", "Gute Nacht."), ("My back hurts.", "Mir tut der Rücken weh."), ("Mind the step!", "Achtung, Stufe!")]
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r"), max_size=30)
everything_may_pass = CorpusParameters(max_length_ratio=0, foreign_probability=1)


def read_bytes(content: bytes, name: str = "file.tsv") -> list[tuple[str, str]] | None:
    "The pairs of a file with this content; None when it is refused in a sentence that names it."
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try: return [(pair["source"], pair["translation"]) for rows in read_rows(path) for pair in rows.pairs.to_pylist()]
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            return None


def as_moses_zip() -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for side, language in enumerate(("en", "de")): archive.writestr(f"X.de-en.{language}", "".join(pair[side] + "\n" for pair in PAIRS))
    return file.getvalue()


def as_table(write) -> bytes:
    write(pa.table({"en": [pair[0] for pair in PAIRS], "de": [pair[1] for pair in PAIRS]}), file := io.BytesIO())
    return file.getvalue()


def write_arrow(table, file):
    with pa.ipc.new_file(file, table.schema) as writer: writer.write_table(table)


TSV = "".join("\t".join(pair) + "\n" for pair in PAIRS).encode()
TMX = "<tmx version='1.4'><header/><body>" + "".join(f"<tu><tuv xml:lang='en'><seg>{en}</seg></tuv><tuv xml:lang='de'><seg>{de}</seg></tuv></tu>" for en, de in PAIRS) + "</body></tmx>"
PO = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n' + "".join(f'msgid "{en}"\nmsgstr "{de}"\n\n' for en, de in PAIRS)
XLIFF = "<xliff version='1.2'><file original='f' datatype='plaintext' source-language='en' target-language='de'><body>" + "".join(f"<trans-unit id='{number}'><source>{en}</source><target>{de}</target></trans-unit>" for number, (en, de) in enumerate(PAIRS)) + "</body></file></xliff>"
FILES = {
    "tsv": TSV, "gzip": gzip.compress(TSV), "bzip2": bz2.compress(TSV), "xz": lzma.compress(TSV), "zstd": pa.compress(TSV, "zstd", asbytes=True),
    "zip": as_moses_zip(), "parquet": as_table(pq.write_table), "arrow": as_table(write_arrow),
    "json": "".join(json.dumps({"en": en, "de": de}) + "\n" for en, de in PAIRS).encode(), "tmx": TMX.encode(), "tmx-16": TMX.encode("utf-16"), "po": PO.encode(), "xliff": XLIFF.encode(),
    "ding": "".join(f"{de} {{m}} [ugs.] :: {en} (note)\n" for en, de in PAIRS).encode(),
}


@pytest.mark.parametrize("form", FILES)
def test_every_format_gives_the_same_pairs_whatever_its_name(form):
    assert read_bytes(FILES[form], "without-ending") == PAIRS


def are_pairs_or_a_sentence(pairs: list[tuple[str, str]] | None) -> bool:
    "Whether what was read are pairs of text, or None, which `read_bytes` gives for an `InputError` alone."
    return pairs is None or all(len(pair) == 2 and all(isinstance(side, str) for side in pair) for pair in pairs)


@quick
@given(content=st.binary(max_size=300))
def test_any_bytes_end_in_pairs_or_in_a_sentence(content):
    assert are_pairs_or_a_sentence(read_bytes(content))


@quick
@given(magic=st.sampled_from([*MAGIC, *PACKED, b"<tmx>", b"<xliff>", b'msgid "', b'{"en": "a"}\n', b"a\tb\n", b"a :: b\n"]), content=st.binary(max_size=300))
def test_any_bytes_after_a_magic_number_end_in_pairs_or_in_a_sentence(magic, content):
    assert are_pairs_or_a_sentence(read_bytes(magic + content))


@quick
@given(form=st.sampled_from(list(FILES)), data=st.data())
def test_a_damaged_file_ends_in_pairs_or_in_a_sentence(form, data):
    whole = FILES[form]
    place = data.draw(st.integers(0, len(whole) - 1))
    pairs = read_bytes(whole[:place])
    assert pairs is None or len(pairs) <= len(PAIRS)
    assert are_pairs_or_a_sentence(read_bytes(whole[:place] + data.draw(st.binary(min_size=1, max_size=4)) + whole[place + 1:]))


@quick
@given(rows=st.lists(st.lists(texts, min_size=2, max_size=2), min_size=1, max_size=20))
def test_tabs_and_line_ends_are_all_that_counts(rows):
    rows = [row for row in rows if any(row)]
    kept = read_bytes(("".join("\t".join(row) + "\n" for row in rows)).encode())
    if kept is not None and len(kept) == len(rows): assert kept == [tuple(row) for row in rows] or rows[0][0].startswith("\ufeff")


@quick
@given(rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=30), held_out=st.lists(texts, max_size=3), repeat=st.booleans())
def test_cleaning_invents_loses_and_reorders_nothing(rows, held_out, repeat):
    rows = rows + rows if repeat else rows
    pairs = Dataset.from_dict({"source": [row[0] for row in rows], "translation": [row[1] for row in rows]})
    kept, dropped = clean_pairs(pairs, held_out=held_out)
    stripped = [tuple(side.strip() for side in row) for row in rows]
    found = list(zip(kept["source"][:], kept["translation"][:]))
    assert len(rows) == len(found) + sum(dropped.values())
    remaining = iter(stripped)
    assert all(pair in remaining for pair in found), "a kept pair is not in the input, or the order has changed"
    assert len({(source.lower(), translation.lower()) for source, translation in found}) == len(found)
    assert not {side.lower() for pair in found for side in pair} & {sentence.strip().lower() for sentence in held_out}


@quick
@given(parts=st.lists(st.lists(st.integers(0, 50), max_size=20), max_size=10))
def test_a_hash_is_new_once(parts):
    import numpy as np
    seen, known = SeenHashes(), set()
    for part in parts:
        expected = [value not in known and value not in part[:place] for place, value in enumerate(part)]
        assert seen.add(np.array(part, np.uint64)).tolist() == expected
        known |= set(part)


def test_the_first_of_duplicates_stays_across_files(tmp_path):
    (tmp_path / "a.tsv").write_text("Good night.\tGute Nacht.\nThank you.\tDanke.\n")
    (tmp_path / "b.tsv").write_text("thank you.\tDANKE.\nMy back hurts.\tMir tut der Rücken weh.\n")
    pairs, account = load_pairs([tmp_path / "*.tsv"])
    assert pairs["source"][:] == ["Good night.", "Thank you.", "My back hurts."] and pairs["corpus"][:] == ["a", "a", "b"]
    assert [row["duplicate"] for row in account] == [0, 1]
    assert all(row["read"] == row["kept"] + sum(row[reason] for reason in REASONS) for row in account)


def test_english_in_the_german_column_is_found_and_right_pairs_are_not():
    pairs = read_pairs(embedded_file("train"), max_pairs=400)
    wrong = Dataset.from_dict({"source": pairs["source"][:], "translation": pairs["source"][1:] + pairs["source"][:1]})
    assert clean_pairs(pairs)[1]["foreign language"] <= 2
    assert clean_pairs(wrong)[1]["foreign language"] >= 350


def test_thresholds_are_those_of_the_recipe():
    pairs = Dataset.from_dict({"source": ["Yes.", "I think that we should go home now."], "translation": ["Das ist das, was ich meine, ja, genau das.", "Heim."], "score": [1.0, 1.2]})
    assert clean_pairs(pairs, CorpusParameters(max_length_ratio=2))[1]["length ratio"] == 2
    assert clean_pairs(pairs, CorpusParameters(max_length_ratio=0, min_score=1.1))[1]["low score"] == 1
    assert len(clean_pairs(pairs, everything_may_pass)[0]) == 2


def test_an_archive_writes_nothing(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive: archive.writestr("../../escaped.tsv", TSV.decode())
    before = set(tmp_path.parent.rglob("*"))
    assert len(list(read_rows(tmp_path / "evil.zip"))[0].pairs) == len(PAIRS)
    assert set(tmp_path.parent.rglob("*")) == before


def test_a_half_written_result_is_not_left(tmp_path):
    (tmp_path / "bad.tsv").write_text("\t\n\t\n")
    with pytest.raises(InputError, match="bad.tsv"): load_pairs([embedded_file("dev"), tmp_path / "bad.tsv"], path=tmp_path / "pairs.arrow")
    assert os.listdir(tmp_path) == ["bad.tsv"]


def test_a_hundredth_of_the_large_benchmark(tmp_path):
    figures = measure(40_000, tmp_path)
    lines = (tmp_path / "corpus.tsv").read_text(encoding="utf8").splitlines()
    assert figures["account"]["read"] == len(lines) == 40_000
    assert figures["account"]["kept"] == len(set(lines)) == 40_000 - figures["account"]["duplicate"]
    assert figures["peak_mib"] < 1024 # half of what the full size may take; most of it is the libraries


def test_memory_does_not_grow_with_the_file(tmp_path):
    small, large = (measure(lines, tmp_path)["peak_mib"] for lines in (20_000, 200_000))
    assert large < small + 150
