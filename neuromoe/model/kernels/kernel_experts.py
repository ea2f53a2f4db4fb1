"""Kernel experts of single modalities and of all at once, fitted on likenesses between people.

Axis letters: N training people, T people to predict, M modality, E expert, K class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.kernels.kernel_ridge import KernelFit, fit_kernel
from neuromoe.model.kernels.kernels import KINDS, Likeness, compare, finish, size_of


@dataclass(frozen=True, eq=False)
class Expert:
    """A kernel machine on one modality or on several.

    Parameters
    ----------
    name : str
        Of its arrays.
    kind : str
        Of its kernel.
    modalities : tuple of str
        What it reads.
    size : float
        Scale of the kernel.
    trusting : bool
        Whether maps of doubtful quality are shrunk towards the mean map.
    owners : array (N,), int
        The training people that it was fitted on.
    fit : KernelFit
    """

    name: str
    kind: str
    modalities: tuple[str, ...]
    size: float
    trusting: bool
    owners: NDArray
    fit: KernelFit

    def log_proba(self, likeness: Mapping[str, Likeness]) -> NDArray:
        """Return log probabilities (T, K) from likenesses (T, N) to all training people."""
        everybody = np.arange(len(likeness[self.modalities[0]].left))
        parts = [likeness[name].rows(everybody, self.owners) for name in self.modalities]
        return self.fit.log_proba(finish(self.kind, compare(self.kind, parts), self.size))

    def arrays(self) -> dict[str, NDArray]:
        """Return what `from_state` reads."""
        return {f"{self.name}.owners": self.owners, **self.fit.arrays(self.name)}

    def facts(self) -> dict[str, Any]:
        """Describe the expert in JSON's types."""
        described = {"name": self.name, "kind": self.kind, "modalities": list(self.modalities)}
        return {**described, "size": self.size, "trusting": self.trusting}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray], facts: Mapping[str, Any]) -> Self:
        """Rebuild the expert."""
        name, kind, size = facts["name"], facts["kind"], facts["size"]
        fit = KernelFit.from_arrays(arrays, name)
        return cls(name, kind, tuple(facts["modalities"]), size, facts["trusting"], arrays[f"{name}.owners"], fit)


@dataclass(frozen=True, eq=False)
class Training:
    """What every expert is fitted with.

    Parameters
    ----------
    likeness : mapping of str to Likeness (N, N)
    there : mapping of str to array (N,), bool
    trust : mapping of str to array (N,)
        How far a scan counts; 1 where nothing is known.
    targets, parts : array (N,), int
    balance : array (N,)
        Weights of the loss.
    classes : int
    """

    likeness: Mapping[str, Likeness]
    there: Mapping[str, NDArray]
    trust: Mapping[str, NDArray]
    targets: NDArray
    parts: NDArray
    balance: NDArray
    classes: int

    def fit(
        self, name: str, modalities: Sequence[str], kinds: Sequence[str], trusting: Sequence[bool]
    ) -> tuple[Expert, NDArray, NDArray]:
        """Fit an expert with the kernel of least loss on held-out people.

        Returns
        -------
        expert : Expert
        held_out : array (N, K)
            Log probabilities, uniform where the expert reads nothing.
        there : array (N,), bool
        """
        there = np.any([self.there[one] for one in modalities], axis=0)
        owners = np.flatnonzero(there)
        alone = len(modalities) == 1
        counts = self.trust[modalities[0]][owners] if alone else np.ones(len(owners))
        tried = [self._try(modalities, kind, trust, owners, counts) for trust in trusting for kind in kinds]
        _, kind, size, trust, fit, log_proba = min(tried, key=lambda trial: trial[0])
        held_out = np.full((len(there), self.classes), -np.log(self.classes))
        held_out[owners] = log_proba
        return Expert(name, kind, tuple(modalities), size, trust, owners, fit), held_out, there

    def _try(
        self, modalities: Sequence[str], kind: str, trusting: bool, owners: NDArray, counts: NDArray
    ) -> tuple[float, str, float, bool, KernelFit, NDArray]:
        parts = [self.likeness[name].rows(owners, owners) for name in modalities]
        if trusting:
            trusts = [shrinking(self.trust[name][owners]) for name in modalities]
            parts = [part.trusted(trust, trust) for part, trust in zip(parts, trusts, strict=True)]
        compared = compare(kind, parts)
        size = size_of(kind, compared)
        loss, fit, log_proba = fit_kernel(
            finish(kind, compared, size),
            self.targets[owners],
            self.parts[owners],
            self.classes,
            balance=self.balance[owners],
            trust=counts,
        )
        return loss, kind, size, trusting, fit, log_proba


def shrinking(trust_N: NDArray) -> NDArray:
    """Turn trust (average 1) into a factor for maps: a good scan is taken as it is, or nearly."""
    return np.minimum(trust_N, 1.5)


def fit_experts(
    training: Training, *, alone: Sequence[str], joint: bool, again: bool
) -> tuple[list[Expert], NDArray, NDArray]:
    """Fit one expert per modality, and one on all of them where there are several.

    Parameters
    ----------
    training : Training
    alone : sequence of str
        Kinds of kernel that a modality's expert chooses from; none for no such experts.
    joint : bool
        Whether to have the joint expert.
    again : bool
        Whether trust is known, so that the joint expert may use it.

    Returns
    -------
    experts : list of Expert
    held_out : array (N, E, K)
        Log probabilities.
    there : array (N, E), bool
    """
    names = list(training.likeness)
    fitted = [training.fit(name, [name], alone, [False]) for name in names if alone]
    if joint and (len(names) > 1 or not alone):
        fitted.append(training.fit("joint", names, KINDS, [False, True] if again else [False]))
    experts, held_out, there = zip(*fitted, strict=True)
    return list(experts), np.stack(held_out, axis=1), np.stack(there, axis=1)
