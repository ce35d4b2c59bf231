"""Gene tables give what the tokenizer gives, or the tokenizer is asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from celloquy.errors import InputError
from celloquy.text._ranked import RankedCells
from celloquy.text._render import render_text
from celloquy.text._tokenizer import TextTokenizer
from celloquy.text._tokens import GeneTokens
from celloquy.text._vocabulary import Vocabulary

RNG = np.random.default_rng(0)
STEMS = ("CD", "MT-", "RPL", "HLA-D", "AC0", "KRT", "LINC00", "ZNF")
NAMES = tuple(dict.fromkeys(f"{stem}{i}" for i in range(60) for stem in STEMS))
VOCABULARY = Vocabulary(NAMES)
OBS = pd.DataFrame({"tissue": RNG.choice(["lung tissue", "blood", None], 50)})


def make_ranked() -> RankedCells:
    lengths = np.array([0, 1, 2, *RNG.integers(0, 40, 47)])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    genes = RNG.integers(0, len(NAMES), offsets[-1]).astype(np.int32)
    values = np.ones(len(genes), np.float32)
    return RankedCells(genes, offsets, values, np.zeros(50, np.int32), VOCABULARY)


RANKED = make_ranked()


def train(kind: str) -> Tokenizer:
    special = ["<s>", "</s>", "[UNK]"]
    text = [" ".join(RNG.choice(NAMES, 5)) for _ in range(300)] + ["Top genes are, and of"] * 20
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=600, special_tokens=special, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        alphabet = pre_tokenizers.ByteLevel.alphabet() if kind == "bytes" else []
        trainer = trainers.BpeTrainer(
            vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    if kind == "bytes":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    elif kind == "metaspace":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    elif kind == "unsplit":
        tokenizer.normalizer = normalizers.Replace(" ", "_")
    tokenizer.train_from_iterator(text, trainer)
    if kind != "bytes":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
        )
    return tokenizer


TOKENIZERS = {kind: train(kind) for kind in ("wordpiece", "bytes", "metaspace", "unsplit")}


def told_and_asked(tokenizer, style, **options):
    told = GeneTokens(tokenizer, VOCABULARY, style=style).encode(RANKED, **options)
    texts = render_text(RANKED, style=style, **options).to_pylist()
    asked = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    return [told[cell].tolist() for cell in range(len(told))], asked


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize(
    ("style", "features"),
    [
        ("celloquy", ()),
        ("celloquy", ("tissue",)),
        ("cellama", ()),
        ("cellama", ("tissue",)),
        ("cellhermes", ()),
        ('{"genes": "{genes}"}', ()),
        ("{n_genes} genes of {obs:tissue} {genes}. In {obs:tissue}!", ()),
    ],
)
def test_ids_are_those_of_the_tokenizer(kind, style, features):
    told, asked = told_and_asked(TOKENIZERS[kind], style, obs=OBS, obs_features=features)
    assert told == asked


def test_tables_are_used_where_they_are_exact_and_only_there():
    exact = {kind: GeneTokens(tok, VOCABULARY).exact for kind, tok in TOKENIZERS.items()}
    assert exact == {"wordpiece": True, "bytes": True, "metaspace": True, "unsplit": False}


def test_a_function_from_text_to_ids_is_asked_itself():
    tokens = GeneTokens(lambda text: [len(word) for word in text.split()], VOCABULARY)
    found = tokens.encode(RANKED)
    assert found[1].tolist() == [len(RANKED.names(1)[0])]
    assert found.lengths.tolist() == RANKED.lengths.tolist()


def test_truncation_and_padding_of_the_users_tokenizer_hide_nothing_and_stay():
    tokenizer = Tokenizer.from_str(TOKENIZERS["bytes"].to_str())
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=6)
    ids = TextTokenizer(tokenizer).encode([" ".join(NAMES[:30]), "CD1"])
    assert len(ids[0]) > 30
    assert len(ids[1]) < 6
    assert tokenizer.truncation["max_length"] == 4


def test_what_is_no_tokenizer_is_refused():
    with pytest.raises(InputError, match="A int cannot be used as a tokenizer"):
        TextTokenizer(3)


def test_ids_become_a_column_of_lists():
    found = GeneTokens(TOKENIZERS["bytes"], VOCABULARY).encode(RANKED)
    assert found.to_arrow().to_pylist()[2] == found[2].tolist()


def test_no_cells_give_no_ids():
    nobody = RANKED.top(0)
    some = RankedCells(
        nobody.genes, np.zeros(1, np.int64), nobody.values, nobody.cut[:0], VOCABULARY
    )
    assert len(GeneTokens(TOKENIZERS["bytes"], VOCABULARY).encode(some)) == 0


@pytest.mark.slow
def test_a_tokenizer_of_transformers_is_read_whole():
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=TOKENIZERS["wordpiece"], model_max_length=8, truncation_side="left"
    )
    texts = render_text(RANKED).to_pylist()
    found = GeneTokens(fast, VOCABULARY).encode(RANKED)
    asked = [encoding.ids for encoding in TOKENIZERS["wordpiece"].encode_batch(texts)]
    assert [found[cell].tolist() for cell in range(len(found))] == asked
