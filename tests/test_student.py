"""Every kind of student: grown from every kind of tokenizer, frozen, smaller, from a checkpoint; saved and loaded by plain sentence-transformers."""
import copy
import json
import subprocess
import sys

import numpy as np
import pytest
import small_models
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize
from small_models import ENGLISH, GERMAN, KINDS

from ppde_nbdev.recipe import InputError, load_recipe
from ppde_nbdev.sizes import has_unit_length, keep_layers, layer_list
from ppde_nbdev.student import common_shift, drop_new_pieces, freeze_body, grow_student, make_student, shift_new_pieces

SENTENCES = ["The doctor is coming tomorrow.", "Der schöne Arzt kommt schon morgen."]
CHANGES = {
    "grown": {}, "frozen": {"freeze_body": True}, "fewer layers": {"layers": 1}, "static": {"body": "static"}, "trimmed": {"student": "checkpoint", "reserve_pieces": 0},
    "whole": {"student": "checkpoint", "trim": False}, "trimmed, fewer layers": {"student": "checkpoint", "layers": 1}, "static from a checkpoint": {"student": "checkpoint", "body": "static"},
}


@pytest.fixture(scope="module", params=KINDS)
def teacher(request, tmp_path_factory) -> SentenceTransformer:
    return small_models.teacher(tmp_path_factory.mktemp("teacher"), request.param)


@pytest.fixture(scope="module")
def grown(teacher) -> SentenceTransformer:
    return grow_student(teacher, ENGLISH[:800], GERMAN[:800], vocabulary_size=1500)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    "A plain encoder of other dimensions than any teacher here."
    return str(small_models.encoder(tmp_path_factory.mktemp("checkpoint"), "unigram", ENGLISH + GERMAN, dimension=48, layers=3))


@pytest.fixture(scope="module")
def prompted(tmp_path_factory) -> SentenceTransformer:
    "A teacher that normalises and wants a prompt."
    teacher = small_models.teacher(tmp_path_factory.mktemp("prompted"), "wordpiece uncased")
    teacher.append(Normalize())
    teacher.prompts, teacher.default_prompt_name = {"query": "query: ", "passage": "passage: "}, "query"
    return teacher


def test_german_needs_fewer_pieces(teacher, grown):
    lengths = [sum(len(model.tokenizer.tokenize(sentence)) for sentence in GERMAN[800:]) for model in (teacher, grown)]
    assert lengths[1] < 0.85 * lengths[0]


def test_old_pieces_keep_number_and_embedding(teacher, grown):
    assert teacher.tokenizer.get_vocab().items() <= grown.tokenizer.get_vocab().items()
    old, new = (model[0].model.get_input_embeddings().weight for model in (teacher, grown))
    assert torch.equal(old, new[: len(old)]) and len(new) == len(grown.tokenizer)


def test_accents_make_a_difference(grown):
    assert grown.tokenizer.tokenize("schön") != grown.tokenizer.tokenize("schon")


def test_case_is_kept_as_the_teacher_has_it(teacher, grown):
    same = [model.tokenizer.tokenize("Doctor") == model.tokenizer.tokenize("doctor") for model in (teacher, grown)]
    assert same[0] == same[1]


def test_a_saved_student_is_the_same(grown, tmp_path):
    grown.save_pretrained(str(tmp_path))
    loaded = SentenceTransformer(str(tmp_path), device="cpu")
    assert loaded.tokenizer(SENTENCES + GERMAN)["input_ids"] == grown.tokenizer(SENTENCES + GERMAN)["input_ids"]
    assert np.abs(loaded.encode(SENTENCES) - grown.encode(SENTENCES)).max() < 1e-6


