"""What is shared by models whose members are networks: what they read, how members are trained, kept and asked.

Axis letters: N people, B batch, M modality, C channel, T token, F voxels of a patch or encoded clinical features, K
class.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuromoe.cohort.clinical import ClinicalEncoder
from neuromoe.cohort.cohort import CLINICAL, Cohort
from neuromoe.cohort.grid import Layout
from neuromoe.cohort.loading import PatchDataset
from neuromoe.core.errors import InputError
from neuromoe.model.networks.diagnosis import diagnose
from neuromoe.model.networks.learner import Batch, Learner, People
from neuromoe.model.networks.network import Network
from neuromoe.model.networks.reader import Reader
from neuromoe.model.networks.settings import NeuroMoESettings
from neuromoe.model.networks.training import train_members
from neuromoe.model.shared.base import LongFit
from neuromoe.model.shared.maps import Frame


class NetworkModel(LongFit):
    """A model whose members are networks of one make.

    Attributes
    ----------
    history : list of dict
        Losses per epoch.
    diagnosis : list of str
        Signs of a failed training by people held out, and what to do.
    """

    Settings: ClassVar[type] = NeuroMoESettings
    layout: Layout
    members: list[Any]
    history: list[dict[str, float]]
    diagnosis: list[str]
    trained: NDArray
    frames: dict[str, Frame]

    def _learn_inputs(self, cohort: Cohort, rows: NDArray) -> None:
        """Learn from the training people how inputs are encoded, and which modalities are used."""
        table = None if cohort.clinical is None else cohort.clinical.iloc[rows]
        self.encoder = ClinicalEncoder.fit(table, cohort.clinical_types)
        self.trained = self._of_all_classes(cohort, rows) & self._chosen()
        self.layout = Layout.of(cohort, full=self.settings.tokens == "grid")
        self.history, self.diagnosis, self.members = [], [], []

    def _chosen(self) -> NDArray:
        """Tell which modalities the settings name (M,)."""
        if self.settings.modalities == "all":
            return np.ones(len(self.modalities_), bool)
        names = [name.strip() for name in self.settings.modalities.split(",")]
        strange = sorted(set(names) - set(self.modalities_))
        if strange:
            raise InputError(
                expected=f"names of {', '.join(self.modalities_)}, or all",
                found=", ".join(strange),
                where=f"the setting modalities of {self.name}",
                fix="correct them",
            )
        return np.isin(self.modalities_, names)

    def _build(self) -> Network:
        """Make a member, its weights random."""
        places_T3, clinical = torch.from_numpy(self.layout.places), None
        if CLINICAL in self.modalities_:
            clinical = len(self.encoder.features)
        return Network(self.layout.features, places_T3, clinical, len(self.classes_), self.settings)

    def _train(
        self,
        cohort: Cohort,
        rows: NDArray,
        parts: NDArray,
        numbers: Sequence[int],
        objective: Any,
        weights: Mapping[int, Mapping[str, NDArray]],
    ) -> list[Any]:
        """Train some members; member m never sees the people of part m.

        Parameters
        ----------
        cohort : Cohort
        rows : array (N,), int
        parts : array (N,), int
        numbers : sequence of int
            Which members.
        objective : function
        weights : mapping of int to mapping of str to array (C,)
            For each member, how much each channel of a modality counts.
        """
        own = np.full(len(parts), -1)
        for place, number in enumerate(numbers):
            own[parts == number] = place
        seen = own < 0 if len(numbers) == 1 else np.ones(len(rows), bool)
        targets = self._targets(cohort, rows)
        weights_K = self._class_weights(targets[seen], self.settings.class_weights)
        # The seed rules within; the caller's own stream of random numbers goes on as if nothing had happened.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + int(numbers[0]))
            members = [self._build() for _ in numbers]
            for member, number in zip(members, numbers, strict=True):
                self._weigh_channels(member, weights[number])
            read = self._reader(cohort, rows, targets=targets)
            people = People(read, own, targets, torch.tensor(weights_K, dtype=torch.float32))
            learner = Learner(members, people, objective, self.settings, self.seed)
            if seen.any():
                self.history += train_members(learner, folder=self._own_folder(people, numbers), progress=self.progress)
        for member in members:
            member.to(self.settings.device_now()).eval()
        return members

    def _weigh_channels(self, member: Any, weights: Mapping[str, NDArray]) -> None:
        for name, weights_C in weights.items():
            factor_C = torch.from_numpy(np.sqrt(weights_C * len(weights_C))).float()
            expert = member.experts[name]
            expert.relevance.copy_(factor_C.repeat_interleave(len(expert.relevance) // len(factor_C)))

    def _diagnose(
        self, experts: NDArray, said: NDArray, weights: NDArray, targets: NDArray, present: NDArray, *, gated: bool
    ) -> None:
        """Look for signs of a failed training in what is said of people held out."""
        self.diagnosis = diagnose(self.history, self.modalities_, weights, experts, said, targets, present, gated=gated)
        if self.progress:
            for sign in self.diagnosis:
                print(f"note: {sign}", flush=True)

    def _own_folder(self, people: People, numbers: Sequence[int]) -> Path | None:
        if self.folder is None:
            return None
        known = self.name, self.seed, self.settings, tuple(numbers)
        return people.folder_in(Path(self.folder), known, self.settings.batch_size)

    def _reader(self, cohort: Cohort, positions: NDArray, *, targets: NDArray | None = None) -> Reader:
        """Return what reads batches by rows of `positions`; targets (n,) are zeros where not given."""
        encoded_NF = torch.from_numpy(self._encode_clinical(cohort, positions))
        patches = PatchDataset(cohort, positions, full_grid=self.layout.full)
        wanted = np.zeros(len(positions), np.int64) if targets is None else targets
        present_NM = self._usable(cohort, positions)
        return Reader(patches, self.frames, self.modalities_, present_NM, encoded_NF, torch.from_numpy(wanted))

    def _encode_clinical(self, cohort: Cohort, positions: NDArray) -> NDArray:
        known = CLINICAL in self.modalities_
        return self.encoder.encode_rows(cohort, positions) if known else self.encoder.encode(None, len(positions))

    def _usable(self, cohort: Cohort, positions: NDArray) -> NDArray:
        # An expert that never saw anybody of a class has nothing to say.
        return cohort.present(positions, self.modalities_) & self.trained

    def _ask(self, read: Callable[[NDArray], Batch], count: int, say: Callable[[Batch], Tensor]) -> NDArray:
        """Ask of rows 0..count-1 in batches, without gradients; in double precision."""
        size, device = self.settings.batch_size, self.settings.device_now()
        with torch.inference_mode():
            chunks = [say(read(np.arange(i, min(i + size, count))).to(device)) for i in range(0, count, size)]
        return torch.cat(chunks).cpu().double().numpy()

    def _state(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays = {
            f"member{number}.{key}": value.cpu().numpy()
            for number, member in enumerate(self.members)
            for key, value in member.state_dict().items()
        }
        for name, frame in self.frames.items():
            arrays |= frame.arrays(f"frame.{name}")
        facts = {
            "layout": self.layout.facts(),
            "clinical": self.encoder.facts(),
            "trained": self.trained.tolist(),
            "members": len(self.members),
            "frames": list(self.frames),
            "diagnosis": self.diagnosis,
            "history": self.history,
        }
        return {**arrays, "places": self.layout.places}, facts

    def _set_state(self, arrays: dict[str, NDArray], facts: dict[str, Any]) -> None:
        self.layout = Layout.from_facts(facts["layout"], arrays["places"], self.modalities_)
        self.encoder = ClinicalEncoder.from_facts(facts["clinical"])
        self.trained, self.diagnosis = np.array(facts["trained"], bool), facts["diagnosis"]
        self.history, self.members = facts["history"], []
        self.frames = {name: Frame.from_arrays(arrays, f"frame.{name}") for name in facts["frames"]}
        for number in range(facts["members"]):
            start = f"member{number}."
            member = self._build()
            weights = {key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)}
            member.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
            self.members.append(member.to(self.settings.device_now()).eval())
