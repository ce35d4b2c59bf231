"""The genes that a model knows: their table, and which column of a source is which of them."""

from __future__ import annotations

import pytest

from celloquy.errors import InputError
from celloquy.knowledge import KnownGenes, data_add, read_known_genes

TABLE = """symbol\tmedian\tensembl\tmouse\tlength
CD3E\t2.5\tENSG00000198851.9\tCd3e\t1
LYZ\t4\tENSG00000090382\tLyz1|Lyz2\t2
SEPTIN7\t1.5\t\tSeptin7\t3
"""


@pytest.fixture
def known(tmp_path):
    (tmp_path / "genes.tsv").write_text(TABLE)
    return read_known_genes(tmp_path / "genes.tsv")


def test_a_table_gives_symbols_medians_ids_without_version_and_mouse_symbols(known):
    assert known.symbols == ("CD3E", "LYZ", "SEPTIN7")
    assert known.median_of == {"CD3E": 2.5, "LYZ": 4.0, "SEPTIN7": 1.5}
    assert known.id_of["CD3E"] == "ENSG00000198851"
    assert known.mouse[1] == "Lyz1|Lyz2"
    assert (len(known), known.record()["n_genes"], len(known.sha256)) == (3, 3, 64)


def test_columns_are_found_by_id_of_any_version_or_by_symbol_and_those_of_one_gene_share_a_place(
    known,
):
    found = known.map(["LYZ", "ENSG00000198851.2", "CD3E", "XIST"], organism="human")
    assert found.names == ("LYZ", "CD3E")
    assert found.columns.tolist() == [0, 1, 1, -1]
    assert found.ids == ("ENSG00000090382", "ENSG00000198851")
    assert (found.report.dropped, found.report.merged) == (1, 1)


def test_an_id_is_believed_before_a_name(known):
    found = known.map(["LYZ"], ids=["ENSG00000198851"])
    assert found.names == ("CD3E",)


def test_a_name_of_two_columns_is_refused_summed_or_read_from_the_genes_own_column(known):
    names = ["LYZ", "CD3E", "CD3E", "XIST", "XIST"]
    ids = ["", "ENSG00000000009", "ENSG00000198851", "", ""]
    said = r"1 gene name stands for several columns each: 'CD3E' \(columns 'CD3E', 'CD3E'\)"
    with pytest.raises(InputError, match=said) as refusal:
        known.map(names, ids=ids)
    assert "`--collisions sum`" in refusal.value.hint
    summed = known.map(names, ids=ids, collisions="sum")
    assert (summed.columns.tolist(), summed.report.merged) == ([0, 1, 1, -1, -1], 1)
    apart = known.map(names, ids=ids, collisions="keep")
    assert apart.columns.tolist() == [0, -1, 1, -1, -1]
    assert (apart.report.merged, apart.report.dropped) == (0, 3)
    first = known.map(["CD3E", "CD3E"], collisions="keep")  # neither has a better claim
    assert first.columns.tolist() == [0, -1]


def test_a_policy_that_is_none_is_refused(known):
    with pytest.raises(InputError, match="`collisions` has no value 'add'"):
        known.map(["LYZ"], collisions="add")


def test_a_mouse_cell_is_told_in_human_symbols_and_its_two_lysozymes_are_one(known):
    found = known.map(["Lyz2", "Cd3e", "Lyz1", "Xkr4"])
    assert found.names == ("LYZ", "CD3E")
    assert found.columns.tolist() == [0, 1, 0, -1]
    assert found.report.mapped_by["ortholog"] == 3


def test_a_mouse_gene_of_two_human_genes_is_the_one_of_its_name_or_none():
    twice = KnownGenes(("AMY1", "AMY2", "CES1", "CES9"), (1.0,) * 4, ("",) * 4,
                       ("Amy1", "Amy1", "Ces5", "Ces5"))  # fmt: skip
    found = twice.map(["Amy1", "Ces5"], organism="mouse")
    assert (found.names, found.columns.tolist()) == (("AMY1",), [0, -1])
    assert found.report.ambiguous == 1


def test_former_names_are_known_only_with_the_table_of_hgnc(known, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLOQUY_CACHE", str(tmp_path / "cache"))
    assert known.map(["LYZ", "SEPT7"]).columns.tolist() == [0, -1]
    hgnc = "hgnc_id\tsymbol\tlocus_group\talias_symbol\tprev_symbol\tensembl_gene_id\n"
    hgnc += "HGNC:1\tSEPTIN7\tprotein-coding gene\t\tSEPT7\tENSG00000122545\n"
    hgnc += "HGNC:2\tLYZ\tprotein-coding gene\tLZM\t\tENSG00000090382\n"
    hgnc += "HGNC:3\tMYOM9\tprotein-coding gene\tMYO\t\tENSG00000000001\n"
    (tmp_path / "hgnc.txt").write_text(hgnc)
    data_add("hgnc", tmp_path / "hgnc.txt")
    found = known.map(["LYZ", "SEPT7", "MYO", "x"], ids=["", "", "", "ENSG00000122545"])
    assert found.names == ("LYZ", "SEPTIN7")
    assert found.columns.tolist() == [0, 1, -1, 1]


def test_a_mouse_source_needs_mouse_symbols():
    human = KnownGenes(("CD3E",), (1.0,), ("",), ("",), "genes.tsv")
    with pytest.raises(InputError, match=r"The genes are of mouse, and 'genes\.tsv' has no mouse"):
        human.map(["Cd3e", "Lyz2", "Actb"])


def test_a_source_without_a_known_gene_is_refused(known):
    with pytest.raises(
        InputError, match=r"None of 2 gene names is in 'genes\.tsv'; the first is 'Q1'"
    ):
        known.map(["Q1", "Q2"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symbol\tmedians\nA\t1\n", r"has no column 'median'; the closest is 'medians'"),
        ("", r"has no column 'symbol'"),
        ("symbol\tmedian\n", r"'genes.tsv' tells no gene"),
        ("symbol\tmedian\nA\t1\nA\t2\n", r"line 3: the symbol 'A' repeats"),
        ("symbol\tmedian\n\t2\n", r"line 2: the symbol '' is empty"),
        ("symbol\tmedian\nA\t0\n", r"line 2: the median of A is '0', not a number above 0"),
        ("symbol\tmedian\nA\tx\n", r"line 2: the median of A is 'x', not a number above 0"),
    ],
)
def test_a_table_that_tells_no_genes_is_refused(tmp_path, text, message):
    (tmp_path / "genes.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_known_genes(tmp_path / "genes.tsv")


def test_a_missing_or_binary_table_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"There is no table of genes '.*genes\.tsv'"):
        read_known_genes(tmp_path / "genes.tsv")
    (tmp_path / "genes.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not a text file in UTF-8"):
        read_known_genes(tmp_path / "genes.tsv")


def test_a_table_may_tell_what_a_gene_typically_has(tmp_path, known):
    path = tmp_path / "typical.tsv"
    path.write_text("symbol\tmedian\ttypical\nCD3E\t2.5\t1.25\nLYZ\t4\t\n")
    assert read_known_genes(path).typical_of(["LYZ", "CD3E", "XIST"]).tolist() == [0.0, 1.25, 0.0]
    assert known.typical_of(["LYZ"]) is None
    path.write_text("symbol\tmedian\ttypical\nCD3E\t2.5\tmuch\n")
    with pytest.raises(InputError, match="line 2: the typical value of CD3E is 'much', not a num"):
        read_known_genes(path)