def test_frozen_english_is_the_teachers(teacher, grown):
    old = len(teacher.tokenizer)
    frozen = drop_new_pieces(grown, old, ENGLISH)
    plain = [sentence for sentence in ENGLISH if sentence.isascii()]
    assert [frozen.tokenizer.tokenize(sentence) for sentence in plain] == [teacher.tokenizer.tokenize(sentence) for sentence in plain]
    freeze_body(frozen, old)
    german = frozen.preprocess(GERMAN[:50])
    optimizer = torch.optim.AdamW([parameter for parameter in frozen.parameters() if parameter.requires_grad], lr=0.1, weight_decay=0.0)
    for _ in range(3):
        frozen(dict(german))["sentence_embedding"].pow(2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    cosine = torch.nn.functional.cosine_similarity(*(torch.tensor(model.encode(plain[:200])) for model in (teacher, frozen)))
    assert cosine.min() > 0.9999
    assert np.abs(frozen.encode(GERMAN[:50]) - grown.encode(GERMAN[:50])).max() > 0.01


def test_all_new_pieces_are_shifted_alike_and_no_old_one(teacher):
    still, old = grow_student(teacher, ENGLISH[:800], GERMAN[:800], vocabulary_size=1500, shift_pairs=0), len(teacher.tokenizer)
    shifted = copy.deepcopy(still)
    shift_new_pieces(shifted, teacher, ENGLISH[:800], GERMAN[:800])
    moved = np.subtract(*(model[0].model.get_input_embeddings().weight.detach().numpy() for model in (shifted, still)))
    assert not moved[:old].any() and np.abs(moved[old:] - moved[old:].mean(axis=0)).max() < 1e-5 < np.abs(moved[old:]).max()
    targets = teacher.encode(ENGLISH[800:1200])
    errors = [np.square(model.encode(GERMAN[800:1200]) - targets).mean() for model in (still, shifted)]
    assert errors[1] < errors[0]


def test_a_shift_that_was_made_is_found_and_undone(teacher, grown):
    moved, old = copy.deepcopy(grown), len(teacher.tokenizer)
    words = moved[0].model.get_input_embeddings().weight
    with torch.no_grad(): words[old:] += 0.1 * torch.randn(words.shape[1], generator=torch.Generator().manual_seed(0))
    sentences = sorted(GERMAN[:128], key=len)
    before, targets = moved.encode(sentences), grown.encode(sentences)
    found = common_shift(moved, old, sentences, targets, iterations=60)
    assert np.array_equal(moved.encode(sentences), before) # it is only looked for
    with torch.no_grad(): words[old:] += torch.from_numpy(found).to(words)
    assert np.square(moved.encode(sentences) - targets).mean() < 0.1 * np.square(before - targets).mean()
    assert np.abs(common_shift(grown, old, sentences, targets)).max() < 1e-3 # where nothing is missing, nothing is moved


@pytest.mark.parametrize("sparse", [False, True])
def test_frozen_rows_get_no_gradient(teacher, grown, sparse):
    old, student = len(teacher.tokenizer), grow_student(teacher, ENGLISH[:200], GERMAN[:200], vocabulary_size=800)
    freeze_body(student, old)
    words = student[0].model.get_input_embeddings()
    words.sparse = sparse
    student(student.preprocess(SENTENCES + GERMAN[:20]))["sentence_embedding"].pow(2).sum().backward()
    touched = words.weight.grad.to_dense().abs().sum(dim=1)
    assert words.weight.grad.is_sparse == sparse
    assert touched[:old].sum() == 0 and touched[old:].sum() > 0
    assert [name for name, parameter in student.named_parameters() if parameter.grad is not None] == ["0.model.embeddings.word_embeddings.weight"]


def test_layers_are_taken_evenly(tmp_path):
    twelve = small_models.teacher(tmp_path, "bpe", size=600, layers=12)
    six = keep_layers(twelve, 6)
    kept = [next(place for place, layer in enumerate(layer_list(twelve)) if torch.equal(layer.output.dense.weight, mine.output.dense.weight)) for mine in layer_list(six)]
    assert kept == [0, 2, 4, 7, 9, 11]


def test_each_kind_is_loaded_by_plain_sentence_transformers(prompted, checkpoint, tmp_path):
    students = {}
    for kind in CHANGES:
        changes = {key: checkpoint if value == "checkpoint" else value for key, value in CHANGES[kind].items()}
        students[kind] = make_student(load_recipe("quick", vocabulary_size=1000, **changes), prompted, ENGLISH[:600], GERMAN[:600])
        assert students[kind].get_embedding_dimension() == prompted.get_embedding_dimension() == 32, kind
        assert has_unit_length(students[kind]), kind
        students[kind].save_pretrained(str(tmp_path / kind))
        assert not [path for path in (tmp_path / kind).rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".py")], kind
    code = "import sys; sys.modules['ppde_nbdev'] = None; import json; from sentence_transformers import SentenceTransformer as S; kinds, sentences = map(json.loads, sys.argv[1:]); print(json.dumps({kind: S(kind, device='cpu').encode(sentences).tolist() for kind in kinds}))"
    result = subprocess.run([sys.executable, "-c", code, json.dumps(list(students)), json.dumps(SENTENCES)], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for kind, answers in json.loads(result.stdout).items(): assert np.abs(np.array(answers) - students[kind].encode(SENTENCES)).max() < 1e-5, kind


@pytest.mark.parametrize("kind", CHANGES)
def test_prompts_are_the_teachers(prompted, checkpoint, tmp_path, kind):
    changes = {key: checkpoint if value == "checkpoint" else value for key, value in CHANGES[kind].items()}
    student = make_student(load_recipe("quick", vocabulary_size=1000, **changes), prompted, ENGLISH[:300], GERMAN[:300])
    student.save_pretrained(str(tmp_path))
    loaded = SentenceTransformer(str(tmp_path), device="cpu")
    assert prompted.prompts.items() <= loaded.prompts.items() and loaded.default_prompt_name == "query"
    with_prompt, without = loaded.encode(SENTENCES[1]), loaded.encode(SENTENCES[1], prompt="")
    assert np.abs(with_prompt - without).max() > 1e-4


def test_a_teacher_that_does_not_normalise_is_followed(teacher, checkpoint):
    student = make_student(load_recipe("quick", student=checkpoint), teacher, ENGLISH[:300], GERMAN[:300])
    assert not has_unit_length(teacher) and not has_unit_length(student)
    assert student.get_embedding_dimension() == 32


def test_a_projection_starts_near_the_teacher(prompted, checkpoint):
    student = make_student(load_recipe("quick", student=checkpoint), prompted, ENGLISH[:600], GERMAN[:600])
    cosine = (student.encode(ENGLISH[600:]) * prompted.encode(ENGLISH[600:])).sum(axis=1)
    assert cosine.mean() > 0.5


def test_too_many_layers_are_refused(teacher):
    with pytest.raises(InputError, match="layers = 5"): make_student(load_recipe("quick", layers=5), teacher, ENGLISH[:50], GERMAN[:50])
