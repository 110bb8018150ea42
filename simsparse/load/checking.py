"""Checking a file without simulating: what it is, and every mistake in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from simsparse.errors import FileError
from simsparse.load.document import read_document, shown_path
from simsparse.load.files.open_file import ENDINGS, TIMELOOP, file_kind, load_file

ENERGY_TABLE = "Accelergy table"
_MARKS = {
    "hardware": ("clock_hz", "dataflow", "macs_per_cycle", "energy_pj"),
    "workload": ("layers", "blocks", "inputs"),
    "study": ("models", "on", "format", "dtype", "set", "zip", "exclude", "measure"),
    "plan": ("model", "hardware", "formats", "patterns", "prune"),
}


def check_file(path: str | Path) -> str:
    """The kind of a file, such as ``hardware``, ``study`` or ``onnx model``, after loading it whole.

    Weights are not read: what is checked is that they lie where the file says.

    Raises
    ------
    FileError
        With every mistake of the file, or if it is no such file.
    """
    ending = Path(path).suffix.lower()
    if ending == ".onnx":
        from simsparse.load.onnx_import import load_onnx

        load_onnx(path)
        return "onnx model"
    found = file_kind(str(path))
    if found is not None:
        load_file(found, str(path), {})
        return found.name
    if ending not in (".yaml", ".yml"):
        raise FileError(
            [f"{shown_path(path)}: expected a file that ends in {ENDINGS}, got another ending (rename it)"]
        )
    kind = yaml_kind(path)
    _yaml_loader(kind)(path)
    return kind


def _yaml_loader(kind: str) -> Callable[[str | Path], object]:
    """What reads the YAML files of a kind; nothing is imported for the others."""
    if kind == ENERGY_TABLE:
        from simsparse.load.files.accelergy_ert import load_ert

        return load_ert
    if kind == "hardware":
        from simsparse.load.hardware_yaml import load_hardware_file

        return load_hardware_file
    if kind == "study":
        from simsparse.load.study_yaml import load_study

        return load_study
    if kind == "plan":
        from simsparse.load.plan_yaml import load_plan

        return load_plan
    from simsparse.load.workload_yaml import load_workload

    return load_workload


def yaml_kind(path: str | Path) -> str:
    """What a YAML file describes, by its keys: ``hardware``, ``workload``, ``study``, ``plan``, or another
    tool's kind of file.
    """
    from simsparse.load.files.accelergy_ert import is_ert
    from simsparse.load.files.timeloop_yaml import is_timeloop

    document = read_document(path)
    if is_timeloop(document):
        return TIMELOOP.name
    if is_ert(document):
        return ENERGY_TABLE
    keys = set(document.data) if isinstance(document.data, dict) else set()
    marks = {kind: len(keys.intersection(words)) for kind, words in _MARKS.items()}
    if not any(marks.values()):
        out = "they have clock_hz and dataflow; layers; models and on; formats"
        raise document.error([((), f"expected a machine, a workload, a study or a plan, got none ({out})")])
    return max(marks, key=lambda kind: marks[kind])
