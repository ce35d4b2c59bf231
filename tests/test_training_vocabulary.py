"""Genes as single tokens: read and written back, started from what the base knows, rebuilt."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

from celloquy.errors import CheckpointError, InputError
from celloquy.lm import load_lm
from celloquy.lm._added_genes import FILE, add_genes, add_tokens, read_added_genes, token_ids
from celloquy.training._vocabulary import save_adapter, trainable_tokens
from decoder_models import make_decoder, make_seq2seq, make_tokenizer, write_decoder

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
NEW = (
    "CD4", "CD40", "CD40LG", "HLA-DRB1", "HLA-DRB1-AS1", "MT-CO1", "RP11-34P13.7", "AC012345.1",
    "AC012345.12", "TTN", "SET", "C1orf43", "IL-2", "5S_rRNA",
)  # fmt: skip


def t5_tokenizer():
    """Make a tokenizer that drops white space and marks words, as T5's does."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    made.decoder = decoders.Metaspace()
    texts = ["Genes of one cell, most expressed first:", "The T cell is set"] * 5
    letters = [chr(i) for i in range(33, 127)]
    made.train_from_iterator(
        texts,
        trainers.UnigramTrainer(
            vocab_size=300, unk_token="<unk>", initial_alphabet=letters, show_progress=False,
            special_tokens=["<pad>", "</s>", "<unk>"],
        ),
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


TOKENIZERS = {"bytes": lambda: make_tokenizer("bytes"), "t5": t5_tokenizer}


@pytest.mark.parametrize("kind", list(TOKENIZERS))
def test_every_gene_is_one_token_alone_in_company_and_before_a_full_stop(kind):
    tokenizer = TOKENIZERS[kind]()
    add_tokens(tokenizer, NEW)
    ids = dict(zip(NEW, token_ids(tokenizer, NEW), strict=True))
    assert len(set(ids.values())) == len(NEW)
    read = tokenizer.backend_tokenizer
    for gene in NEW:
        found = read.encode(f"Genes: {gene} CD40 {gene}.", add_special_tokens=False).ids
        assert found.count(ids[gene]) == (3 if gene == "CD40" else 2)
        assert read.encode(gene, add_special_tokens=False).ids == [ids[gene]]
    text = " ".join(NEW)
    assert read.decode(read.encode(text, add_special_tokens=False).ids) == text


@pytest.mark.parametrize("kind", list(TOKENIZERS))
def test_a_gene_is_no_part_of_a_longer_word_and_words_stay_as_they_were(kind):
    tokenizer = TOKENIZERS[kind]()
    bare = copy.deepcopy(tokenizer.backend_tokenizer)
    add_tokens(tokenizer, NEW)
    ids = set(token_ids(tokenizer, NEW))
    read = tokenizer.backend_tokenizer
    for text in ("Genes of one cell", "SETTING TTNX CD400 xCD4", "The cell is set", "  a  b"):
        found = read.encode(text, add_special_tokens=False).ids
        assert not ids & set(found)
        assert found == bare.encode(text, add_special_tokens=False).ids


def test_bytes_are_given_back_whatever_stands_around_a_gene():
    tokenizer = make_tokenizer("bytes")
    add_tokens(tokenizer, NEW)
    read = tokenizer.backend_tokenizer
    for text in ("(CD4)", "\nCD4  CD40\n", '"CD4-positive" cell, HLA-DRB1; MT-CO1', "CD4,CD40"):
        assert read.decode(read.encode(text, add_special_tokens=False).ids) == text


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        (("CD4", "A B"), r"'A B' cannot be a token of a gene"),
        (("CD4", ""), r"'' cannot be a token of a gene"),
        (("CD4", "CD40", "CD4"), r"The gene 'CD4' is named twice"),
    ],
)
def test_a_name_that_cannot_be_a_token_is_refused(genes, message):
    with pytest.raises(InputError, match=message):
        add_tokens(make_tokenizer("bytes"), genes)


