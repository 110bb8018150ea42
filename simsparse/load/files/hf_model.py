"""A Hugging Face folder, or its ``config.json`` alone, as a workload: ``load_huggingface(path)``.

The configuration gives the layers; weights come from the safetensors beside it where there are any, one
layer at a time, and are drawn otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from simsparse.errors import FileError, ShapeError, UsageError
from simsparse.ir import Workload
from simsparse.load.files.checkpoint_files import tensors_beside
from simsparse.load.files.hf_config import CONFIG, Config, read_config
from simsparse.load.files.hf_encoders import add_bert, add_vit
from simsparse.load.files.hf_gpt import add_gpt2, add_opt
from simsparse.load.files.hf_llama import add_llama
from simsparse.load.files.hf_network import Network, Setting
from simsparse.load.files.tensor_pairs import join_pairs
from simsparse.load.files.tensor_source import FileWeights, Part, TensorSource
from simsparse.load.files.torch_file import read_torch
from simsparse.load.folder import file_beside
from simsparse.load.graph import Graph, make_graph, shape_text
from simsparse.load.lower import lower
from simsparse.load.onnx_text import clean
from simsparse.load.quoting import shown

PREFILL, DECODE = "prefill", "decode"
_TORCH = "pytorch_model.bin"
_PREFIXES = ("", "model.", "transformer.", "bert.", "vit.")
_MAX_SEQ = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a kind of model is written down, and what may be asked of it."""

    add: Callable[[Network, Config], str]
    seq: int
    """Sequence length where none is asked for; 0 for models without one."""
    has_phases: bool
    longest: tuple[str, ...] = ()
    """Names of the longest sequence in the configuration."""


_LONGEST = ("max_position_embeddings",)
_LLAMA = Family(add=add_llama, seq=512, has_phases=True, longest=_LONGEST)
FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"), _LLAMA),
    "gpt2": Family(add=add_gpt2, seq=512, has_phases=True, longest=("n_positions", "n_ctx")),
    "opt": Family(add=add_opt, seq=512, has_phases=True, longest=_LONGEST),
    "bert": Family(add=add_bert, seq=128, has_phases=False, longest=_LONGEST),
    "vit": Family(add=add_vit, seq=0, has_phases=False),
}


def load_huggingface(
    path: str | Path, *, batch: int | None = None, seq: int | None = None, phase: str | None = None
) -> Workload:
    """The layers of a model in Hugging Face layout.

    Parameters
    ----------
    path
        A folder with a ``config.json``, or that file. Weights are read from ``model.safetensors``, from the
        shards of ``model.safetensors.index.json``, or with torch from ``pytorch_model.bin``, in that folder.
    batch
        Sequences or images, by default 1.
    seq
        Tokens of the prompt; in the decode phase positions in the cache, the new one included.
    phase
        ``prefill`` (one pass over the prompt, logits of the last position; the default) or ``decode`` (one
        new token per sequence), for decoders.

    Raises
    ------
    FileError
        With every mistake of the configuration, or what is wrong with the weights.
    UsageError
        If the family is unknown, or ``seq`` or ``phase`` does not apply to it.
    """
    path = Path(path)
    file = path / CONFIG if path.is_dir() else path
    config = read_config(file)
    family = _family(config)
    setting = _setting(config, family, batch, seq, phase)
    tensors = _tensors(file)
    net = Network(setting=replace(setting, repeat_layers=tensors is not None))
    try:
        output = family.add(net, config)
        workload = lower(_graph(net, output, file, config, seq))
    except ShapeError as error:
        raise FileError([f"{config.where}: {clean(str(error))} (its sizes do not fit each other)"]) from None
    if tensors is None:
        return workload
    return _with_weights(workload, net, tensors, config.where)


def _family(config: Config) -> Family:
    found = FAMILIES.get(config.model_type)
    if found is None:
        known = ", ".join(FAMILIES)
        got = shown(config.entries.get("model_type"))
        out = "export the model to ONNX"
        raise UsageError(f"{config.where}: model_type: expected one of {known}, got {got} ({out})")
    return found


