"""What huggingface_hub makes of variables, and datasets of file names. Prints a line of JSON for each case given as JSON."""

import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def variables(env: dict[str, str]) -> Any:
    from huggingface_hub import constants
    from huggingface_hub.utils import _headers

    os.environ.clear()
    os.environ.update(env)
    importlib.reload(constants)
    return {
        "endpoint": constants.ENDPOINT,
        "cache": constants.HF_HUB_CACHE,
        "offline": constants.HF_HUB_OFFLINE,
        "token": _headers.get_token_to_send(None),
    }


def splits(paths: list[str]) -> Any:
    """Files of each split, of a folder with these files."""
    from datasets.data_files import DataFilesDict, get_data_patterns

    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            file = Path(folder) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        found = DataFilesDict.from_patterns(get_data_patterns(folder), base_path=folder)
        return {str(split): sorted(str(Path(one).relative_to(folder)) for one in files) for split, files in found.items()}


if __name__ == "__main__":
    what = {"variables": variables, "splits": splits}[sys.argv[1]]
    for case in json.loads(sys.argv[2]):
        print(json.dumps(what(case)))
