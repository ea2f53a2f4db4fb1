"""One kernel machine on all modalities at once."""

from dataclasses import dataclass

from neuromoe.model.kernel_moe import KernelMoE, KernelMoESettings


@dataclass(frozen=True)
class EarlyFusionSettings(KernelMoESettings):
    """Settings of `early-fusion`: those of `kernel-moe`, without experts of single modalities."""

    alone: bool = False


class EarlyFusion(KernelMoE):
    """One calibrated kernel machine on all modalities at once: the joint expert of `kernel-moe` by itself."""

    name = "early-fusion"
    Settings = EarlyFusionSettings
