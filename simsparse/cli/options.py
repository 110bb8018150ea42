"""Options that several commands share, each told once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from simsparse.load import phases

_FORMS = "gemm:M,K,N or conv:C,K,H,W,R,S,stride"
Model = Annotated[
    str,
    Parameter(
        help=f"Bundled name (simsparse list workloads), {_FORMS}, a Hugging Face folder, or a file: .yaml, "
        ".onnx, .safetensors, config.json, .pt, .smtx, .mtx, SCALE-Sim .csv, Timeloop .yaml; "
        "resnet50@FILE takes the weights of a checkpoint."
    ),
]
On = Annotated[
    str, Parameter("--on", help="The machine: a bundled name (simsparse list hardware) or a .yaml file.")
]
Prune = Annotated[
    str | None,
    Parameter(
        "--prune", help="Pattern of the zeros, such as 2:4 or unstructured:0.9 (simsparse list patterns)."
    ),
]
Criterion = Annotated[str, Parameter("--criterion", help="Which weights go (simsparse list criteria).")]
CalibrationFile = Annotated[
    Path | None,
    Parameter(
        "--calibration",
        help="An .npz with what wanda, sparsegpt and others need: <layer>/inputs, gram, gradients, mask …",
    ),
]
Allocation = Annotated[
    str,
    Parameter(
        "--allocation", help="How the sparsity is spread over layers: uniform, erk, global or a profile."
    ),
]
Skip = Annotated[
    tuple[str, ...],
    Parameter(
        "--skip", negative="", show_default=False, help="A layer to leave dense, by name or glob; repeatable."
    ),
]
Format = Annotated[
    str,
    Parameter(
        "--format", help="Storage of the weights (simsparse list formats); auto takes the best per layer."
    ),
]
Dtype = Annotated[
    Literal["fp32", "fp16", "bf16", "int16", "int8", "fp8", "int4"] | None,
    Parameter("--dtype", help="Number type; the machine's own by default."),
]
Batch = Annotated[int | None, Parameter("--batch", help="Batch size instead of the model's own.")]
Columns = Annotated[
    int | None, Parameter("--columns", help="Width of the operand that a single matrix (.smtx, .mtx) meets.")
]
Seq = Annotated[int | None, Parameter("--seq", help="Sequence length instead of the model's own.")]
WeightDensity = Annotated[
    float | None,
    Parameter("--weight-density", help="Share of weights kept, 0 to 1; short for an unstructured pattern."),
]
ActivationDensity = Annotated[
    float | None, Parameter("--activation-density", help="Share of activations that are not zero, 0 to 1.")
]
ActivationsFile = Annotated[
    Path | None,
    Parameter(
        "--activations",
        help="What inputs of layers look like: an .npz that measure --capture wrote, or by hand with "
        "<layer>/density (a number) or <layer>/input_mask (x != 0 in the shape of the layer's input: "
        "batch,channels,height,width or …,features). Machines that skip zeros meet a mask's very zeros.",
    ),
]
Phase = Annotated[
    phases.Phase,
    Parameter(
        "--phase",
        help="train simulates one step: forward, backward, update; prefill and decode are for decoders "
        "in Hugging Face layout.",
    ),
]
LoadedPhase = Annotated[
    phases.LoadedPhase | None,
    Parameter("--phase", help="How decoders in Hugging Face layout run; prefill by default."),
]
Optimizer = Annotated[
    Literal["sgd", "momentum", "adam"], Parameter("--optimizer", help="Whose state a training step moves.")
]
GradientDensity = Annotated[
    float, Parameter("--gradient-density", help="Share of gradients of outputs that is not zero, 0 to 1.")
]
Seed = Annotated[int, Parameter("--seed", help="Seed of weights and masks that the model does not bring.")]
Plan = Annotated[
    Path | None,
    Parameter(
        "--plan",
        help="A plan of simsparse recommend: formats by layer, and without --prune its pattern, criterion, "
        "allocation and seed.",
    ),
]
Engine = Annotated[
    Literal["compiled", "simpy"],
    Parameter("--engine", help="simpy is the slow, readable reference; same results."),
]
AllLayers = Annotated[
    bool,
    Parameter(
        "--all-layers", negative="", show_default=False, help="List layers without a product one by one."
    ),
]
Json = Annotated[
    bool, Parameter("--json", negative="", show_default=False, help="Print one JSON object and nothing else.")
]
Csv = Annotated[Path | None, Parameter("--csv", help="Also write the table of layers to this file.")]
Html = Annotated[
    Path | None, Parameter("--html", help="Also write a report page to this file; it opens offline.")
]
Trace = Annotated[
    Path | None,
    Parameter(
        "--trace", help="Also write the timeline for Perfetto or speedscope to this .json or .json.gz file."
    ),
]
Require = Annotated[
    tuple[str, ...],
    Parameter(
        "--require",
        negative="",
        show_default=False,
        help='Fail (exit code 4) unless this holds, such as "speedup>=1.3"; repeatable. '
        "Known: speedup, energy_ratio, memory_ratio, time_s, energy_j.",
    ),
]
