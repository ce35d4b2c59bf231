"""Styles, templates and obs values as words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.text._fields import field_text, field_texts, one_line
from celloquy.text._prompt import Counted, Field, Names, plain_text
from celloquy.text._ranked import RankedCells
from celloquy.text._render import render_text
from celloquy.text._styles import STYLES, Style, get_style
from celloquy.text._template import Gap, parse_template
from celloquy.text._vocabulary import Vocabulary

GENES = Vocabulary(("CD3E", "MS4A1", "NKG7", "LYZ", "GNLY", "CD8A"))


def ranked_from(cells: list[list[int]], vocabulary: Vocabulary = GENES) -> RankedCells:
    offsets = np.cumsum([0, *map(len, cells)]).astype(np.int64)
    genes = np.array([gene for cell in cells for gene in cell], dtype=np.int32)
    n_obs = len(cells)
    return RankedCells(
        genes, offsets, np.ones(len(genes), np.float32), np.zeros(n_obs, np.int32), vocabulary
    )


FOUR = ranked_from([[3, 1, 2], [3], [], [0, 1, 2]])
"""The rows of the matrix that the acceptance facts of CELLama and GenePT rank."""
OBS = pd.DataFrame(
    {
        "organ_tissue": ["Lung", None, "Liver", "Blood"],
        "condition": pd.Categorical(["control", "case", "case", None]),
        "n": [1, 2, 3, 4],
    }
)


def texts(style, **options) -> list[str]:
    return render_text(FOUR, style=style, **options).to_pylist()


def test_cellama_names_genes_with_an_oxford_comma_and_says_nothing_of_an_empty_cell():
    assert texts("cellama") == [
        "Top genes are LYZ, MS4A1, and NKG7.",
        "Top gene is LYZ.",
        "",
        "Top genes are CD3E, MS4A1, and NKG7.",
    ]
    assert render_text(FOUR.top(2), style="cellama")[0].as_py() == "Top genes are LYZ, and MS4A1."


def test_cellama_writes_metadata_first_so_that_no_encoder_cuts_it():
    written = texts("cellama", obs=OBS, obs_features=("organ_tissue", "condition", "n"))
    assert written[0] == (
        "organ_tissue of this cell is Lung. condition of this cell is control. "
        "n of this cell is 1. Top genes are LYZ, MS4A1, and NKG7."
    )
    assert written[1].startswith("organ_tissue of this cell is unknown. condition")
    assert written[2] == (
        "organ_tissue of this cell is Liver. condition of this cell is case. n of this cell is 3."
    )


def test_cellama_writes_metadata_last_if_asked():
    style = get_style("cellama", features_last=True)
    written = texts(style, obs=OBS, obs_features=("organ_tissue", "condition", "n"))
    assert written[0] == (
        "Top genes are LYZ, MS4A1, and NKG7. organ_tissue of this cell is Lung. "
        "condition of this cell is control. n of this cell is 1."
    )
    assert written[2].startswith("organ_tissue of this cell is Liver.")
    assert get_style(get_style("cellama"), features_last=True) == style


def test_cellhermes_and_genept_have_one_prefix_even_for_an_empty_cell():
    prefix = "A cell with genes ranked by expression: "
    assert texts("cellhermes") == [
        prefix + "LYZ MS4A1 NKG7",
        prefix + "LYZ",
        prefix,
        prefix + "CD3E MS4A1 NKG7",
    ]


@pytest.mark.parametrize("style", ["celloquy", "cell2sentence", "chatcell"])
def test_a_bare_sentence_is_names_between_spaces(style):
    assert texts(style) == ["LYZ MS4A1 NKG7", "LYZ", "", "CD3E MS4A1 NKG7"]


def test_celloquy_writes_features_before_the_genes():
    written = texts("celloquy", obs=OBS, obs_features=["condition"])
    assert written == [
        "condition: control; genes: LYZ MS4A1 NKG7",
        "condition: case; genes: LYZ",
        "condition: case",
        "condition: unknown; genes: CD3E MS4A1 NKG7",
    ]


@pytest.mark.parametrize("style", ["cell2sentence", "chatcell", "cellhermes"])
def test_a_style_without_a_place_for_features_refuses_them(style):
    with pytest.raises(InputError, match="has no place for obs features \\(condition\\)"):
        texts(style, obs=OBS, obs_features=["condition"])


def test_a_style_that_cannot_put_features_last_says_so():
    with pytest.raises(InputError, match="'celloquy' cannot write obs features after the genes"):
        get_style("celloquy", features_last=True)


def test_an_unknown_style_is_answered_with_the_closest():
    with pytest.raises(InputError, match="no style 'celama'; the closest is 'cellama'"):
        get_style("celama")


@pytest.mark.parametrize("style", ["cell2sentence", "chatcell"])
def test_capitals_that_merge_two_genes_are_refused(style):
    mixed = ranked_from([[0]], Vocabulary(("Gapdh", "GAPDH")))
    with pytest.raises(InputError, match="'Gapdh' and 'GAPDH' are both 'GAPDH'"):
        render_text(mixed, style=style)
    mouse = ranked_from([[0, 1]], Vocabulary(("Gapdh", "Cd3e")))
    assert render_text(mouse, style=style).to_pylist() == ["GAPDH CD3E"]


@pytest.mark.parametrize("name", ["HLA A", "A\tB", "A\nB", " A", "A\u00a0B", "A\x00", "\ud800"])
def test_a_name_that_holds_a_space_is_refused(name):
    with pytest.raises(InputError, match="cannot be told apart in a text of style 'celloquy'"):
        render_text(ranked_from([[0]], Vocabulary((name,))))


def test_a_name_that_holds_the_delimiter_is_quoted_if_asked():
    style = Style("quoting", quote_names=True)
    odd = Vocabulary(("HLA A", "CD3E", '"x"'))
    text = render_text(ranked_from([[0, 1, 2]], odd), style=style)[0].as_py()
    assert text == '"HLA A" CD3E "\\"x\\""'
    assert style.names_of(text) == ["HLA A", "CD3E", '"x"']


@pytest.mark.parametrize("name", ["a, b", "and b", "b,", ",", "a, and b"])
def test_names_that_would_blur_a_comma_list_are_refused_or_read_back(name):
    odd = ranked_from([[0, 1], [1, 0]], Vocabulary((name, "CD3E")))
    style = get_style("cellama")
    try:
        written = render_text(odd, style=style).to_pylist()
    except InputError:
        assert name != "b,"
    else:
        assert [style.names_of(text) for text in written] == list(odd)


def test_a_template_fills_genes_their_number_and_obs():
    template = "A {obs:organ_tissue} cell with {n_genes} genes: {genes}!"
    assert texts(template, obs=OBS)[:3] == [
        "A Lung cell with 3 genes: LYZ MS4A1 NKG7!",
        "A unknown cell with 1 genes: LYZ!",
        "A Liver cell with 0 genes: !",
    ]


def test_json_in_a_template_stays_and_double_braces_write_a_gap_out():
    assert texts('{"cell": {"genes": "{genes}"}, "gap": "{{genes}}"}')[1] == (
        '{"cell": {"genes": "LYZ"}, "gap": "{genes}"}'
    )


def test_a_value_that_looks_like_a_gap_is_not_filled():
    obs = OBS.assign(condition="{genes}")
    assert texts("{obs:condition}: {genes}", obs=obs)[1] == "{genes}: LYZ"


def test_an_unknown_gap_is_answered_with_the_closest():
    with pytest.raises(InputError, match=r"no gap \{gene\}; the closest is 'genes'"):
        get_style("Genes: {gene}")


@pytest.mark.parametrize(("template", "times"), [("{n_genes}", 0), ("{genes} {genes}", 2)])
def test_a_template_names_the_genes_exactly_once(template, times):
    with pytest.raises(InputError, match=f"exactly once, not {times} times"):
        get_style(template)


def test_a_template_is_cut_into_words_and_gaps():
    assert parse_template("a {obs:cell type} {genes}") == (
        "a ",
        Gap("obs", "cell type"),
        " ",
        Gap("genes"),
    )


def test_a_missing_column_is_answered_with_the_closest():
    with pytest.raises(InputError, match="no column 'conditon'; the closest is 'condition'"):
        texts("cellama", obs=OBS, obs_features=["conditon"])


def test_obs_of_other_cells_is_refused():
    with pytest.raises(InputError, match="`obs` has 3 rows for 4 cells"):
        texts("cellama", obs=OBS[:3], obs_features=["n"])


def test_a_value_with_line_breaks_becomes_one_line_and_quotes_stay():
    assert one_line('T "cell"\r\n\tactivated\u2028') == 'T "cell" activated'
    obs = OBS.assign(condition=["a\nb", "a b", "", " "])
    assert texts("{obs:condition}|{genes}", obs=obs)[0] == "a b|LYZ MS4A1 NKG7"
    assert texts("{obs:condition}|{genes}", obs=obs)[2] == "unknown|"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (np.float32(0.1), "0.1"),
        (1e-7, "0.0000001"),
        (1e300, "1e+300"),
        (True, "True"),
        (np.nan, "unknown"),
        (pd.NaT, "unknown"),
        (pd.NA, "unknown"),
        (np.int8(3), "3"),
    ],
)
def test_values_of_every_kind_are_written(value, text):
    assert field_text(value) == text


def test_nullable_and_categorical_columns_are_written():
    codes, words = field_texts(pd.Series(pd.array([3, None, 3], dtype="Int64")))
    assert [words[code] for code in codes] == ["3", "unknown", "3"]


@pytest.mark.parametrize("style", [*STYLES, "{obs:n}. {genes}; {n_genes}"])
def test_a_prompt_rendered_as_text_is_the_text(style):
    features = ("condition", "n") if style in {"celloquy", "cellama"} else ()
    options = {"obs": OBS, "obs_features": features}
    prompts = get_style(style).prompts(FOUR, **options)
    assert [plain_text(prompt) for prompt in prompts] == texts(style, **options)


def test_a_prompt_keeps_genes_fields_and_counts_apart():
    (prompt,) = get_style("{obs:n}: {n_genes} {genes}").prompts(
        FOUR.top(2).concatenate([ranked_from([[3, 1]])]), obs=OBS[:1]
    )
    assert [type(segment) for segment in prompt[::2]] == [Field, Counted, Names]
    assert prompt[0] == Field("1")
    assert prompt[2].text == "2"
    assert prompt[-1].ids.tolist() == [3, 1]


def test_a_text_of_another_form_is_refused():
    with pytest.raises(InputError, match="does not have the form of style 'cellhermes'"):
        get_style("cellhermes").names_of("CD3E LYZ")


MARKS = st.text(alphabet=' ,;-anA"', min_size=1, max_size=5)
WRITTEN = st.text(alphabet=' ,-anAB1"\n\u00a0', max_size=5)


@settings(deadline=None)
@given(st.lists(WRITTEN, max_size=4), MARKS, st.one_of(st.none(), MARKS), st.booleans())
def test_what_fits_at_one_look_at_all_letters_fits_name_by_name(names, delimiter, last, quoted):
    style = Style("own", delimiter=delimiter, last_delimiter=last, quote_names=quoted)
    if style._all_fit(names):
        assert all(style._fits(name) for name in names)


@pytest.mark.parametrize("name", list(STYLES))
def test_usual_gene_names_fit_at_one_look(name):
    assert STYLES[name]._all_fit(["CD3E", "HLA-DRA", "AC012345.1", "MT-CO1"])