def test_a_tokenizer_that_changes_spaces_is_refused():
    tokenizer = make_tokenizer("spaces")
    from tokenizers import normalizers

    tokenizer.backend_tokenizer.normalizer = normalizers.Prepend("x")
    with pytest.raises(InputError, match=r"does not give the gene '.+' back as one token"):
        add_tokens(tokenizer, ("CD4", "CD40"))


def test_new_rows_start_as_the_mean_of_the_names_pieces_or_of_the_descriptions():
    tokenizer, model = make_tokenizer("bytes"), make_decoder("llama")
    bare = copy.deepcopy(tokenizer.backend_tokenizer)
    old = model.get_input_embeddings().weight.detach().clone()
    written = model.get_output_embeddings().weight.detach().clone()
    told = {"CD40": "The cell is a B cell"}
    added = add_genes(model, tokenizer, genes=NEW, descriptions=told)
    ids = token_ids(tokenizer, NEW)
    for gene, start in (("HLA-DRB1", "HLA-DRB1"), ("CD40", told["CD40"])):
        pieces = bare.encode(f" {start}", add_special_tokens=False).ids
        at = ids[NEW.index(gene)]
        for table, before in (
            (model.get_input_embeddings(), old),
            (model.get_output_embeddings(), written),
        ):
            expected = before[pieces].bfloat16().double().mean(0).float()
            torch.testing.assert_close(table.weight[at], expected, rtol=0, atol=1e-6)
    n = bare.get_vocab_size()
    torch.testing.assert_close(model.get_input_embeddings().weight[:n], old[:n])
    assert added.n_rows == len(old)


def tuned(base, folder, *, seq2seq=False):
    """Train an adapter of a base with genes for two steps; give PEFT's wrapper, saved."""
    kind = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    model = kind.from_pretrained(base)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(base)
    added = add_genes(model, tokenizer, genes=NEW)
    rows = trainable_tokens(model, tokenizer, added=added)
    target = ["q", "v"] if seq2seq else ["q_proj", "v_proj"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        wrapped = get_peft_model(
            model, LoraConfig(r=4, target_modules=target, trainable_token_indices=rows)
        )
        ids = torch.tensor([token_ids(tokenizer, NEW)])
        optimiser = torch.optim.SGD([p for p in wrapped.parameters() if p.requires_grad], lr=0.5)
        for _ in range(2):
            wrapped(input_ids=ids, labels=ids).loss.backward()
            optimiser.step()
            optimiser.zero_grad()
    save_adapter(wrapped, folder, added=added)
    return wrapped.eval(), tokenizer, added


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_decoder(tmp_path_factory.mktemp("bases") / "tiny-llama")


def test_an_adapter_stores_what_was_learned_alone_and_is_used_on_the_base_it_was_trained_on(
    base, tmp_path
):
    wrapped, tokenizer, added = tuned(base, tmp_path / "genes-lora")
    names = {path.name for path in (tmp_path / "genes-lora").iterdir()} - {"README.md"}
    assert names == {"adapter_config.json", "adapter_model.safetensors", FILE}
    whole = wrapped.base_model.model.get_input_embeddings().weight.numel() * 4
    assert (tmp_path / "genes-lora" / "adapter_model.safetensors").stat().st_size < whole
    lm = load_lm(f"hf:{base}+{tmp_path / 'genes-lora'}", device="cpu")
    text = "CD4 HLA-DRB1 MT-CO1"
    ids = torch.tensor([tokenizer.backend_tokenizer.encode(text).ids])
    with torch.inference_mode():
        logp = torch.log_softmax(wrapped(input_ids=ids).logits[0, -1].double(), -1)
    at = token_ids(tokenizer, ["CD40"])[0]
    space = tokenizer.backend_tokenizer.encode(" ").ids[0]
    after = torch.tensor([[*ids[0].tolist(), space]])
    with torch.inference_mode():
        second = torch.log_softmax(wrapped(input_ids=after).logits[0, -1].double(), -1)
        ended = torch.log_softmax(
            wrapped(input_ids=torch.tensor([[*after[0].tolist(), at]])).logits[0, -1].double(), -1
        )
    expected = logp[space] + second[at] + ended[tokenizer.eos_token_id or 0]
    found = lm.score([text], ["CD40"]).logp[0, 0]
    assert found == pytest.approx(float(expected), abs=1e-3)
    assert read_added_genes(tmp_path / "genes-lora") == added


def test_the_adapter_fits_a_base_that_is_loaded_in_16_bits(base, tmp_path):
    tuned(base, tmp_path / "genes-lora")
    exact = load_lm(f"hf:{base}+{tmp_path / 'genes-lora'}", device="cpu")
    rounded = load_lm(f"hf:{base}+{tmp_path / 'genes-lora'}", device="cpu", precision="bf16")
    answers = ["CD40", "TTN"]
    np.testing.assert_allclose(
        rounded.score(["CD4 MT-CO1"], answers).logp,
        exact.score(["CD4 MT-CO1"], answers).logp,
        atol=0.3,
    )


def test_another_base_is_refused(base, tmp_path):
    tuned(base, tmp_path / "genes-lora")
    other = write_decoder(tmp_path / "tiny-llama", seed=11)
    with pytest.raises(CheckpointError, match=r"rows of the adapter's 14 genes start otherwise"):
        load_lm(f"hf:{other}+{tmp_path / 'genes-lora'}", device="cpu")
    held = json.loads((tmp_path / "genes-lora" / FILE).read_text())
    (tmp_path / "genes-lora" / FILE).write_text(json.dumps({**held, "n_rows": 7}))
    with pytest.raises(CheckpointError, match=r"added to a base of 7 tokens; this one has"):
        load_lm(f"hf:{base}+{tmp_path / 'genes-lora'}", device="cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", r"added_genes.json' is damaged"), ('{"genes": []}', r"is damaged: KeyError")],
)
def test_a_damaged_file_of_genes_is_told(tmp_path, text, message):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(CheckpointError, match=message):
        read_added_genes(tmp_path)
    held = {"schema": 9, "genes": ["A"], "starts": None, "n_rows": 1, "sha256": ""}
    (tmp_path / FILE).write_text(json.dumps(held))
    with pytest.raises(CheckpointError, match=r"has version 9; this celloquy reads 1"):
        read_added_genes(tmp_path)


