"""``celloquy lm`` and ``celloquy encode --lm hf:…``: the commands do what the functions do."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pytest
from typer.testing import CliRunner

from celloquy.apps.cli import app
from celloquy.errors import InputError
from celloquy.lm import known_checkpoints, load_lm
from celloquy.roles import EncodeOptions, TextSource, encode, encode_genes
from celloquy.text import gene_names
from decoder_models import GENES, write_decoder


def run(*words: str):
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_decoder(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 6, (8, len(GENES))).astype(np.float32)
    made = ad.AnnData(counts)
    made.var_names = list(GENES)
    made.obs_names = [f"cell{i}" for i in range(8)]
    return made


def test_list_names_every_known_checkpoint_and_its_licence():
    told = run("lm", "list").stdout
    assert "CC-BY-NC-ND-4.0 (check)" in told
    assert all(one.id in told for one in known_checkpoints())
    listed = json.loads(run("lm", "list", "--json").stdout)
    assert listed[0]["id"] == known_checkpoints()[0].id


def test_show_prints_capabilities_format_context_and_licence(folder):
    told = run("lm", "show", "EthanGao123/CellHermes-v1.0").stdout
    assert "capabilities: embed, score, generate" in told
    assert "prompt format: cellhermes" in told
    assert "licence: Llama 3.1 Community License" in told
    assert "recheck: " in told
    own = run("lm", "show", f"hf:{folder}").stdout
    assert "context: 512" in own
    assert "capabilities: embed, generate, score" in own
    assert json.loads(run("lm", "show", f"hf:{folder}", "--json").stdout)["layers"] == 2
    assert run("lm", "show", str(folder)).stdout == own
    assert "is here: no" in run("lm", "show", "hf:zjunlp/chatcell-small@abc").stdout


@pytest.mark.slow
def test_cells_are_embedded_by_a_decoder_that_is_named_or_loaded(adata, folder):
    lm = load_lm(f"hf:{folder}", device="cpu")
    named = encode(
        adata,
        options=EncodeOptions(
            TextSource(lm=f"hf:{folder}", device="cpu", pooling="genes", layer=1)
        ),
    )
    loaded = encode(
        adata,
        key_added="X_again",
        options=EncodeOptions(TextSource(lm=lm, pooling="genes", layer=1)),
    )
    np.testing.assert_array_equal(named.vectors, loaded.vectors)
    assert named.vectors.shape == (8, 64)
    record = adata.uns["X_celloquy"]
    assert (record["pooling"], record["layer"], record["prompt_format"]) == ("genes", 1, "plain")
    assert record["revision"] == lm.revision
    default = encode(adata, key_added="X_last", options=EncodeOptions(TextSource(lm=lm)))
    assert default.record["pooling"] == "last"
    assert np.abs(default.vectors - named.vectors).max() > 1e-3


def test_genes_are_embedded_by_a_decoder_at_the_layer_that_is_named(folder):
    lm = load_lm(f"hf:{folder}", device="cpu")
    found = encode_genes(["CD3E", "LYZ"], text=TextSource(lm=lm, pooling="mean", layer=1))
    expected = lm.embed(["Gene CD3E", "Gene LYZ"], pooling="mean", layer=1)
    np.testing.assert_allclose(found.to_numpy(), expected, atol=1e-6)


def test_a_model_that_gives_no_vectors_is_refused(adata):
    from celloquy.lm import ScriptedModel

    lm = ScriptedModel(capabilities=["score"])
    with pytest.raises(InputError, match="'fake:rule' does not give vectors") as refusal:
        encode(adata, options=EncodeOptions(TextSource(lm=lm)))
    assert "`st:minilm` gives vectors" in refusal.value.hint


def test_the_command_embeds_by_a_decoder_as_the_function_does(adata, folder, tmp_path):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    done = run(
        "encode", str(tmp_path / "cells.h5ad"), "--lm", f"hf:{folder}", "--device", "cpu",
        "--pooling", "mean", "--layer-of-lm", "1", "--out", str(tmp_path / "out.h5ad"),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    written = ad.read_h5ad(tmp_path / "out.h5ad")
    options = EncodeOptions(TextSource(lm=f"hf:{folder}", device="cpu", pooling="mean", layer=1))
    np.testing.assert_allclose(
        written.obsm["X_celloquy"], encode(adata, options=options).vectors, atol=1e-6
    )
    assert written.uns["X_celloquy"]["pooling"] == "mean"
    assert gene_names(written.var) == list(GENES)


@pytest.mark.parametrize(
    "verb",
    [
        ("predict", "cells.h5ad", "--task", "cell_type", "--labels", "labels.txt"),
        ("generate", "--task", "random_cell", "--out", "new.h5ad"),
        ("annotate", "cells.h5ad", "--clusters", "leiden", "--markers"),
    ],
)
def test_every_verb_that_asks_may_be_allowed_to_fetch_a_named_revision(verb):
    with pytest.raises(InputError, match=r"A download names its revision, and 'hf:own/er' names"):
        run(*verb, "--lm", "hf:own/er", "--allow-download")
