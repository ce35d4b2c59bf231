"""What `cq.sentences` costs besides the cells: the same genes with few cells and with more.

Device: any CPU; seconds. Processor time of all threads together, so that a busy machine does
not count; of the first call in the process, and the median of later ones.

    python benchmarks/small_calls.py FILE.h5ad
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import celloquy as cq

N_LATER = 7
N_CELLS = (1, 100, 1_000)


def main() -> None:
    """Print one line a number of cells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="cells, such as pbmc3k with all its 32,738 genes")
    cells = cq.read(parser.parse_args().file)
    print("cells  genes   first call   later calls   processor seconds")
    for n_obs in N_CELLS:
        part = cells[:n_obs].copy()
        taken = []
        for _ in range(1 + N_LATER):
            began = time.process_time()
            assert len(cq.sentences(part).text) == part.n_obs
            taken.append(time.process_time() - began)
        print(f"{part.n_obs:>5,}  {part.n_vars:,}  {taken[0]:>10.3f}   {median(taken[1:]):>11.3f}")


if __name__ == "__main__":
    main()
