#!/bin/sh
# Downloads the packages that gpu.sh needs and a machine without a network lacks.
#
#     benchmarks/gpu_wheels.sh LIST
#
# LIST is a text file with the packages on the machine: the output of `pip list`, or a
# page with a line "Packages: absl-py, ...". The machine must have Python 3.12 on x86-64.
# Wheels of the other packages that jaxtext and its scripts need go to .whl/, one version
# of each. Git ignores this directory. The last lines are the command to run there.
set -eu

list=${1:?expected a text that names the packages on the machine}
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
most=60 # MB, the limit for the files of the checkout and the wheels together

# The requirements of jaxtext and of its extra `experiments`. Large ones such as JAX are
# left out: the machine must have them.
needed="filelock lazy-loader matplotlib optax orbax-checkpoint flax platformdirs rich tyro"
# Always downloaded: they are tiny, and an old version would not work.
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

# To compare with, without their requirements. They need torch on the machine.
peers="torchrl tensordict<0.15 pyvers hoptorch cloudpickle"

missing=$always
for name in $needed; do has "$name" || missing="$missing $name"; done
# With their requirements, some of which the machine has.
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
    echo "error: checkout and wheels have $megabytes MB, more than $most" >&2
    exit 1
fi
commit=$(git describe --always --dirty)
echo "Checkout and wheels have $megabytes MB. Carry .whl along, and run within 520 seconds:"
cat <<END

carry: [".whl"]   timeout_s: 520   command:
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site .whl/*.whl && export PYTHONPATH=/tmp/site || exit; COMMIT=$commit benchmarks/gpu.sh \$OUT
END
