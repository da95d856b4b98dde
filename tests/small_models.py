"""Tiny models of every kind, made on the spot: trained tokenizers on a random transformer."""
from collections.abc import Iterator
import json
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertConfig, BertModel, BertTokenizer, RobertaConfig, RobertaModel, RobertaTokenizer, TokenizersBackend, XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizer

from ppde_nbdev.corpora import embedded_file, read_pairs

KINDS = ("wordpiece", "wordpiece uncased", "bpe", "bpe uncased", "unigram", "unigram uncased")
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>"]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ELSEWHERE = ("Сегодня хорошая погода, и мы идём в парк.", "Η γάτα κοιμάται στον ήλιο όλη μέρα.", "今日は天気がいいので公園へ行きます。", "Вчера был дождь, а завтра будет солнце.")

pairs = read_pairs(embedded_file("train"), max_pairs=4000)
ENGLISH, GERMAN = pairs["source"][:], pairs["translation"][:]
FAMILIES = {}


def family(function):
    "Register how a family of models is made, by its name."
    FAMILIES[function.__name__] = function
    return function


def learnt(model, trainer, pre_tokenizer, text: list[str], uncased: bool) -> Tokenizer:
    "Train a bare tokenizer."
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    if uncased: tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.train_from_iterator(text, trainer)
    return tokenizer


def lowercased(tokenizer: TokenizersBackend) -> TokenizersBackend:
    "Copy a tokenizer of a class that knows no case, so that it lowers it and is saved with that."
    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Lowercase()
    return TokenizersBackend(tokenizer_object=backend, **tokenizer.special_tokens_map)


@family
def wordpiece(text: list[str], size: int, uncased: bool):
    "BERT's tokenizer; an uncased one strips accents, as the original does."
    normalizer = normalizers.BertNormalizer(lowercase=uncased)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=size, special_tokens=BERT, show_progress=False))
    return BertTokenizer(vocab=tokenizer.get_vocab(), do_lower_case=uncased), BertModel, BertConfig


@family
def bpe(text: list[str], size: int, uncased: bool):
    "RoBERTa's tokenizer, of bytes."
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=ROBERTA, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer = learnt(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False), text, uncased)
    vocabulary = tokenizer.get_vocab()
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    made = RobertaTokenizer(vocab=vocabulary | {"<mask>": len(vocabulary)}, merges=merges)
    return (lowercased(made) if uncased else made), RobertaModel, RobertaConfig


@family
def unigram(text: list[str], size: int, uncased: bool):
    "XLM-R's tokenizer."
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=ROBERTA, unk_token="<unk>", show_progress=False)
    splitter = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    vocabulary = [tuple(piece) for piece in json.loads(learnt(models.Unigram(), trainer, splitter, text, uncased).to_str())["model"]["vocab"]]
    made = XLMRobertaTokenizer(vocab=[*vocabulary, ("<mask>", 0.0)])
    return (lowercased(made) if uncased else made), XLMRobertaModel, XLMRobertaConfig


def encoder(folder: Path, kind: str, text: list[str], size: int = 2000, dimension: int = 32, layers: int = 2) -> Path:
    "Save a plain transformers encoder, as a hub would give it, and say where."
    name, _, uncased = kind.partition(" ")
    tokenizer, model_class, config_class = FAMILIES[name](text, size, bool(uncased))
    tokenizer.model_max_length = 64
    torch.manual_seed(0)
    config = config_class(
        vocab_size=len(tokenizer), hidden_size=dimension, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=2 * dimension,
        max_position_embeddings=80, pad_token_id=tokenizer.pad_token_id, initializer_range=0.2,
    )
    model_class(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def teacher(folder: Path, kind: str, **options) -> SentenceTransformer:
    "A small English teacher."
    return SentenceTransformer(str(encoder(folder, kind, ENGLISH, **options)), device="cpu")


def multilingual(folder: Path, kind: str, **options) -> SentenceTransformer:
    "A small checkpoint that knows English, German and more."
    return SentenceTransformer(str(encoder(folder, kind, [*ENGLISH, *GERMAN, *ELSEWHERE * 50], **options)), device="cpu")
