"""Are the cells those that were measured? Compares a folder with `sets.tsv`, by content.

How to run, from the root of the repository:

    python benchmarks/data/check.py FOLDER
    python benchmarks/data/check.py FOLDER --write      # after a set was changed on purpose

A hash is over gene names, cell names and whole counts in the order of the names, so it does not
depend on who converted a set, on compression, on the order of rows or columns, or on other
columns of obs.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from pathlib import Path

import anndata as ad
import numpy as np
import scipy.sparse as sp

from celloquy.evaluation import known_suites, load_suite

TABLE = Path(__file__).with_name("sets.tsv")
COLUMNS = ("file", "n_obs", "n_vars", "counts", "sha256", "suites", "origin")


def content_of(path):
    """Give shape, sum of counts and hash of a file's counts and names."""
    adata = ad.read_h5ad(path)
    cells, genes = (np.asarray(names, dtype=str) for names in (adata.obs_names, adata.var_names))
    rows, columns = np.argsort(cells, kind="stable"), np.argsort(genes, kind="stable")
    counts = sp.csr_matrix(sp.csr_matrix(adata.X)[rows][:, columns])
    counts.eliminate_zeros()
    counts.sort_indices()
    whole = np.rint(counts.data).astype("<i8")
    digest = hashlib.sha256("\n".join([*cells[rows], "", *genes[columns]]).encode())
    for part in (counts.indptr, counts.indices, whole):
        digest.update(np.ascontiguousarray(part, dtype="<i8").tobytes())
    return {
        "n_obs": str(adata.n_obs),
        "n_vars": str(adata.n_vars),
        "counts": str(int(whole.sum())),
        "sha256": digest.hexdigest(),
    }


def known_sets():
    """List the files of all suites, with the suites and the origin of each."""
    found = {}
    for name in known_suites():
        for each in load_suite(name).sets:
            row = found.setdefault(each.file, {"origin": each.origin, "suites": []})
            if name not in row["suites"]:
                row["suites"].append(name)
    return found


def write(folder):
    rows = [
        {"file": file, **content_of(folder / "cells" / file), "suites": ", ".join(row["suites"]),
         "origin": row["origin"]}
        for file, row in sorted(known_sets().items())
    ]  # fmt: skip
    with TABLE.open("w", newline="", encoding="utf-8") as out:
        table = csv.DictWriter(out, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def check(folder):
    """Print what is missing or different; give the number of such files."""
    wrong = 0
    with TABLE.open(encoding="utf-8") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            path = folder / "cells" / row["file"]
            if not path.exists():
                wrong += 1
                print(f"missing: {row['file']}: to be had from {row['origin']}")
                continue
            content = content_of(path)
            differs = [name for name, value in content.items() if value != row[name]]
            wrong += bool(differs)
            print(
                f"{'differs' if differs else 'as measured':<12}{row['file']} {', '.join(differs)}"
            )
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help="write the table anew")
    options = parser.parse_args()
    if options.write:
        write(options.folder)
    raise SystemExit(min(check(options.folder), 1))


if __name__ == "__main__":
    main()