def _setting(
    config: Config, family: Family, batch: int | None, seq: int | None, phase: str | None
) -> Setting:
    kind = config.model_type
    if phase is not None and (not family.has_phases or phase not in (PREFILL, DECODE)):
        expected = f"{PREFILL} or {DECODE}" if family.has_phases else f"none, as {kind} is no decoder"
        raise UsageError(f"phase: expected {expected}, got {shown(phase)} (leave --phase out)")
    if seq is not None and not family.seq:
        raise UsageError(f"seq: expected a model with a sequence, got a {kind} (leave --seq out)")
    longest = config.size(*family.longest, default=_MAX_SEQ) if family.longest else _MAX_SEQ
    config.check()
    if (seq or 1) > longest:
        raise UsageError(f"seq: expected at most {longest} positions, as {config.where} says, got {seq}")
    length = seq or min(family.seq, longest) or 1
    return Setting(batch=batch or 1, seq=length, is_decode=phase == DECODE)


def _tensors(file: Path) -> dict[str, TensorSource] | None:
    """The tensors beside a configuration, None where there are none."""
    found: Mapping[str, TensorSource] | None = tensors_beside(file)
    if found is None and (file.parent / _TORCH).exists():
        out = "use its folder"
        found = read_torch(file_beside(_TORCH, file, _TORCH, what="weights", owner="model", way_out=out))
    return None if found is None else join_pairs(found)


def _graph(net: Network, output: str, file: Path, config: Config, seq: int | None) -> Graph:
    folder = clean(file.absolute().parent.name) or config.model_type
    is_named = file.name == CONFIG
    name = folder if is_named else clean(file.stem)
    assumed = "" if seq else " (assumed; --seq sets it)"
    setting = net.setting
    if not FAMILIES[config.model_type].seq:
        about: tuple[str, ...] = ()
    elif setting.is_decode:
        about = (f"decode: one new token per sequence, {setting.seq} positions in the cache{assumed}",)
    else:
        about = (f"one pass over {setting.seq} tokens per sequence{assumed}",)
    return make_graph(
        name,
        source=f"Hugging Face configuration, {config.model_type}",
        inputs=net.inputs,
        nodes=tuple(net.nodes),
        outputs=(output,),
        batch=setting.batch,
        notes=(*about, *net.notes),
    )


def _with_weights(
    workload: Workload, net: Network, tensors: Mapping[str, TensorSource], where: str
) -> Workload:
    shapes = {layer.name: (layer.m, layer.k) for layer in workload.layers if layer.kind.has_weights}
    sources: dict[str, TensorSource] = {}
    mistakes, seeded = [], []
    for name, weight in net.weights.items():
        found = _find(weight.tensor, tensors)
        if found is None:
            seeded.append(name)
            continue
        source = tensors[found]
        if weight.transpose or weight.rows:
            whole = len(source.shape) == 2 and (weight.rows is None or weight.rows[1] <= source.shape[1])
            source = Part(source=source, transpose=weight.transpose, rows=weight.rows) if whole else source
        if not _fits(source.shape, shapes[name]):
            expected, got = shape_text(shapes[name]), shape_text(source.shape)
            mistakes.append(f"{where}: tensor {clean(found)}: expected shape {expected}, got {got}")
        sources[name] = source
    if mistakes:
        raise FileError([f"{text} (the weights are of another model)" for text in mistakes[:10]])
    notes = (*workload.notes, *_notes(sources, seeded))
    return replace(workload, weights=FileWeights(sources, shapes), notes=notes)


def _find(name: str, tensors: Mapping[str, TensorSource]) -> str | None:
    """The tensor as it is called here: checkpoints differ in the prefix of the base model."""
    for removed in _PREFIXES:
        short = name.removeprefix(removed)
        for added in _PREFIXES:
            if added + short in tensors:
                return added + short
    return None


def _fits(shape: tuple[int, ...], matrix: tuple[int, int]) -> bool:
    return len(shape) >= 2 and shape[0] == matrix[0] and math.prod(shape[1:]) == matrix[1]


def _notes(sources: Mapping[str, TensorSource], seeded: list[str]) -> Iterator[str]:
    if not sources:
        yield "the checkpoint has none of the model's weights under their usual names: all are seeded"
    elif seeded:
        first = ", ".join(seeded[:3])
        yield f"{len(seeded)} layers have no tensor in the checkpoint and get seeded weights: {first}"
