#!/bin/sh
# Measures everything that needs an NVIDIA GPU, in one command and seven minutes.
#
#     benchmarks/gpu.sh OUT                        all parts
#     benchmarks/gpu.sh --dry OUT                  the same with tiny sizes, on any machine
#     benchmarks/gpu.sh --parts errors,speed-bfloat16 OUT
#     BACKENDS=cudnn PYTHON=.venv/bin/python benchmarks/gpu.sh OUT
#
# The parts, the most important first, with the seconds that they should take on an H100
# with 16 cores (estimates: it has not run on a GPU yet):
#
#     machine          10  versions, hardware, the driver
#     errors           75  each backend compared with the scan in float64, and the clauses
#                          of the contract, in float32 (with TF32 and without) and bfloat16
#     resume           55  a run that is killed and resumed ends with the same bits; it runs
#                          beside errors, because neither is timed
#     speed-bfloat16   90  LSTM and GRU by each backend, with CUDA graphs and without,
#                          beside torch's cuDNN and Flax
#     speed-float32    75  the same in float32, with TF32 in the products
#     resets           30  two shapes with resets within the sequences, beside TorchRL
#     training        100  char_gen.py by each backend, 20 s each, beside torch's cuDNN
#     sampling         12  sampling of one text, and of 256 texts together
#     profile          10  the operations of ten training steps
#     memory           28  the largest batch that fits, with remat and without
#
# A part that fails, or exceeds its time limit, does not stop the others. After BUDGET
# seconds no further part starts. OUT.parts has the results of each part as soon as they
# exist: NAME.json, its output and its log. OUT has three files: the times and the rows
# for jaxtext/evidence.py (table.md), the summary (summary.txt), and everything in one
# archive (results.tar.gz). The table is made last, from all parts in OUT.parts. It has a
# line in the summary too.
#
# A second run with the same OUT replaces the parts that it runs, and keeps the others
# with their lines in the summary. Each line has the commit of jaxtext that it is from.
#
# To try it: FAIL="errors speed-float32" makes these parts fail, and HANG="training" makes
# this part hang until a limit of two seconds.
#
# Exit status: 0 all parts succeeded; 1 a part of this run failed; 2 a wrong command line;
# 130 stopped by Ctrl-C or SIGTERM, with nothing left running.
set -u

parts="machine errors resume speed-bfloat16 speed-float32 resets training sampling
profile memory"
dry="" wanted=$parts
while [ $# -gt 0 ]; do
    case $1 in
    --dry) dry=yes ;;
    --parts)
        wanted=$(echo "${2-}" | tr ',' ' ')
        case $wanted in *[!\ ]*) shift ;; *)
            echo "error: --parts: expected of $(echo $parts); got none" >&2
            exit 2
            ;;
        esac
        ;;
    *) break ;;
    esac
    shift
done
for name in $wanted; do
    case " $(echo $parts) " in *" $name "*) ;; *)
        echo "error: --parts: expected of $(echo $parts); got $name" >&2
        exit 2
        ;;
    esac
done
if [ $# -ne 1 ] || [ "${1#-}" != "$1" ]; then
    echo "usage: $0 [--dry] [--parts NAME,NAME] OUT" >&2
    exit 2
fi

# The kernels to measure, beside scan and fused. Unknown ones are left out.
backends=${BACKENDS-mosaic_gpu cudnn}
cudnn="" # "cudnn" if it is among them
case " $backends " in *" cudnn "*) cudnn=cudnn ;; esac
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
mkdir -p "$1" && out=$(CDPATH="" cd "$1" && pwd) && mkdir -p "$out.parts" || exit 2
kept=$out.parts
for name in $wanted table; do rm -rf "$kept/$name".*; done
[ -z "$dry" ] || BUDGET=${BUDGET:-900} # the machine may be shared
deadline=$(($(date +%s) + ${BUDGET:-420}))

export PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
# Several processes share the memory. By default JAX would take most of it.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
# The processes share what the compiler has measured.
export JAX_COMPILATION_CACHE_DIR="$out.cache" JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
# Interpreted kernels wait for one another. On too few threads they would hang.
[ -z "$dry" ] || export JAX_PLATFORMS=cpu NPROC=32

summary=$out/summary.txt
commit=${COMMIT-$(git -C "$here" describe --always --dirty 2>/dev/null)}

summarize() { # writes the lines of all parts, in their order
    rm -f "$summary.$name.tmp" # a killed run may have left it
    {
        echo "jaxtext ${commit:-unknown}, backends: $backends"
        printf '%-16s %-12s %7s  %-21s %s\n' part status seconds file jaxtext
        for each in $parts table; do
            [ ! -s "$kept/$each.line" ] || cat "$kept/$each.line"
        done
    } >"$summary.$name.tmp"
    mv "$summary.$name.tmp" "$summary"
}

# The parts are in process groups of `timeout`, which do not receive a Ctrl-C. The part
# that runs beside another is in a shell of its own, which only receives SIGTERM.
child="" beside="" name=none
stop() {
    trap - INT TERM
    kill $child $beside 2>/dev/null
    rm -f "$out/results.$name.tmp" "$summary.$name.tmp"
    wait
    exit 130
}
trap stop INT TERM
summarize

