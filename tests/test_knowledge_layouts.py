"""Files of several makers become one table."""

from __future__ import annotations

import gzip

import pytest

from celloquy.errors import InputError
from celloquy.knowledge._layouts import parse_table
from celloquy.knowledge._sources import SOURCES, source_of

HGNC = (
    "hgnc_id\tsymbol\tname\tlocus_group\tstatus\t"
    "alias_symbol\tprev_symbol\tentrez_id\tensembl_gene_id\n"
    "HGNC:1\tSEPTIN2\tseptin 2\tprotein-coding gene\tApproved\t"
    '"DIFF6|KIAA0158"\tSEPT2\t4735\tENSG00000168385\n'
    "HGNC:2\tOLD1\twithdrawn\tother\tEntry Withdrawn\t\t\t\t\n"
)


def _file(tmp_path, text, name="table.tsv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_hgnc_is_read_plain_or_gzipped_without_withdrawn_entries(tmp_path, packed):
    content = gzip.compress(HGNC.encode()) if packed else HGNC.encode()
    table = parse_table("hgnc", _file(tmp_path, content))
    assert table.to_dict("records") == [
        {
            "symbol": "SEPTIN2",
            "ensembl_id": "ENSG00000168385",
            "biotype": "protein-coding gene",
            "alias": "DIFF6|KIAA0158",
            "previous": "SEPT2",
            "name": "septin 2",
            "entrez_id": "4735",
        }
    ]


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path):
    plain = parse_table("hgnc", _file(tmp_path, HGNC))
    windows = b"\xef\xbb\xbf" + HGNC.replace("\n", "\r\n").encode()
    assert parse_table("hgnc", _file(tmp_path, windows)).equals(plain)


def test_hcop_pairs_need_three_databases_and_two_names(tmp_path):
    text = (
        "human_ensembl_gene\thuman_symbol\tmouse_ensembl_gene\tmouse_symbol\tsupport\n"
        "ENSG1\tCD3E\tENSMUSG1\tCd3e\tEnsembl,OMA,Panther\n"
        "ENSG1\tCD3E\tENSMUSG2\tCd3d\tOMA,Panther\n"
        "-\t-\tENSMUSG3\tGm1\tEnsembl,OMA,Panther\n"
    )
    table = parse_table("orthologs", _file(tmp_path, text))
    assert table.to_numpy().tolist() == [["CD3E", "ENSG1", "Cd3e", "ENSMUSG1", "3"]]


def test_orthologs_may_be_two_columns_without_header_or_mgi_classes(tmp_path):
    pairs = parse_table("orthologs", _file(tmp_path, "CD3E,Cd3e\nMT-TF,\n,Gm1\n"))
    assert pairs[["human_symbol", "mouse_symbol"]].to_numpy().tolist() == [["CD3E", "Cd3e"]]
    mgi = (
        "DB Class Key\tCommon Organism Name\tNCBI Taxon ID\tSymbol\n"
        "1\tmouse, laboratory\t10090\tCd3e\n1\thuman\t9606\tCD3E\n2\thuman\t9606\tXYZ\n"
    )
    classes = parse_table("orthologs", _file(tmp_path, mgi))
    assert classes[["human_symbol", "mouse_symbol"]].to_numpy().tolist() == [["CD3E", "Cd3e"]]


def test_mgi_rows_without_ensembl_id_are_left_out(tmp_path):
    row = "MGI:1\tCd3e\tCD3 epsilon\t1\t9\tENSMUSG00000032093\tT\tP\tprotein coding gene\t1\t2\t+\n"
    table = parse_table("mgi", _file(tmp_path, row + row.replace("ENSMUSG00000032093", "")))
    assert table.to_numpy().tolist() == [
        ["Cd3e", "ENSMUSG00000032093", "protein coding gene", "CD3 epsilon"]
    ]


def test_an_obo_file_gives_terms_with_parents_synonyms_and_definitions(tmp_path):
    text = (
        "format-version: 1.2\n\n[Term]\nid: CL:0000084\nname: T cell\n"
        'def: "A \\"T\\" lymphocyte." [PMID:1]\nsynonym: "T-cell" EXACT []\n'
        "is_a: CL:0000542 ! lymphocyte\n\n[Term]\nid: CL:0000001\nname: old\nis_obsolete: true\n"
        "\n[Term]\nid: GO:0000001\nname: not a cell\n\n[Typedef]\nid: part_of\n"
    )
    table = parse_table("ontology", _file(tmp_path, text))
    assert table.to_numpy().tolist() == [
        ["CL:0000084", "T cell", "CL:0000542", "T-cell", 'A "T" lymphocyte.']
    ]


