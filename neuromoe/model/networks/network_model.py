"""What the networks share as models: what they read, how their members are trained, kept and asked.

Axis letters: N people, B batch, M modality, T token, F voxels of a patch or encoded clinical features, Q quality
number, K class.
"""

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.cohort import CLINICAL, Cohort
from neuromoe.cohort.grid import check_grid, features_of, places_of
from neuromoe.cohort.loading import PatchDataset
from neuromoe.model.networks.diagnosis import diagnose
from neuromoe.model.networks.learner import Batch, Learner, People
from neuromoe.model.networks.pretrained import Pretrained, load_pretrained
from neuromoe.model.networks.reader import Reader
from neuromoe.model.networks.training import TrainerSettings, train_members
from neuromoe.model.shared.base import LongFit


class NetworkModel(LongFit):
    """A model whose members are networks of one make.

    Attributes
    ----------
    history : list of dict
        Losses per epoch.
    diagnosis : list of str
        Signs of a failed training by people held out, and what to do.
    pretrained_on : list of str
        Participants whose scans the encoders had learned from before; empty where they started at random.
    """

    Settings: ClassVar[type] = TrainerSettings
    members: list[Any]
    history: list[dict[str, float]]
    diagnosis: list[str]
    pretrained_on: list[str]
    trained: NDArray
    lent: Pretrained | None = None

    @abstractmethod
    def _build(self) -> nn.Module:
        """Make a member, its weights random."""

    @property
    def tokens(self) -> str:
        """Which patches are read: `brain`, those that touch it, or `grid`, all."""
        return "brain"

    @property
    def clinical_features(self) -> int | None:
        """How many encoded clinical features there are; None where the cohort has no clinical table."""
        return len(self.encoder.features) if CLINICAL in self.modalities_ else None

    def _learn_inputs(self, cohort: Cohort, rows: NDArray) -> None:
        """Learn from the training people how inputs are encoded."""
        table = None if cohort.clinical is None else cohort.clinical.iloc[rows]
        self.encoder = ClinicalEncoder.fit(table, cohort.clinical_types)
        self.trained = np.asarray(cohort.present(rows, self.modalities_).any(axis=0))
        self.places_T3 = places_of(cohort, full=self.tokens == "grid")
        self.features = features_of(cohort)
        self.lent = load_pretrained(self.settings.pretrained) if self.settings.pretrained else None
        self.pretrained_on = [] if self.lent is None else self.lent.participants
        if self.lent is not None:
            self.lent.check(cohort, self.settings)

    def _train(
        self, cohort: Cohort, rows: NDArray, parts: NDArray, count: int, objective: Any, **inputs: NDArray
    ) -> None:
        """Train `count` members; member m never sees the people of part m. `inputs` are those of `_reader`."""
        seen = rows if count > 1 else rows[parts < 0]
        self.history, self.diagnosis = [], []
        weights_K = self._class_weights(self._targets(cohort, seen), self.settings.class_weights)
        targets = self._targets(cohort, rows)
        read = self._reader(cohort, rows, targets=targets, **inputs)
        # The seed rules within; the caller's own stream of random numbers goes on as if nothing had happened.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.members = [self._build() for _ in range(count)]
            if self.lent is not None:
                self.lent.lend(self.members)
            people = People(read, parts, targets, torch.tensor(weights_K, dtype=torch.float32))
            learner = Learner(self.members, people, objective, self.settings, self.seed)
            if len(seen):
                self.history = train_members(learner, folder=self._own_folder(people), progress=self.progress)
        self._rest()

    def _diagnose(
        self, experts: NDArray, said: NDArray, weights: NDArray, targets: NDArray, present: NDArray, *, gated: bool
    ) -> None:
        """Look for signs of a failed training in what is said of people held out."""
        found = diagnose(self.history, self.modalities_, weights, experts, said, targets, present, gated=gated)
        self.diagnosis = found
        if self.progress:
            for sign in found:
                print(f"note: {sign}", flush=True)

    def _own_folder(self, people: People) -> Path | None:
        if self.folder is None:
            return None
        known = self.name, self.seed, self.settings
        lent = () if self.lent is None else (self.lent.digest(),)
        return people.folder_in(Path(self.folder), (*known, *lent), self.settings.batch_size)

    def _rest(self) -> None:
        for member in self.members:
            member.to(self.settings.device_now()).eval()

    def _reader(
        self,
        cohort: Cohort,
        positions: NDArray,
        *,
        targets: NDArray | None = None,
        quality: NDArray | None = None,
        base: NDArray | None = None,
    ) -> Reader:
        """Return what reads batches by rows of `positions`.

        Parameters
        ----------
        cohort : Cohort
        positions : array (n,), int
        targets : array (n,), int, optional
            Default zeros.
        quality : array (n, M, Q), optional
            Encoded quality numbers; default none.
        base : array (n, M, K), optional
            What linear experts say; default zeros.
        """
        encoded_NF = torch.from_numpy(self._encode_clinical(cohort, positions))
        patches = PatchDataset(cohort, positions, full_grid=self.tokens == "grid")
        present_NM = self._usable(cohort, positions)
        wanted = np.zeros(len(positions), np.int64) if targets is None else targets
        known_NMQ = np.zeros((*present_NM.shape, 0)) if quality is None else quality
        said_NMK = np.zeros((*present_NM.shape, len(self.classes_))) if base is None else base
        quality_NMQ, base_NMK = (torch.from_numpy(values).float() for values in (known_NMQ, said_NMK))

        return Reader(
            patches,
            self._tokens,
            self.modalities_,
            present_NM,
            encoded_NF,
            torch.from_numpy(wanted),
            quality_NMQ,
            base_NMK,
            cohort.patch,
        )

    def _encode_clinical(self, cohort: Cohort, positions: NDArray) -> NDArray:
        known = CLINICAL in self.modalities_
        return self.encoder.encode_rows(cohort, positions) if known else self.encoder.encode(None, len(positions))

    def _tokens(self, patches: PatchDataset, name: str, rows: NDArray) -> Tensor:
        return patches.tokens(name, rows)

    def _usable(self, cohort: Cohort, positions: NDArray) -> NDArray:
        # An expert that never saw anybody has nothing to say.
        return cohort.present(positions, self.modalities_) & self.trained

    def _ask(self, read: Callable[[NDArray], Batch], count: int, say: Callable[[Batch], Tensor]) -> NDArray:
        """Ask of rows 0..count-1 in batches, without gradients; in double precision."""
        size, device = self.settings.batch_size, self.settings.device_now()
        with torch.inference_mode():
            chunks = [say(read(np.arange(i, min(i + size, count))).to(device)) for i in range(0, count, size)]
        return torch.cat(chunks).cpu().double().numpy()

    def _check_grid(self, cohort: Cohort) -> None:
        check_grid(cohort, self.features, self.places_T3, full=self.tokens == "grid")

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays = {
            f"member{number}.{key}": value.cpu().numpy()
            for number, member in enumerate(self.members)
            for key, value in member.state_dict().items()
        }
        facts = {
            "features": self.features,
            "clinical": self.encoder.facts(),
            "trained": self.trained.tolist(),
            "members": len(self.members),
            "diagnosis": self.diagnosis,
            "history": self.history,
            "pretrained_on": self.pretrained_on,
        }
        return {**arrays, "places": self.places_T3}, facts

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        self.places_T3 = arrays["places"]
        # JSON sorts the keys; the order of the modalities is the network's.
        self.features = {name: facts["features"][name] for name in self.modalities_ if name != CLINICAL}
        self.encoder = ClinicalEncoder.from_facts(facts["clinical"])
        self.trained, self.diagnosis = np.array(facts["trained"], bool), facts["diagnosis"]
        self.history = facts["history"]
        self.pretrained_on = facts.get("pretrained_on", [])
        self.members = []
        for number in range(facts["members"]):
            start = f"member{number}."
            member = self._build()
            weights = {key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)}
            member.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
            self.members.append(member)
        self._rest()