def test_a_merged_export_answers_as_base_and_adapter_do(base, tmp_path):
    wrapped, tokenizer, _ = tuned(base, tmp_path / "genes-lora")
    prompts = ["CD4 HLA-DRB1 MT-CO1", "CD40LG"]
    expected = load_lm(f"hf:{base}+{tmp_path / 'genes-lora'}", device="cpu").score(
        prompts, ["CD40", "TTN"]
    )
    merged = wrapped.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    tokenizer.save_pretrained(tmp_path / "merged")
    found = load_lm(f"hf:{tmp_path / 'merged'}", device="cpu").score(prompts, ["CD40", "TTN"])
    np.testing.assert_allclose(found.logp, expected.logp, atol=1e-4)


def test_a_t5_learns_the_rows_of_its_genes():
    tokenizer = t5_tokenizer()
    model = make_seq2seq(vocab_size=len(tokenizer))
    before = model.get_input_embeddings().weight.detach().clone()
    added = add_genes(model, tokenizer, genes=NEW)
    rows = trainable_tokens(model, tokenizer, added=added)
    head = model.get_output_embeddings().weight
    is_tied = head is model.get_input_embeddings().weight
    assert list(rows) == (["shared"] if is_tied else ["shared", "lm_head"])
    wrapped = get_peft_model(
        model, LoraConfig(r=4, target_modules=["q", "v"], trainable_token_indices=rows)
    )
    ids = torch.tensor([token_ids(tokenizer, NEW)])
    wrapped(input_ids=ids, labels=ids).loss.backward()
    learned = {n for n, p in wrapped.named_parameters() if p.grad is not None and "token" in n}
    assert learned
    assert len(before) == added.n_rows
