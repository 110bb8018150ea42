"""The tensors of a whole checkpoint: one file, or shards with the index that says what is in which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from simsparse.errors import FileError
from simsparse.load.files.safetensors_file import read_safetensors
from simsparse.load.files.tensor_source import FileTensor
from simsparse.load.files.text_file import parse_json_object, read_bytes
from simsparse.load.folder import file_beside
from simsparse.load.onnx_text import clean
from simsparse.load.quoting import shown

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
MAX_INDEX_BYTES = 64 * 2**20
MAX_SHARDS = 10_000
_MISTAKES_SHOWN = 10


def tensors_beside(owner: Path) -> dict[str, FileTensor] | None:
    """The tensors of the checkpoint in the folder of the file ``owner``; None where there is none.

    Raises
    ------
    FileError
        If a file of it is missing, damaged, or outside the folder.
    """
    folder = owner.parent
    if (folder / INDEX).is_file():
        return read_shards(folder / INDEX)
    if not (folder / WHOLE).exists():
        return None
    target = file_beside(WHOLE, owner, WHOLE, what="weights", owner="model", way_out="use its folder")
    return read_safetensors(target)


def read_shards(index: Path) -> dict[str, FileTensor]:
    """The tensors that an index (``…safetensors.index.json``) lists, from the shards beside it.

    Raises
    ------
    FileError
        If a shard is missing, damaged or outside the folder, or lacks a tensor that the index promises; up
        to ten mistakes at once, each with the name of the shard.
    """
    where = clean(str(index))
    data = read_bytes(index, most_bytes=MAX_INDEX_BYTES, what="an index of shards")
    listed = _weight_map(parse_json_object(data, where), where)
    shards: dict[str, dict[str, FileTensor]] = {}
    mistakes: list[str] = []
    for shard in sorted(set(listed.values())):
        try:
            shards[shard] = read_safetensors(_shard(shard, index))
        except FileError as error:
            mistakes += error.mistakes
    if mistakes:
        raise FileError(mistakes[:_MISTAKES_SHOWN])
    missing = [name for name, shard in listed.items() if name not in shards[shard]]
    if missing:
        raise FileError(
            f"{where}: tensor {clean(name)}: expected it in {clean(listed[name])}, got no such tensor there"
            " (the shard is of another model: fetch it again)"
            for name in missing[:_MISTAKES_SHOWN]
        )
    return {name: shards[shard][name] for name, shard in listed.items()}


def _weight_map(index: Mapping[str, object], where: str) -> dict[str, str]:
    entries = index.get("weight_map")
    if not isinstance(entries, dict) or not entries:
        raise FileError(
            [f"{where}: weight_map: expected tensors by shard, got {shown(entries)} (fetch it again)"]
        )
    wrong = next((name for name, shard in entries.items() if not isinstance(shard, str)), None)
    if wrong is not None:
        got = shown(entries[wrong])
        raise FileError(
            [f"{where}: tensor {clean(wrong)}: expected the name of a shard, got {got} (fetch it again)"]
        )
    if len(set(entries.values())) > MAX_SHARDS:
        raise FileError([f"{where}: expected at most {MAX_SHARDS:,} shards, got more (merge them)"])
    return entries


def _shard(name: str, index: Path) -> Path:
    if not name.lower().endswith(".safetensors"):
        out = "convert the checkpoint to safetensors"
        raise FileError(
            [f"{clean(str(index))}: expected shards that end in .safetensors, got {shown(name)} ({out})"]
        )
    return file_beside(
        name, index, "shard", what="shard", owner="index", way_out="put the shards beside their index"
    )
