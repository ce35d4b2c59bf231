"""Gene names to gene names, on a table small enough to see."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.knowledge import (
    GeneTable,
    OrthologTable,
    looks_like_ensembl,
    map_genes,
    map_orthologs,
    strip_version,
    to_symbols,
)
from celloquy.knowledge._genes import orthologs_of_pairs

SYMBOLS = ("TP53", "SEPTIN2", "MARCHF1", "MTARC1", "TBCE", "C1orf43", "HLA-A", "NOID")
IDS = (
    "ENSG00000141510",
    "ENSG00000168385",
    "ENSG00000145416",
    "ENSG00000186205",
    "ENSG00000284770",
    "ENSG00000143612",
    "ENSG00000206503",
    "",
)
TABLE = GeneTable(
    "human",
    SYMBOLS,
    IDS,
    biotypes=("protein-coding gene",) * 6 + ("other", "non-coding RNA"),
    previous={"SEPT2": (1,), "MARCH1": (2,), "MARC1": (3,), "TWICE": (1, 2), "TP53": (3,)},
    aliases={"P53": (0,), "DIFF6": (1,), "SHARED": (0, 1), "MARCH1": (3,), "TBCE": (0,)},
    source="a table of eight",
)


def symbols(names, **options):
    return map_genes(names, to="symbol", organism="human", table=TABLE, **options)


def named(found):
    """Name of every column as the map has it."""
    return [found.names[position] if position >= 0 else None for position in found.columns]


@pytest.mark.parametrize(
    ("name", "symbol", "how"),
    [
        ("TP53", "TP53", None),
        ("ENSG00000141510", "TP53", "id"),
        ("ENSG00000141510.17", "TP53", "id"),
        ("ENSG00000168385.15_PAR_Y", "SEPTIN2", "id"),
        ("SEPT2", "SEPTIN2", "previous"),
        ("P53", "TP53", "alias"),
        ("2-Sep", "SEPTIN2", "respelled"),
        ("C1ORF43", "C1orf43", "respelled"),
        ("HLA.A", "HLA-A", "respelled"),
    ],
)
def test_a_name_in_any_form_gives_the_approved_symbol(name, symbol, how):
    found = symbols([name])
    assert found.names == (symbol,)
    assert found.ids == (IDS[SYMBOLS.index(symbol)],)
    assert found.report.mapped_by == ({how: 1} if how else {})


def test_an_approved_symbol_stays_itself_even_if_another_gene_once_had_it():
    assert symbols(["TP53", "TBCE"]).names == ("TP53", "TBCE")


def test_a_previous_symbol_goes_before_an_alias():
    assert symbols(["MARCH1"]).names == ("MARCHF1",)


@pytest.mark.parametrize("name", ["TWICE", "SHARED", "1-Mar"])
def test_a_name_of_several_genes_is_ambiguous_and_kept_as_it_is(name):
    found = symbols([name, "TP53"])
    assert found.names == (name, "TP53")
    assert found.report.ambiguous == 1
    assert found.report.examples["ambiguous"] == (name,)


def test_an_id_is_believed_before_a_name():
    found = symbols(["SHARED", "1-Mar"], ids=["ENSG00000141510.1", "ENSG00000145416"])
    assert found.names == ("TP53", "MARCHF1")


def test_a_column_of_unknown_id_is_named_by_its_symbol():
    found = symbols(["SEPT2"], ids=["ENSG00000999999"])
    assert found.names == ("SEPTIN2",)


def test_two_ids_of_one_symbol_are_one_gene_or_two_as_the_policy_says():
    names, ids = ["TBCE", "TBCE"], ["ENSG00000285053", "ENSG00000284770"]
    with pytest.raises(InputError, match=r"1 gene name stands for several columns each: 'TBCE'"):
        symbols(names, ids=ids)
    assert symbols(names, ids=ids, collisions="sum").columns.tolist() == [0, 0]
    apart = symbols(names, ids=ids, collisions="keep")
    assert named(apart) == ["TBCE.ENSG00000285053", "TBCE"]


def test_a_refusal_names_the_colliding_columns_and_both_ways_out():
    with pytest.raises(InputError, match=r"'SEPTIN2' \(columns 'SEPT2', 'SEPTIN2'\)") as refusal:
        symbols(["SEPT2", "SEPTIN2"])
    assert 'collisions="sum"' in refusal.value.hint
    assert 'collisions="keep"' in refusal.value.hint


def test_kept_apart_the_columns_own_name_is_the_suffix_where_there_is_no_id():
    assert named(symbols(["DIFF6", "SEPT2", "SEPTIN2"], collisions="keep")) == [
        "SEPTIN2.DIFF6",
        "SEPTIN2.SEPT2",
        "SEPTIN2",
    ]


def test_a_suffix_never_takes_the_name_of_another_column():
    found = map_genes(["A", "A", "A-1", "A"], collisions="keep")
    assert named(found) == ["A", "A-2", "A-1", "A-3"]


def test_blank_names_take_their_id_or_are_left_out():
    found = map_genes(["A", "", np.nan, None], ids=["", "ENSG00000141510.3", "", ""])
    assert named(found) == ["A", "ENSG00000141510", None, None]
    assert (found.report.blank, found.report.dropped) == (2, 2)
    assert named(symbols(["", "TP53", np.nan])) == [None, "TP53", None]


def test_unmapped_columns_go_when_asked():
    found = symbols(["FOO", "SHARED", "SEPT2", "ENSG00000999999.1"], drop_unmapped=True)
    assert named(found) == [None, None, "SEPTIN2", None]
    assert found.report.dropped == 3


def test_an_unknown_id_loses_its_version():
    assert symbols(["ENSG00000999999.1"]).names == ("ENSG00000999999",)


def test_to_ensembl_keeps_stated_ids_and_looks_symbols_up():
    found = map_genes(
        ["ENSG00000285053.2", "SEPT2", "NOID", "FOO"], to="ensembl", table=TABLE, organism="human"
    )
    assert found.names == ("ENSG00000285053", "ENSG00000168385", "NOID", "FOO")
    assert found.ids == ("ENSG00000285053", "ENSG00000168385", "", "")
    assert found.report.unknown == 2


def test_ids_alone_need_no_knowledge_to_become_ensembl():
    assert map_genes(["ENSG00000141510.17"], to="ensembl").names == ("ENSG00000141510",)


def test_names_that_differ_in_case_stay_two_genes_in_their_own_columns():
    # Cell2Sentence 1.2.0 gives the later genes of such a file the names of others (AF-7).
    found = map_genes(["Gene1", "GENE1", "B"])
    assert named(found) == ["Gene1", "GENE1", "B"]


def test_keeping_names_needs_no_knowledge():
    assert map_genes(["any", "thing"]).names == ("any", "thing")
    assert map_genes([]).names == ()


def test_the_report_counts_every_column_once():
    report = symbols(["TP53", "SEPT2", "SHARED", "FOO", "", "SEPTIN2"], collisions="sum").report
    assert (report.unchanged, report.mapped, report.ambiguous) == (2, 1, 1)
    assert (report.unknown, report.blank, report.merged, report.dropped) == (1, 1, 1, 1)
    assert (report.n_vars, report.n_names) == (6, 4)


def test_the_report_reads_well_and_is_plain_data():
    report = symbols(["SEPT2", "FOO", "TP53"]).report
    assert str(report).splitlines() == [
        "3 columns → 3 genes (to symbol, by a table of eight)",
        "  unchanged         1",
        "  mapped            1  such as SEPT2 → SEPTIN2",
        "  unknown           1  such as FOO",
    ]
    assert json.loads(json.dumps(report.to_dict()))["examples"]["mapped"] == ["SEPT2 → SEPTIN2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "symbols"}, r"`to` has no value 'symbols'; the closest is 'symbol'"),
        ({"collisions": "merge"}, "`collisions` has no value 'merge'"),
        ({"ids": ["ENSG00000141510"]}, "2 gene names and 1 ids"),
        ({"to": "symbol", "organism": "yeast"}, "Genes of 'yeast' are not known here"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        map_genes(["A", "B"], **options)


def test_an_organism_that_cannot_be_told_must_be_named():
    with pytest.raises(InputError, match="do not tell the organism"):
        map_genes(["gene_1", "gene_2"], to="symbol")
    with pytest.raises(InputError, match="speak for several organisms"):
        map_genes(["CD3E", "Cd3e"], to="symbol")


def test_mouse_names_are_not_human_genes():
    with pytest.raises(InputError, match="None of 2 names is a human gene; they look like mouse"):
        symbols(["Cd3e", "Ms4a1"])


NAMES = st.sampled_from(
    [*SYMBOLS, *filter(None, IDS), "SEPT2", "P53", "SHARED", "FOO", "BAR", "2-Sep", "", "DIFF6",
     "ENSG00000141510.5", "ENSG00000999999", "TBCE-1", "TBCE.ENSG00000284770"]
)  # fmt: skip
COLUMNS = st.lists(st.tuples(NAMES, st.sampled_from([*IDS, "", "ENSG00000999999"])), max_size=12)


def _own(name):
    """Id that a name is, which the map takes for the column's id."""
    return strip_version(name) if looks_like_ensembl(name) else ""