part() { # name, limit in seconds, command
    name=$1 limit=$2
    [ -z "$dry" ] || limit=$((2 * limit))
    shift 2
    case " $(echo $wanted) table " in *" $name "*) ;; *) return 0 ;; esac
    case " ${FAIL-} " in *" $name "*) set -- false ;; esac
    case " ${HANG-} " in *" $name "*) set -- sleep 3600 && limit=2 ;; esac
    begin=$(date +%s)
    left=$((deadline - begin))
    [ "$limit" -le "$left" ] || limit=$left
    if [ "$left" -lt 5 ]; then
        status="no time"
    else
        echo "$name: begins, $limit s at most"
        timeout --kill-after=5 "$limit" "$@" >"$kept/$name.out" 2>"$kept/$name.err" &
        child=$!
        wait "$child"
        status=$? child=""
        case $status in
        0) status=ok ;;
        124 | 137) status="timed out" ;;
        *) status="failed ($status)" ;;
        esac
    fi
    seconds=$(($(date +%s) - begin))
    file=-
    [ ! -s "$kept/$name.json" ] || file=$name.json
    printf '%-16s %-12s %7s  %-21s %s\n' "$name" "$status" $seconds $file \
        "${commit:-unknown}" >"$kept/$name.line"
    summarize
    echo "$name: $status, $seconds s"
    pack
}

pack() { # packs everything so far into one file, which is never left broken
    packed=$out/results.$name.tmp # two parts may pack at the same time
    tar czf "$packed" -C "$kept" . 2>/dev/null # some files may still grow
    mv "$packed" "$out/results.tar.gz"
}

script() { # name of the part, limit, script in the checkout, options
    name=$1 limit=$2 file=$3
    shift 3
    part "$name" "$limit" "$python" "$here/../$file" --out "$kept/$name.json" "$@"
}

speed() { # name of the part, limit, backends beside scan and fused, options
    name=$1 limit=$2
    ours=$(echo scan fused $3 | tr ' ' ',')
    shift 3
    script "$name" "$limit" benchmarks/cells.py --alone --no-chart --limit $answer \
        --backends "$ours" "$@"
}

if [ -z "$dry" ]; then
    quick=$backends corpus=stdlib answer=60
    errors="--backends $backends"
    resume="--limit 40"
    shapes="--shapes 16x1024x768,64x512x512,128x256x256,16x256x128"
    rounds="--seconds 4 --rounds 5 --visit-seconds 0.03"
    peers="--libraries flax-linen,flax-linen-optimized,torch"
    graphs="--graphs jaxtext-scan,jaxtext-fused,flax-linen"
    resets="--shapes 128x128x256,64x512x512 --libraries torchrl --graphs jaxtext-fused"
    training="--seconds 20 --total 105" # the last ways run if others are left out
    ways=""
    for name in $backends torch; do ways="$ways $name/bfloat16"; done
    for name in $cudnn torch; do ways="$ways $name/float32"; done
    ways="$ways scan/bfloat16 fused/bfloat16 scan+graphs/bfloat16"
    sampling="--cells lstm gru --batches 1 256 --hidden 512 --rounds 5"
    memory="--hidden 512 --seq-len 1024"
    profiled="--preset shakespeare --characters 1000000"
else
    # Without our kernels, which take minutes in the interpreter.
    quick=$cudnn corpus=$here/README.md answer=150
    errors="--backends $backends --cells lstm --modes float32/highest --shapes 2x3x4x8
        --hidden 8 --clauses nan_in_padding_never_leaks --at-once 2 --limit 170"
    resume="--hidden 16 --steps 60 --save-steps 10 --limit 170"
    shapes="--cells lstm --shapes 2x4x8"
    rounds="--seconds 1 --rounds 5 --visit-seconds 0.001"
    peers="--libraries torch"
    graphs="--graphs jaxtext-scan"
    resets="--libraries"
    training="--hidden 16 --seconds 20 --batch-size 4 --seq-len 8"
    ways=""
    for name in $quick torch scan+graphs; do ways="$ways $name/float32"; done
    sampling="--cells lstm --batches 1 4 --hidden 16 --length 20 --rounds 3"
    memory="--hidden 16 --seq-len 32 --small 8 --memory-gib 0.01 --remat none 8"
    profiled="--hidden 16 --batch-size 4 --seq-len 8"
fi

part machine 20 sh -c 'nvidia-smi; "$1" "$2" >"$3.tmp" && mv "$3.tmp" "$3"' \
    sh "$python" "$here/machine.py" "$kept/machine.json"
# These two are not timed. They run at the same time if there are cores for it.
{
    trap stop TERM
    script errors 90 tools/gpu_errors.py $errors
} &
beside=$!
[ -z "$dry" ] || wait "$beside"
script resume 90 tools/resume.py --corpus "$corpus" $resume
wait "$beside"
beside=""
speed speed-bfloat16 120 "$backends" --dtype bfloat16 $shapes $rounds $peers $graphs
speed speed-float32 110 "$quick" --dtype float32 $shapes $rounds $peers $graphs
speed resets 60 "$quick" --dtype bfloat16 --resets $shapes $rounds $resets
script training 130 benchmarks/gpu_training.py --corpus "$corpus" $training --ways $ways
script sampling 30 benchmarks/sample.py $sampling
script profile 30 benchmarks/step_profile.py --trace "$kept/profile.trace" \
    "--flags=--corpus '$corpus' $profiled"
export XLA_PYTHON_CLIENT_MEM_FRACTION=0.95
script memory 60 benchmarks/largest_batch.py $memory

# The table takes seconds. It is made even if no time is left.
deadline=$(($(date +%s) + 60))
part table 30 "$python" "$here/fastest.py" "$kept"
cp "$kept/table.out" "$out/table.md"
cp "$summary" "$out/table.md" "$kept"
pack
for name in errors training profile memory table; do
    case " $(echo $wanted) table " in *" $name "*) ;; *) continue ;; esac
    [ ! -s "$kept/$name.err" ] || { echo && echo "$name:" && tail -n 25 "$kept/$name.err"; }
done
echo && cat "$out/table.md" && echo && cat "$summary"
for name in $wanted table; do
    grep -q "^$name *ok " "$kept/$name.line" || exit 1
done
