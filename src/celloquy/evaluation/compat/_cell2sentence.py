"""Cell2Sentence's measure of generated cells: neighbours among real cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

N_NEIGHBOURS = (3, 5, 10, 25)


def cell2sentence_neighbours(
    generated: NDArray[np.float32],
    intended: Sequence[str],
    *,
    truth: NDArray[np.float32],
    truth_labels: Sequence[str],
    n_neighbours: Sequence[int] = N_NEIGHBOURS,
) -> dict[int, float]:
    """Give the share of generated cells with the label of their nearest real cells, for some k.

    Parameters
    ----------
    generated
        Reconstructed expression of generated cells; shape ``(n, n_genes)``.
    intended
        Label that each was asked to have.
    truth
        Expression of real cells; shape ``(m, n_genes)``.
    truth_labels
        Their labels.
    n_neighbours
        Numbers of neighbours.

    Raises
    ------
    InputError
        If cells and labels are not as many, or there are fewer real cells than neighbours.

    Notes
    -----
    After table 1 of Cell2Sentence (Levine et al., ICML 2024), by scikit-learn's classifier. The
    table's Gromov–Wasserstein distance depends on scalings that the paper does not state: ours
    is in ``evaluate_generated``, in units of the real cells' mean distance.

    Examples
    --------
    >>> import numpy as np
    >>> real = np.array([[0.0], [0.2], [5.0], [5.1]], dtype=np.float32)
    >>> cell2sentence_neighbours(
    ...     np.array([[0.1], [4.9]], dtype=np.float32), ["B", "B"],
    ...     truth=real, truth_labels=["B", "B", "T", "T"], n_neighbours=[1],
    ... )
    {1: 0.5}
    """
    from sklearn.neighbors import KNeighborsClassifier

    for cells, labels in ((generated, intended), (truth, truth_labels)):
        if len(cells) != len(labels) or not len(cells):
            msg = f"There are {len(cells)} cells and {len(labels)} labels."
            raise InputError(msg, hint="pass one label a cell.")
    if max(n_neighbours) > len(truth):
        msg = f"There are {len(truth)} real cells, fewer than {max(n_neighbours)} neighbours."
        raise InputError(msg, hint="pass more real cells, or ask for fewer neighbours.")
    return {
        k: float(KNeighborsClassifier(k).fit(truth, truth_labels).score(generated, intended))
        for k in n_neighbours
    }
