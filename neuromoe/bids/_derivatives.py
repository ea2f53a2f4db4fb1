"""What makes the derivatives a BIDS dataset."""

import json
from pathlib import Path

import neuromoe
from neuromoe.core.atomic import write_if_changed

# Names that BIDS does not have (yet).
IGNORED = ("*_quality.*", "*_boldmap.*", "*_dwimap.*", "*_T1map.*", "*_xfm.*", "*_boldref.*", "*desc-slicetimed*")


def describe_derivatives(folder: Path, bids_dir: Path) -> None:
    """Write dataset_description.json and .bidsignore, unless they are there already."""
    description = {
        "Name": "NeuroMoE derivatives",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "neuromoe", "Version": neuromoe.__version__}],
        "DatasetLinks": {"raw": str(bids_dir)},
    }
    write_if_changed(folder / "dataset_description.json", json.dumps(description, indent=1) + "\n")
    write_if_changed(folder / ".bidsignore", "\n".join(IGNORED) + "\n")
