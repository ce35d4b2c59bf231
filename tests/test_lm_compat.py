"""Settings of other projects that draw answers; nothing of the package uses them by itself."""

from __future__ import annotations

from pathlib import Path

import celloquy
from celloquy.lm import Limits, compat, load_lm
from decoder_models import write_decoder


def settings(limits: Limits):
    return limits.max_new_tokens, limits.temperature, limits.top_p, limits.top_k


def test_ch_5_cellhermes_draws_labels_and_explanations_so():
    assert settings(compat.CELLHERMES_PREDICTOR) == (100, 0.1, 0.7, 50)
    assert settings(compat.CELLHERMES_EXPLAINER) == (512, 0.95, 0.7, 50)


def test_af_34_chatcell_and_cell2sentence_decode_so():
    assert settings(compat.CHATCELL) == (512, 1.0, 0.95, 50)
    assert settings(compat.CELL2SENTENCE_CELLS) == (1024, 1.0, 0.95, 50)
    assert settings(compat.CELL2SENTENCE_LABELS) == (1024, 0, None, None)


def test_sampling_is_in_compat_only():
    folder = Path(celloquy.__file__).parent
    users = [
        path.relative_to(folder).parts[:2]
        for path in folder.rglob("*.py")
        if "lm.compat" in path.read_text("utf-8") and "compat" not in path.parts
    ]
    assert users == []


def test_a_model_takes_them(tmp_path):
    lm = load_lm(f"hf:{write_decoder(tmp_path)}")
    found = lm.generate(["CD3E"], seeds=[1], limits=compat.CELLHERMES_PREDICTOR)
    assert len(found.ids[0]) <= 100
    again = lm.generate(["CD3E"], seeds=[1], limits=compat.CELLHERMES_PREDICTOR)
    assert again.texts == found.texts
