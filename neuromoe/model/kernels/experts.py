"""Kernel experts of single modalities and of all at once, fitted on likenesses between people.

Axis letters: N training people, L landmarks among them, T people to predict, M modality, C channel, E expert, K class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neuromoe.model.kernels.channels import MOST, gains, pair_gains, weigh
from neuromoe.model.kernels.kernels import KINDS, Likeness, compare, finish, size_of
from neuromoe.model.kernels.ridge import KernelFit, fit_kernel


@dataclass(frozen=True, eq=False)
class KernelExpert:
    """A kernel machine on one modality or on several.

    Parameters
    ----------
    name : str
        Of its arrays.
    kind : str
        Of its kernel.
    weights : mapping of str to array (C,)
        What it reads, and how much each channel counts.
    size : float
        Scale of the kernel.
    trusting : bool
        Whether maps of doubtful quality are shrunk towards the mean map.
    owners : array (n,), int
        The landmarks that have something for it.
    fit : KernelFit
    """

    name: str
    kind: str
    weights: Mapping[str, NDArray]
    size: float
    trusting: bool
    owners: NDArray
    fit: KernelFit

    def log_proba(self, likeness: Mapping[str, Likeness], trust: Mapping[str, tuple[NDArray, NDArray]]) -> NDArray:
        """Return log probabilities (T, K).

        Parameters
        ----------
        likeness : mapping of str to Likeness (C, T, L)
            To all landmarks.
        trust : mapping of str to array (T,) and array (L,)
            How far the scans count.
        """
        everybody = np.arange(likeness[next(iter(self.weights))].inner.shape[1])
        parts = _parts(likeness, self.weights, everybody, self.owners, trust if self.trusting else None)
        return self.fit.log_proba(finish(self.kind, compare(self.kind, parts), self.size))

    def arrays(self) -> dict[str, NDArray]:
        """Return what `from_state` reads."""
        weights = {f"{self.name}.channels.{name}": weights_C for name, weights_C in self.weights.items()}
        return {f"{self.name}.owners": self.owners, **weights, **self.fit.arrays(self.name)}

    def facts(self) -> dict[str, Any]:
        """Describe the expert in JSON's types."""
        described = {"name": self.name, "kind": self.kind, "modalities": list(self.weights)}
        return {**described, "size": self.size, "trusting": self.trusting}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray], facts: Mapping[str, Any]) -> Self:
        """Rebuild the expert."""
        name, kind, size = facts["name"], facts["kind"], facts["size"]
        weights = {modality: arrays[f"{name}.channels.{modality}"] for modality in facts["modalities"]}
        fit = KernelFit.from_arrays(arrays, name)
        return cls(name, kind, weights, size, facts["trusting"], arrays[f"{name}.owners"], fit)


def _parts(
    likeness: Mapping[str, Likeness],
    weights: Mapping[str, NDArray],
    rows: NDArray,
    columns: NDArray,
    trust: Mapping[str, tuple[NDArray, NDArray]] | None,
) -> list[Likeness]:
    parts = [likeness[name].weighed(weights_C).rows(rows, columns) for name, weights_C in weights.items()]
    if trust is None:
        return parts
    factors = [(shrinking(trust[name][0][rows]), shrinking(trust[name][1][columns])) for name in weights]
    return [part.trusted(*factor) for part, factor in zip(parts, factors, strict=True)]


