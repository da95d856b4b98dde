"""Each kind of student becomes an ONNX graph that answers as it does."""
import numpy as np
import onnxruntime
import pytest
import small_models
import torch
from sentence_transformers import SentenceTransformer
from small_models import ENGLISH, GERMAN

from ppde_nbdev.recipe import load_recipe
from ppde_nbdev.student import make_student

CHANGES = {"grown": {}, "fewer layers": {"layers": 1}, "trimmed": {"student": "checkpoint", "reserve_pieces": 0}, "static": {"body": "static"}}
SENTENCES = ["Der Arzt kommt morgen.", "Yes.", "The train was late again, so we walked home along the river."]


class Graph(torch.nn.Module):
    "A model as a function of the tensors that its tokenizer gives."

    def __init__(self, model: SentenceTransformer, names: list[str]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *tensors): return self.model(dict(zip(self.names, tensors)))["sentence_embedding"]


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("family", ["wordpiece uncased", "bpe", "unigram"])
def test_onnx_answers_as_the_student(tmp_path, kind, family):
    teacher = small_models.teacher(tmp_path / "teacher", family)
    checkpoint = str(small_models.encoder(tmp_path / "checkpoint", family, ENGLISH + GERMAN, dimension=48))
    changes = {key: checkpoint if value == "checkpoint" else value for key, value in CHANGES[kind].items()}
    student = make_student(load_recipe("quick", vocabulary_size=800, **changes), teacher, ENGLISH[:300], GERMAN[:300]).eval()
    first, second = student.preprocess(SENTENCES[:2]), student.preprocess(SENTENCES)
    names = [name for name in first if isinstance(first[name], torch.Tensor)]
    axes = {name: {place: f"{name}_{place}" for place in range(first[name].ndim)} for name in names}
    torch.onnx.export(Graph(student, names), tuple(first[name] for name in names), str(tmp_path / "model.onnx"), input_names=names, output_names=["sentence_embedding"], dynamic_axes=axes, dynamo=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    used = {entry.name for entry in session.get_inputs()}
    found = session.run(None, {name: second[name].numpy() for name in names if name in used})[0]
    assert np.abs(found - student.encode(SENTENCES)).max() < 1e-4
