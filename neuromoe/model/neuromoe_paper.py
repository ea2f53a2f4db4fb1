"""The paper's network: a preset of `neuromoe`."""

from neuromoe.model.networks.settings import PaperSettings
from neuromoe.model.neuromoe import NeuroMoE


class NeuroMoEPaper(NeuroMoE):
    """NeuroMoE as its authors describe it.

    Patches of 4x4x4 voxels, a code of their places, transformer layers, the mean of the tokens, an expert for each
    modality and one for the clinical features, a gate of two layers on the clinical features, R_balance, and a
    weighted cross-entropy of the mixture, end to end. What the text leaves open was chosen on made cohorts: the mean
    map is taken off and channels are scaled; a learned gain of each place makes the mean of the tokens tell where
    something is; three members, each without a third of the people, whose held-out predictions give a last
    temperature. The tokens are those of the brain unless `tokens: grid`; people may lack modalities, which the gate
    then leaves out and renormalises.

    References
    ----------
    Raza WH et al. 2025, doi:10.48550/arXiv.2506.14970.
    """

    name = "neuromoe-paper"
    Settings = PaperSettings
