#!/bin/sh
# The packages that gpu.sh needs and a lent machine lacks, as wheels to carry there.
#
#     benchmarks/gpu_wheels.sh LIST
#
# LIST is a text that names the packages on the machine: the output of `pip list`, or a
# page with a line "Packages: absl-py, ...". The machine has Python 3.12 on x86-64 and no
# network. What jaxtext and its scripts need beyond the list goes to .whl/, which git is
# told to ignore, one version of each. The last lines say what to run there.
set -eu

list=${1:?expected a text that names the packages on the machine}
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
most=60 # MB that may travel: files of the checkout and wheels

# Requirements of jaxtext and of the extra `experiments`, but the large ones, which any
# such machine has to have.
needed="filelock lazy-loader matplotlib optax orbax-checkpoint flax platformdirs rich tyro"
# Taken along all the same: they are tiny, and an old one would not do.
always="lazy-loader filelock"

there=$(
    (grep -o 'Packages: .*' "$list" || cat "$list") |
        tr ' ,' '\n\n' | sed 's/\.$//' | tr '_A-Z' '-a-z'
)
has() { echo "$there" | grep -qxF "$1"; }

exclude=$(git rev-parse --git-path info/exclude)
mkdir -p .whl "$(dirname "$exclude")"
grep -qxF '/.whl/' "$exclude" 2>/dev/null || echo '/.whl/' >>"$exclude"
find .whl -name '*.whl' -delete

platforms=""
for n in 1 2010 2014 _2_17 _2_24 _2_27 _2_28 _2_31 _2_34; do
    platforms="$platforms --platform manylinux${n}_x86_64"
done
for_it="--only-binary=:all: --python-version 3.12 --implementation cp $platforms"

# Compared with, and taken without what they need: torch is there, or nothing is.
peers="torchrl tensordict<0.15 pyvers hoptorch cloudpickle"

missing=$always
for name in $needed; do has "$name" || missing="$missing $name"; done
# With all that these need, of which the machine has some.
all=$("$python" -m pip install --quiet --dry-run --ignore-installed --target .whl \
    $for_it --report - $missing | "$python" -c '
import json, sys
for each in json.load(sys.stdin)["install"]:
    print(each["metadata"]["name"].lower().replace("_", "-"), each["metadata"]["version"])
')
echo "$all" | while read -r name version; do
    case " $always " in *" $name "*) ;; *) has "$name" && continue ;; esac
    "$python" -m pip download --quiet --no-deps $for_it -d .whl "$name==$version"
done

for name in $peers; do
    has "${name%%<*}" ||
        "$python" -m pip download --quiet --no-deps $for_it -d .whl "$name"
done

bytes=$({ git ls-files -z --cached --others --exclude-standard; find .whl -type f -print0; } |
    xargs -0 du -cb | tail -n 1 | cut -f 1)
megabytes=$(((bytes + 999999) / 1000000))
ls -l .whl
if [ "$megabytes" -gt "$most" ]; then
    echo "error: $megabytes MB would travel, more than $most" >&2
    exit 1
fi
commit=$(git describe --always --dirty)
echo "$megabytes MB travel. What to run, with .whl carried along and 520 seconds:"
cat <<END

carry: [".whl"]   timeout_s: 520   command:
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site .whl/*.whl && export PYTHONPATH=/tmp/site || exit; COMMIT=$commit benchmarks/gpu.sh \$OUT
END
