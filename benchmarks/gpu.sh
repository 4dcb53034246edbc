#!/bin/sh
# Every way over a sequence on a GPU, beside torch's cuDNN layers and Flax, in each type.
#
#     benchmarks/gpu.sh results/h100                         all of it
#     benchmarks/gpu.sh results/h100 --cells lstm            with options of cells.py
#     PYTHON=.venv/bin/python TYPES=bfloat16 benchmarks/gpu.sh results/h100
#
# Each type is measured twice: as XLA is without a word, and with its loops captured as
# CUDA graphs, which takes the launches of a scan's kernels off the processor. The flags
# are in the result ("xla_flags"), as are those of XLA_FLAGS itself. What a backend lacks
# for a shape is under "left_out". float32 is TF32 in the products, as both torch's cuDNN
# and JAX have it by default.
set -eu

out=${1:?expected a directory for the results}
shift
here=$(dirname "$0")
python=${PYTHON:-python}
flags=${XLA_FLAGS-}
graphs=$("$python" -m jaxtext.versions \
    --xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL,+DYNAMIC_SLICE_FUSION \
    --xla_gpu_graph_min_graph_size=1)
# JAX would take most of the memory for itself, and torch computes beside it.
export XLA_PYTHON_CLIENT_PREALLOCATE=false

measure() { # name, flags, type, options
    name=$1 XLA_FLAGS=$2 type=$3
    shift 3
    export XLA_FLAGS
    "$python" "$here/cells.py" --dtype "$type" \
        --shapes 16x1024x768,128x128x1024,16x1024x128 \
        --backends scan,fused,mosaic_gpu,cudnn \
        --libraries flax-linen,flax-linen-optimized,flax-nnx,torch \
        --out "$out/$name.json" "$@"
}

for type in ${TYPES-float32 float16 bfloat16}; do
    measure "$type" "$flags" "$type" "$@"
    measure "$type-graphs" "$graphs" "$type" "$@"
done
