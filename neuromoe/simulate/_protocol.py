"""What the scanners of the synthetic cohort do. Standard library only: the workflow's plan reads it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Grids and lengths of the scans of one dataset size.

    Parameters
    ----------
    t1w_voxel_mm, dwi_voxel_mm, bold_voxel_mm : float
        Edge of the cubic voxels.
    b0s, directions : int
        Volumes with b = 0, and with b = 1000 s/mm^2.
    bold_volumes : int
        Volumes of the resting run.
    template_mm : int
        The template is averaged over blocks of this many voxels (1 mm each) before it is sampled.
    body_mm, property_mm : float
        Grids of the made head and of the person's diffusion and BOLD properties.
    """

    t1w_voxel_mm: float
    dwi_voxel_mm: float
    bold_voxel_mm: float
    b0s: int
    directions: int
    bold_volumes: int
    template_mm: int
    body_mm: float
    property_mm: float


SIZES = {
    "tiny": Size(4.0, 6.0, 6.0, 2, 12, 30, 3, 3.0, 4.0),
    "demo": Size(2.0, 4.0, 4.0, 2, 12, 60, 2, 2.0, 2.5),
    "full": Size(1.0, 2.0, 3.0, 4, 30, 200, 1, 1.5, 1.5),
}


@dataclass(frozen=True)
class Site:
    """One scanner: its habits of storing, its contrast and its noise.

    Parameters
    ----------
    t1w_axes, epi_axes : str
        World direction of each stored voxel axis, such as `LAS`.
    tilt_deg : float
        Rotation of the slices of dwi and bold about the left-right axis.
    slice_order : str
        `none` (all slices at once and not in the JSON), `ascending` or `interleaved`.
    contrast : float
        Exponent on the T1w intensities.
    noise : float
        Standard deviation of each channel, as a share of white matter's signal.
    bias : float
        Strength of the T1w's smooth multiplicative field (standard deviation of its logarithm).
    """

    name: str
    manufacturer: str
    model: str
    field_strength_t: float
    t1w_axes: str
    epi_axes: str
    tilt_deg: float
    repetition_time_s: float
    slice_order: str
    phase_encoding: str
    contrast: float
    noise: float
    bias: float


SITES = (
    Site("north", "Siemens", "Prisma", 3.0, "LAS", "LAS", 0.0, 2.0, "none", "j-", 1.0, 0.025, 0.10),
    Site("south", "GE", "Discovery MR750", 3.0, "PSR", "RAS", 12.0, 2.0, "interleaved", "j", 1.2, 0.035, 0.14),
    Site("west", "Philips", "Achieva", 1.5, "RAS", "LAS", -8.0, 2.2, "ascending", "j-", 0.85, 0.045, 0.08),
)

FOV_MM = {"anat": (192.0, 248.0, 248.0), "dwi": (224.0, 240.0, 176.0), "func": (224.0, 240.0, 168.0)}
CENTER_MM = {"anat": (0.0, -8.0, -28.0), "dwi": (0.0, -10.0, 6.0), "func": (0.0, -10.0, 8.0)}
B_VALUE = 1000


def stored_shape(modality: str, voxel_mm: float, axes: str) -> tuple[int, int, int]:
    """Return the voxels along each stored axis.

    Examples
    --------
    >>> stored_shape("anat", 2.0, "PSR")
    (124, 124, 96)
    """
    counts = dict(zip("RAS", (round(extent / voxel_mm) for extent in FOV_MM[modality]), strict=True))
    x, y, z = (counts[axis.translate(str.maketrans("LPI", "RAS"))] for axis in axes)
    return x, y, z


def slice_times_s(order: str, slices: int, repetition_time_s: float) -> tuple[float, ...]:
    """Return when each slice is taken, empty where all are taken at once.

    Examples
    --------
    >>> slice_times_s("interleaved", 4, 2.0)
    (0.0, 1.0, 0.5, 1.5)
    """
    if order == "none":
        return ()
    ranks = list(range(slices))
    if order == "interleaved":
        taken = ranks[::2] + ranks[1::2]
        ranks = [taken.index(position) for position in range(slices)]
    return tuple(round(rank * repetition_time_s / slices, 4) for rank in ranks)


def b_values(size: Size) -> tuple[int, ...]:
    """Return the b-value of each volume: b = 0 at the start and spread through the run.

    Examples
    --------
    >>> b_values(SIZES["demo"]).index(0, 1)
    7
    """
    volumes = size.b0s + size.directions
    zeros = {index * volumes // size.b0s for index in range(size.b0s)}
    return tuple(0 if volume in zeros else B_VALUE for volume in range(volumes))


def sidecar(modality: str, site: Site, slice_times: tuple[float, ...]) -> dict[str, object]:
    """Return the BIDS metadata of one image."""
    common: dict[str, object] = {
        "Manufacturer": site.manufacturer,
        "ManufacturersModelName": site.model,
        "MagneticFieldStrength": site.field_strength_t,
        "InstitutionName": site.name,
    }
    if modality == "anat":
        return common | {"RepetitionTime": 2.3, "EchoTime": 0.00298, "InversionTime": 0.9, "FlipAngle": 9}
    common |= {"PhaseEncodingDirection": site.phase_encoding, "TotalReadoutTime": 0.05}
    if modality == "dwi":
        return common | {"RepetitionTime": 7.5, "EchoTime": 0.085, "FlipAngle": 90}
    timing: dict[str, object] = {"SliceTiming": list(slice_times)} if slice_times else {}
    return (
        common
        | timing
        | {
            "TaskName": "rest",
            "RepetitionTime": site.repetition_time_s,
            "EchoTime": 0.03,
            "FlipAngle": 80,
            "Instructions": "Keep your eyes open and stay awake.",
        }
    )