def test_ncbi_summaries_keep_their_quotation_marks(tmp_path):
    text = '#tax_id\tGeneID\tSource\tSummary\n9606\t1\tRefSeq\t"Quoted at its beginning.\n'
    table = parse_table("summaries", _file(tmp_path, text))
    assert table.to_numpy().tolist() == [["9606", "1", "", '"Quoted at its beginning.']]


def test_markers_of_several_makers_have_one_form(tmp_path):
    panglao = "species\tofficial gene symbol\tcell type\torgan\nHs\tCD3E\tT cells\tBlood\n"
    table = parse_table("markers", _file(tmp_path, panglao))
    assert table.to_numpy().tolist() == [["Hs", "T cells", "", "CD3E", "Blood", ""]]
    accordion = (
        "species,CL_celltype,CL_ID,marker,marker_type,Uberon_tissue,resource\n"
        '"Human","T cell","CL:0000084","CD3E","positive","blood","X"\n'
        '"Human","T cell","CL:0000084","CD19","negative","blood","X"\n'
    )
    assert parse_table("markers", _file(tmp_path, accordion))["gene"].tolist() == ["CD3E"]


def test_interactions_may_be_ids_without_header(tmp_path):
    ids = "ENSG00000000005\tENSG00000099968\n"
    assert parse_table("interactions", _file(tmp_path, ids)).shape == (1, 2)
    assert parse_table("interactions", _file(tmp_path, "gene_a\tgene_b\nA\tB\n")).shape == (1, 2)


def test_a_web_page_is_not_a_table(tmp_path):
    with pytest.raises(InputError, match="is a web page, not the table 'hgnc'"):
        parse_table("hgnc", _file(tmp_path, "\n<!DOCTYPE html><html>404</html>"))


def test_missing_columns_are_named_with_those_found(tmp_path):
    with pytest.raises(InputError, match=r"needs the columns .*'locus_group'.*found 'symbol', 'x'"):
        parse_table("hgnc", _file(tmp_path, "symbol\tx\nA\tB\n"))


@pytest.mark.parametrize("name", SOURCES)
def test_another_table_is_refused_by_every_layout(tmp_path, name):
    with pytest.raises(InputError, match=r"needs the columns|has no header"):
        parse_table(name, _file(tmp_path, "barcode\tumap_1\tumap_2\nAAAC\t1\t2\n"))


@pytest.mark.parametrize("text", ["", " \n\n"])
def test_an_empty_file_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="is empty"):
        parse_table("hgnc", _file(tmp_path, text))


def test_a_header_without_rows_is_refused(tmp_path):
    with pytest.raises(InputError, match="not one row that can be used"):
        parse_table("hgnc", _file(tmp_path, HGNC.splitlines()[0] + "\n"))


def test_a_gzip_that_is_cut_short_is_refused(tmp_path):
    with pytest.raises(InputError, match="its gzip stream does not end"):
        parse_table("hgnc", _file(tmp_path, gzip.compress(HGNC.encode())[:-12]))


def test_a_damaged_gzip_is_refused(tmp_path):
    packed = bytearray(gzip.compress(HGNC.encode()))
    packed[-6] ^= 0xFF  # its checksum
    with pytest.raises(InputError, match="is a damaged gzip file"):
        parse_table("hgnc", _file(tmp_path, bytes(packed)))


def test_a_file_that_swells_is_refused_before_it_fills_memory(tmp_path):
    bomb = _file(tmp_path, gzip.compress(bytes(10_000_000)))
    with pytest.raises(InputError, match="more than 1,000,000 bytes"):
        parse_table("hgnc", bomb, most_bytes=1_000_000)


def test_what_is_not_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not UTF-8 text"):
        parse_table("hgnc", _file(tmp_path, b"PK\x03\x04\xff\xfe"))


def test_ragged_rows_are_refused(tmp_path):
    ragged = HGNC.replace("HGNC:2\t", "HGNC:2\t\t\t\t\t\t\t\t\t\t\t\t\t")
    with pytest.raises(InputError, match="cannot be read as the table 'hgnc'"):
        parse_table("hgnc", _file(tmp_path, ragged))


def test_an_unknown_table_is_refused_with_the_closest_name():
    with pytest.raises(InputError, match="no table 'hngc'; the closest is 'hgnc'"):
        source_of("hngc")


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)
def test_every_source_is_https_and_states_its_terms(source):
    assert source.url.startswith("https://")
    assert source.licence
    assert source.description
