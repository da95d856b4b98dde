"""What `ppde export` leaves answers as the model does, and what is worse is not left."""
import shutil

import numpy as np
import pytest
import small_models
from conftest import ppde
from sentence_transformers import SentenceTransformer
from small_models import ENGLISH, GERMAN
from typer.testing import CliRunner

from ppde_nbdev.cli import app
from ppde_nbdev.evaluate import DevelopmentData
from ppde_nbdev.export import FORMATS, export_student, load_exported
from ppde_nbdev.recipe import InputError, load_recipe
from ppde_nbdev.student import make_student

DATA = DevelopmentData(ENGLISH[:40], GERMAN[:40], [], [])


@pytest.fixture
def run(finished_run, tmp_path):
    "A copy of a finished run, to write into."
    return shutil.copytree(finished_run[0], tmp_path / "run")


def test_every_format_of_a_run(run, tmp_path):
    result = ppde("export", str(run), "--max-loss", "100", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("kept") >= len(FORMATS)
    model, sentences = SentenceTransformer(str(run / "model"), device="cpu"), [*ENGLISH[:20], *GERMAN[:20], "Ja."]
    for name, least in (("onnx", 0.99999), ("openvino", 0.999), ("int8", 0.9)):
        found, expected = load_exported(model, run / "model" / FORMATS[name]).encode(sentences), model.encode(sentences)
        assert (found * expected).sum(axis=1).min() > least, name # OpenVINO computes in bfloat16 where the processor can
    assert not [path for path in (run / "model").iterdir() if path.name.startswith("tmp")]


def test_refused_is_said_and_not_left(run):
    CliRunner().invoke(app, ["export", str(run), "--format", "int8", "--max-loss", "100"])
    assert (run / "model" / FORMATS["int8"]).exists()
    result = CliRunner().invoke(app, ["export", str(run), "--format", "int8", "--max-loss", "-200"])
    assert result.exit_code == 1 and "refused" in result.stdout
    assert not (run / "model" / FORMATS["int8"]).exists()


@pytest.mark.parametrize("family", ["bpe", "unigram"])
def test_every_kind_of_tokenizer(tmp_path, family):
    teacher = small_models.teacher(tmp_path / "teacher", family)
    student = make_student(load_recipe("quick", vocabulary_size=800), teacher, ENGLISH[:300], GERMAN[:300])
    (tmp_path / "model").mkdir()
    rows = export_student(student, DATA, tmp_path / "model", ["onnx", "openvino"], max_loss=5.0)
    assert [row["verdict"] for row in rows] == ["", "kept", "kept"]
    for name in ("onnx", "openvino"):
        found, expected = load_exported(student, tmp_path / "model" / FORMATS[name]).encode(GERMAN[:9]), student.encode(GERMAN[:9])
        assert np.abs(found - expected).max() < (1e-4 if name == "onnx" else 0.02) * np.abs(expected).max()


def test_static_student_is_refused(tmp_path):
    teacher = small_models.teacher(tmp_path / "teacher", "wordpiece uncased")
    student = make_student(load_recipe("quick", vocabulary_size=800, body="static"), teacher, ENGLISH[:300], GERMAN[:300])
    with pytest.raises(InputError, match="no layers to export"): export_student(student, DATA, tmp_path)