@dataclass(frozen=True, eq=False)
class KernelTraining:
    """What every expert is fitted with.

    Parameters
    ----------
    likeness : mapping of str to Likeness (C, N, L)
    marks : array (L,), int
        Which of the people the landmarks are.
    there : mapping of str to array (N,), bool
    trust : mapping of str to array (N,)
        How far a scan counts; 1 where nothing is known.
    targets, parts : array (N,), int
    balance : array (N,)
        Weights of the loss.
    classes : int
    """

    likeness: Mapping[str, Likeness]
    marks: NDArray
    there: Mapping[str, NDArray]
    trust: Mapping[str, NDArray]
    targets: NDArray
    parts: NDArray
    balance: NDArray
    classes: int

    def fit(
        self, name: str, weights: Mapping[str, NDArray], kinds: Sequence[str], trusting: Sequence[bool]
    ) -> tuple[KernelExpert, NDArray, NDArray]:
        """Fit an expert with the kernel of least loss on held-out people.

        Returns
        -------
        expert : KernelExpert
        held_out : array (N, K)
            Log probabilities, uniform where the expert reads nothing.
        there : array (N,), bool
        """
        there = np.any([self.there[one] for one in weights], axis=0)
        rows, owners = np.flatnonzero(there), np.flatnonzero(there[self.marks])
        marks = np.searchsorted(rows, self.marks[owners])
        both = {one: (values, values[self.marks]) for one, values in self.trust.items()}
        counts = self.trust[next(iter(weights))][rows] if len(weights) == 1 else np.ones(len(rows))
        tried = []
        for trusts in trusting:
            parts = _parts(self.likeness, weights, rows, owners, both if trusts else None)
            tried += [(*self._try(kind, parts, rows, marks, counts), trusts) for kind in kinds]
        _, kind, size, fit, log_proba, trusts = min(tried, key=lambda trial: trial[0])
        expert = KernelExpert(name, kind, weights, size, trusts, owners, fit)
        held_out = np.full((len(there), self.classes), -np.log(self.classes))
        held_out[rows] = log_proba
        return expert, held_out, there

    def _try(
        self, kind: str, parts: Sequence[Likeness], rows: NDArray, marks: NDArray, counts: NDArray
    ) -> tuple[float, str, float, KernelFit, NDArray]:
        """Return loss on people held out, kind and size of the kernel, fit, and what is said of those held out."""
        compared = compare(kind, parts)
        size = size_of(kind, compared[marks])
        known = marks, self.targets[rows], self.parts[rows], self.classes
        weighed = {"balance": self.balance[rows], "trust": counts}
        loss, fit, log_proba = fit_kernel(finish(kind, compared, size), *known, **weighed)
        return loss, kind, size, fit, log_proba

    def channel_weights(self) -> dict[str, NDArray]:
        """Weigh the channels of each modality by what they say alone (C,)."""
        found = {}
        for name, likeness in self.likeness.items():
            columns = np.flatnonzero(self.there[name][self.marks])[:MOST]
            rows = self.marks[columns]
            kernels = likeness.rows(rows, columns).inner
            gained_C = gains(kernels, *self._known(rows)) if len(kernels) > 1 else np.zeros(1)
            found[name] = weigh(gained_C, len(rows))
        return found

    def joint_weights(self) -> dict[str, NDArray]:
        """Weigh the channels by what they say alone or in a product with one of another modality (C,)."""
        columns = np.arange(len(self.marks))[:MOST]
        rows = self.marks[columns]
        kernels = [likeness.rows(rows, columns).inner for likeness in self.likeness.values()]
        gained = pair_gains(kernels, *self._known(rows)) if max(map(len, kernels)) > 1 else [np.zeros(1)] * len(kernels)
        return {name: weigh(gained_C, len(rows)) for name, gained_C in zip(self.likeness, gained, strict=True)}

    def _known(self, rows: NDArray) -> tuple[NDArray, NDArray, int, NDArray]:
        return self.targets[rows], self.parts[rows], self.classes, self.balance[rows]


def shrinking(trust_N: NDArray) -> NDArray:
    """Turn trust (average 1) into a factor for maps: a good scan is taken as it is, or nearly."""
    return np.minimum(trust_N, 1.5)


def fit_experts(
    training: KernelTraining,
    weights: tuple[Mapping[str, NDArray], Mapping[str, NDArray]],
    *,
    alone: Sequence[str],
    joint: bool,
    again: bool,
) -> tuple[list[KernelExpert], NDArray, NDArray]:
    """Fit one expert per modality, and one on all of them where there are several.

    Parameters
    ----------
    training : KernelTraining
    weights : mapping of str to array (C,), twice
        Of the channels of each modality, for the experts of one modality and for the joint one.
    alone : sequence of str
        Kinds of kernel that a modality's expert chooses from; none for no such experts.
    joint : bool
        Whether to have the joint expert.
    again : bool
        Whether trust is known, so that the joint expert may use it.

    Returns
    -------
    experts : list of KernelExpert
    held_out : array (N, E, K)
        Log probabilities.
    there : array (N, E), bool
    """
    own, shared = weights
    fitted = [training.fit(name, {name: own[name]}, alone, [False]) for name in own if alone]
    if joint and (len(own) > 1 or not alone):
        fitted.append(training.fit("joint", shared, KINDS, [False, True] if again else [False]))
    experts, held_out, there = zip(*fitted, strict=True)
    return list(experts), np.stack(held_out, axis=1), np.stack(there, axis=1)
