"""Average the maps of a session's BOLD runs, and put their quality numbers together."""

from pathlib import Path

from neuromoe.core.provenance import write_sidecar
from neuromoe.core.quality import read_quality, write_quality
from neuromoe.imaging.images import load_image, save_image


def average(
    *,
    alff: list[Path],
    falff: list[Path],
    reho: list[Path],
    seed_map: list[Path],
    masks: list[Path],
    correct_qualities: list[Path],
    normalize_qualities: list[Path],
    alff_average: Path,
    falff_average: Path,
    reho_average: Path,
    seed_map_average: Path,
    correct_quality: Path,
    normalize_quality: Path,
    network_map: list[Path] | None = None,
    network_map_average: Path | None = None,
) -> None:
    """Average the maps of several runs on the template's grid, weighted by their usable volumes.

    A place has the mean of the runs that cover it. Runs that failed are left out where others did not.

    Parameters
    ----------
    alff, falff, reho, seed_map : list of path
        One map of each run.
    masks : list of path
        Where each run's maps have values.
    correct_qualities, normalize_qualities : list of path
        Quality numbers of the runs' two steps.
    alff_average, falff_average, reho_average, seed_map_average : path
        Output: the averages.
    correct_quality, normalize_quality : path
        Output: the steps' quality numbers of all runs together.
    network_map : list of path, optional
        Network maps of each run.
    network_map_average : path, optional
        Output: their average.
    """
    from neuromoe.func._several import together, usable_volumes, weighted_mean

    corrected, normalized = (
        [read_quality(path) for path in paths] for paths in (correct_qualities, normalize_qualities)
    )
    weights = usable_volumes(corrected, normalized)
    print(f"usable volumes: {', '.join(f'{weight:.0f}' for weight in weights)}", flush=True)
    covered = [load_image(path, ndim=3).data > 0.5 for path in masks]
    maps = {alff_average: alff, falff_average: falff, reho_average: reho, seed_map_average: seed_map}
    if network_map_average and network_map:
        maps[network_map_average] = network_map
    for path, sources in maps.items():
        images = [load_image(source) for source in sources]
        save_image(images[0].like(weighted_mean([image.data for image in images], covered, weights)), path)
        write_sidecar(path, sources=sources, parameters={"weights": weights.tolist()})
    names = [path.name.split("_desc-")[0] for path in correct_qualities]
    for path, records in ((correct_quality, corrected), (normalize_quality, normalized)):
        write_quality(path, *together(records, weights, names))
