"""What went wrong in a training, in words, and what to do.

Axis letters: N people that were held out, M modality (expert), K class.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# Mean weight of one expert, over people who have others, from which a gate has collapsed, and below which one is idle.
COLLAPSED, IDLE = 0.9, 0.02
# Deviation of a weight over people below which a gate does not tell people apart.
UNUSED = 0.01
# Log loss by which held-out people are worse than training people, and within which two losses are the same.
GAP, SAME = 0.3, 0.01


def diagnose(
    history: Sequence[Mapping[str, float]],
    names: Sequence[str],
    weights_NM: NDArray,
    log_experts_NMK: NDArray,
    log_proba_NK: NDArray,
    targets: NDArray,
    present_NM: NDArray,
    *,
    gated: bool,
) -> list[str]:
    """Name the signs of a failed training.

    Parameters
    ----------
    history : sequence of mapping
        `train` and `val` loss per epoch.
    names : sequence of str
        Of the experts.
    weights_NM, log_experts_NMK, log_proba_NK : array
        Weights of the gate, log probabilities of the experts and of the mixture, of people held out.
    targets : array (N,), int
    present_NM : array (N, M), bool
    gated : bool
        Whether there is a gate to judge.

    Returns
    -------
    list of str
        A sentence per sign; empty where there is none.
    """
    if not np.isfinite([loss for epoch in history for loss in epoch.values()]).all():
        return ["training ran away: a loss is not finite; lower learning_rate, and look for huge values in the maps"]
    if not len(targets):
        return []
    signs = _of_losses(history, names, log_experts_NMK, log_proba_NK, targets, present_NM)
    several_N = present_NM.sum(axis=1) > 1
    if gated and several_N.any():
        signs += _of_gate(names, weights_NM[several_N], present_NM[several_N])
    return signs


def _of_gate(names: Sequence[str], weights_NM: NDArray, present_NM: NDArray) -> list[str]:
    there = {name: weights_NM[present_NM[:, column], column] for column, name in enumerate(names)}
    there = {name: weights for name, weights in there.items() if len(weights)}
    signs = []
    for name, weights in there.items():
        if weights.mean() > COLLAPSED:
            signs.append(f"the gate has collapsed on {name}: mean weight {weights.mean():.2f}; raise balance")
        if weights.mean() < IDLE:
            signs.append(
                f"the expert of {name} is idle: mean weight {weights.mean():.3f}; look at its maps, or leave it out"
            )
    full = present_NM.all(axis=1)
    if full.sum() > 1 and weights_NM[full].std(axis=0).max() < UNUSED:
        signs.append("the gate is unused: everybody gets the same weights; give it more people or another input")
    return signs


def _of_losses(
    history: Sequence[Mapping[str, float]],
    names: Sequence[str],
    log_experts_NMK: NDArray,
    log_proba_NK: NDArray,
    targets: NDArray,
    present_NM: NDArray,
) -> list[str]:
    people = np.arange(len(targets))
    losses = -log_proba_NK[people, targets]
    shares = np.bincount(targets, minlength=log_proba_NK.shape[1]) / len(targets)
    guessing = float(-np.log(shares[targets]).mean())
    signs = []
    if losses.mean() > guessing - SAME:
        signs.append(
            f"held-out log loss {losses.mean():.2f}, naming class frequencies gives {guessing:.2f}: nothing was "
            "learned; look at the labels, train longer, or trust a simpler model"
        )
    elif "clinical" in names:
        column = list(names).index("clinical")
        known = present_NM[:, column] & (present_NM.sum(axis=1) > 1)
        alone = -log_experts_NMK[people, column, targets][known]
        if known.any() and losses[known].mean() > alone.mean() - SAME:
            signs.append(
                f"held-out log loss {losses[known].mean():.2f}, the clinical expert's alone {alone.mean():.2f}: the "
                "scans add nothing; look at their quality, or train the encoders longer"
            )
    best = min((epoch for epoch in history if "val" in epoch), key=lambda epoch: epoch["val"], default=None)
    if best is not None and best["val"] - best["train"] > GAP:
        signs.append(
            f"log loss {best['train']:.2f} in training, {best['val']:.2f} held out: it learns people by heart; raise "
            "dropout or weight_decay, or make the network smaller"
        )
    return signs
