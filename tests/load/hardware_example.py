"""A small machine in YAML, for tests that change one thing in it."""

EXAMPLE = """\
name: mini
title: A small machine
kind: accelerator
description: For tests.
sources: {paper: "Someone, A machine, 2020"}
clock_hz: {value: 1.0e9, source: paper}
technology_nm: {value: 45, source: paper}
units: {value: 1, source: paper, status: derived}
macs_per_cycle:
  int8: {value: 1024, source: paper}
default_dtype: int8
memory:
  - name: dram
    bandwidth_bytes_per_s: {value: 3.2e10, source: "read off a figure", status: memory}
  - name: smem
dataflow:
  family: tensor-core
  tile_m: {value: 64, source: paper}
  tile_n: {value: [64, 128], source: paper, status: assumed}
  k_step: {value: 16, source: paper}
  keep: {value: 2, source: paper}
  group: {value: 4, source: paper}
formats:
  dense: {role: store}
  nm: {role: skip, parameters: {keep: {value: 2, source: paper}, group: {value: 4, source: paper}}}
energy_pj:
  mac: {int8: {table: accelergy-45nm, entry: mac-int8}}
  dram: {byte: {table: dram, entry: lpddr4}}
"""