@given(columns=COLUMNS, policy=st.sampled_from(["sum", "keep"]), seed=st.integers(0, 99))
def test_the_order_of_columns_changes_nothing_but_their_order(columns, policy, seed):
    order = np.random.default_rng(seed).permutation(len(columns))
    columns = [(name, gene or _own(name)) for name, gene in columns]
    names, ids = [name for name, _ in columns], [gene for _, gene in columns]
    one = symbols(names, ids=ids, collisions=policy)
    other = symbols([names[i] for i in order], ids=[ids[i] for i in order], collisions=policy)
    # Columns that are alike in name and id cannot be told apart, so the pairs are compared.
    pairs = sorted(zip(columns, map(str, named(one)), strict=True))
    moved = sorted(zip([columns[i] for i in order], map(str, named(other)), strict=True))
    assert pairs == moved
    assert dict(zip(one.names, one.ids or (), strict=False)) == dict(
        zip(other.names, other.ids or (), strict=False)
    )


@given(columns=COLUMNS, policy=st.sampled_from(["sum", "keep"]), drop=st.booleans())
def test_every_kept_column_has_one_place_and_every_place_a_column(columns, policy, drop):
    found = symbols(
        [name for name, _ in columns],
        ids=[gene for _, gene in columns],
        collisions=policy,
        drop_unmapped=drop,
    )
    assert found.columns.dtype == np.int32
    assert set(found.columns[found.columns >= 0]) == set(range(len(found)))
    assert len(set(found.names)) == len(found.names)
    assert "" not in found.names
    report = found.report
    parts = (report.unchanged, report.mapped, report.ambiguous, report.unknown, report.blank)
    assert sum(parts) == len(columns)
    assert len(columns) == len(found) + report.merged + report.dropped
    if policy == "keep":
        assert report.merged == 0


