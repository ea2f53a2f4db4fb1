"""The mixture of the experts and what training minimises, safe for any finite logit.

Axis letters: B batch, M modality (expert), K class.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# exp of anything beyond is 0 or infinite anyway; products and differences of what is left stay finite in
# float32.
_LIMIT = 1e4


def masked_log_gate(logits_BM: Tensor, present_BM: Tensor) -> Tensor:
    """Normalise the gate over the modalities that a person has.

    Parameters
    ----------
    logits_BM : tensor (B, M)
        The gate's logits.
    present_BM : tensor (B, M), bool
        Which experts have something to say; at least one each.

    Returns
    -------
    tensor (B, M)
        Log weights, minus infinity where absent.
    """
    limited = logits_BM.clamp(-_LIMIT, _LIMIT)
    return limited.masked_fill(~present_BM, -torch.inf).log_softmax(dim=1)


def mix(log_gate_BM: Tensor, logits_BMK: Tensor) -> Tensor:
    """Mix the experts' predictions, P_out = sum_i w_i P_i, as logarithms.

    Parameters
    ----------
    log_gate_BM : tensor (B, M)
        From :func:`masked_log_gate`.
    logits_BMK : tensor (B, M, K)
        The experts' logits; anything finite where absent.

    Returns
    -------
    tensor (B, K)
        Log probabilities: log sum_i exp(log w_i + log P_i). The logarithm of the sum itself gives infinity
        and NaN where one expert is sure.
    """
    log_experts_BMK = logits_BMK.clamp(-_LIMIT, _LIMIT).log_softmax(dim=2)
    return torch.logsumexp(log_gate_BM[:, :, None] + log_experts_BMK, dim=1)


def weighted_cross_entropy(log_mixture_BK: Tensor, target_B: Tensor, class_weights_K: Tensor) -> Tensor:
    """Return each person's weighted negative log-likelihood (B,).

    Averaged over people, not over the batch's sum of weights, so that a small batch is no biased estimate of the
    whole; the weights average 1 over the training people.
    """
    picked_B = log_mixture_BK.gather(1, target_B[:, None])[:, 0]
    return -class_weights_K[target_B] * picked_B


def _alone(values: Tensor) -> Tensor:
    return values


def balance_penalty(
    gate_BM: Tensor, present_BM: Tensor, *, corrected: bool = True, total: Callable[[Tensor], Tensor] = _alone
) -> Tensor:
    """Punish a gate that on average leans on few experts, R_balance.

    Where all modalities are present it is the paper's Eq. 3, (1/M) sum_k (mean_b w_bk - 1/M)^2, M = 4. It
    departs in two ways. A person who lacks modalities is compared with equal weights of those that are there.
    And `corrected` takes Var_b(w_k) / B off each term: the mean of a batch of B varies by that much even
    where the gate is balanced over all people, so that at B = 8 the plain form punishes a gate for treating
    people differently. The corrected form is unbiased for the population's value and may thus be slightly
    negative.

    Parameters
    ----------
    gate_BM : tensor (B, M)
        Weights.
    present_BM : tensor (B, M), bool
        Which experts are there.
    corrected : bool, default=True
        False is the equation as printed.
    total : function, optional
        Sums a tensor over the processes that share the batch; default there is one.

    References
    ----------
    Raza WH et al. 2025, doi:10.48550/arXiv.2506.14970.
    """
    there_BM = present_BM.to(gate_BM.dtype)
    excess_BM = gate_BM - there_BM / there_BM.sum(dim=1, keepdim=True)
    count = total(torch.full((), len(gate_BM), dtype=gate_BM.dtype, device=gate_BM.device))
    mean_M = total(excess_BM.sum(dim=0)) / count
    squares_M = mean_M**2
    if corrected and count > 1:
        squares_M = squares_M - total(((excess_BM - mean_M) ** 2).sum(dim=0)) / (count - 1) / count
    return squares_M.mean()