@given(columns=COLUMNS, policy=st.sampled_from(["sum", "keep"]))
def test_mapping_what_is_mapped_changes_nothing(columns, policy):
    once = symbols(
        [name for name, _ in columns], ids=[gene for _, gene in columns], collisions=policy
    )
    twice = symbols(once.names, ids=once.ids, collisions=policy)
    assert (twice.names, twice.ids) == (once.names, once.ids)
    again = to_symbols(once.names, organism="human", collisions=policy, table=TABLE)
    if policy == "sum":
        assert again.names == once.names


@given(st.lists(st.sampled_from([gene for gene in IDS if gene]), unique=True))
def test_versions_of_ids_change_nothing(genes):
    plain = symbols(genes)
    versions = symbols([f"{gene}.{i}" for i, gene in enumerate(genes)])
    assert (plain.names, plain.ids) == (versions.names, versions.ids)


PAIRS = [
    ("CD3E", "ENSG00000198851", "Cd3e", "ENSMUSG00000032093"),
    ("UGT1A6", "", "Ugt1a6a", ""),
    ("UGT1A6", "", "Ugt1a6b", ""),
    ("SEPT2", "", "Sept2", ""),
    ("FCGR2A", "", "Fcgr3", ""),
    ("FCGR3A", "", "Fcgr3", ""),
    ("GENEB", "", "Genea", ""),
    ("GENEA", "", "Genea", ""),
]
ORTHOLOGS = orthologs_of_pairs(PAIRS, source="eight pairs")


def human(names, **options):
    return map_orthologs(names, table=ORTHOLOGS, **options)


def test_mouse_genes_take_the_symbols_of_their_human_orthologs():
    found = human(["Cd3e", "Genea", "Gm1992"])
    assert named(found) == ["CD3E", "GENEA", None]
    assert found.ids == ("ENSG00000198851", "")
    assert human(["ENSMUSG00000032093.7"]).names == ("CD3E",)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("namesake", [None, "GENEA"]),
        ("best", ["FCGR2A", "GENEB"]),
        ("drop", [None, None]),
    ],
)
def test_a_gene_of_several_orthologs_follows_the_policy(policy, expected):
    found = human(["Fcgr3", "Genea"], one_to_many=policy)
    assert named(found) == expected
    assert found.report.ambiguous == expected.count(None)


def test_two_mouse_genes_of_one_human_gene_follow_the_collision_policy():
    with pytest.raises(InputError, match=r"'UGT1A6' \(columns 'Ugt1a6a', 'Ugt1a6b'\)"):
        human(["Ugt1a6a", "Ugt1a6b"])
    assert named(human(["Ugt1a6a", "Ugt1a6b"], collisions="sum")) == ["UGT1A6", "UGT1A6"]


def test_mouse_genes_without_ortholog_stay_when_asked():
    assert named(human(["Gm1992", "Cd3e"], drop_unmapped=False)) == ["Gm1992", "CD3E"]


def test_mouse_ids_need_orthologs_that_know_ids():
    table = OrthologTable({"Cd3e": ("CD3E",)}, {}, knows_ids=False, source="symbols only")
    with pytest.raises(InputError, match=r"known by symbol only \(symbols only\)"):
        map_orthologs(["ENSMUSG00000032093"], table=table)


def test_ortholog_options_are_checked():
    with pytest.raises(InputError, match="`one_to_many` has no value 'all'"):
        human(["Cd3e"], one_to_many="all")


def test_what_a_caller_does_to_kept_names_does_not_reach_the_next_caller():
    first = map_genes(["CD3E", "ENSG00000198851.2", "CD3E"], collisions="sum")
    first.columns[:] = 9
    first.report.examples["merged"] = ("changed",)
    first.report.mapped_by["id"] = 9
    again = map_genes(["CD3E", "ENSG00000198851.2", "CD3E"], collisions="sum")
    assert again.columns.tolist() == [0, 1, 0]
    assert again.report.examples["merged"] == ("CD3E → CD3E",)
    assert again.report.mapped_by == {}
    other = map_genes(["CD3E", "ENSG00000198851.2", "CD3E"], collisions="keep")
    assert other.columns.tolist() == [0, 1, 2]
