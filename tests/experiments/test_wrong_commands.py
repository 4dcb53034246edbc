"""Wrong and odd commands, and what each is told: one line, and status 2."""

import shlex

import char_gen
import compare_cells
import compile_tpu
import compress
import evaluate
import gradient_reach
import look_inside
import memory
import pytest
import runs
import sample

FOX = "the quick brown fox jumps over the lazy dog. (what a day!)\n"
SCRIPTS = {
    module.__name__: module
    for module in (
        *(char_gen, compare_cells, compile_tpu, compress, evaluate),
        *(gradient_reach, look_inside, memory, runs, sample),
    )
}

# The script and what is typed; RUN is a run, FOX its text. What is said.
WRONG = """
char_gen --preset nonsense
    --preset: expected one of
char_gen --preset cpu3min
    --preset: expected one of cpu-3min, modern, tutorial, small, names,
char_gen --cell=LSTM
    --cell: expected one of lstm, min_lstm, para_lstm, min_gru, rnn,
char_gen --hiden 128
    --hiden: there is no such flag; did you mean --hidden
char_gen --hidden
    --hidden: expected one value, a whole number of 1 or more, got none
char_gen --hidden 128 256
    --hidden: expected one value, a whole number of 1 or more, got 128 256
char_gen --hidden 1e3
    --hidden: expected a whole number of 1 or more, got 1e3; without the flag it is 256
char_gen --hidden 0
    --hidden: expected a whole number of 1 or more, got 0
char_gen --layers -1
    --layers: expected a whole number of 1 or more, got -1
char_gen --seq-len 64 x
    --seq-len: expected a whole number of 1 or more, got x
char_gen --learning-rate inf
    --learning-rate: expected a finite number above 0, got inf
char_gen --learning-rate nan
    --learning-rate: expected a finite number above 0, got nan
char_gen --learning-rate -1e-3
    --learning-rate: expected a finite number above 0, got -1e-3
char_gen --learning-rate=-1e-3
    --learning-rate: expected a finite number above 0, got -1e-3
char_gen --weight-decay inf
    --weight-decay: expected a finite number of 0 or more, got inf
char_gen --dropout 1
    --dropout: expected a number of at least 0 and below 1, got 1
char_gen --minutes 3min
    --minutes: expected a finite number above 0, got 3min
char_gen --steps 0
    --steps: expected a whole number of 1 or more, got 0
char_gen --seed 4294967296
    --seed: expected a whole number of 0 or more, below 2**32, got 4294967296
char_gen --keep 1
    --keep: expected a whole number of 2 or more, got 1
char_gen --optimizer rmsprop --clip 1
    --clip: expected --optimizer adamw, for rmsprop has none, got 1.0
char_gen --layers 1 --residual
    --residual: expected --layers 2 or more, for it is between layers
char_gen --process-id 0
    --process-id: expected --distributed with it, got 0
char_gen --val-fraction 0 --eval-protocol carried
    --eval-protocol: expected --val-fraction above 0, or --val-corpus
char_gen --cell gru --dropout-hidden 0.1
    --dropout-hidden: expected --cell lstm or para_lstm, which has a memory
char_gen --batch-size 8 --slices 3
    --slices: expected a divisor of the batch size 8, got 3
char_gen my.txt
    my.txt: there is no such flag; if it is a value, its flag comes before it
char_gen --
    --: there is no such flag; each value follows its flag, and there are no others
char_gen -hidden 64
    -hidden: there is no such flag; did you mean --hidden
char_gen --HIDDEN 64
    --HIDDEN: there is no such flag; did you mean --hidden
char_gen --hlep
    --hlep: there is no such flag; did you mean --help
char_gen --no-layernorm
    --no-layernorm: there is no such flag; did you mean --no-layer-norm
char_gen --tied=yes
    --tied: expected no value, got yes; --no-tied turns it off
char_gen --no-tied yes
    --no-tied: expected no value, got yes; --tied turns it on
char_gen --no-steps 3
    --no-steps: expected no value, got 3; --steps turns it on
char_gen --no-corpus
    --no-corpus: there is no such flag
char_gen --corpus=a b
    --corpus: expected one value after =, got 2; give --corpus a b
char_gen --steps ''
    --steps: expected a whole number of 1 or more, got ''
char_gen --seq-len
    --seq-len: expected at least one value, a whole number of 1 or more, got none
char_gen --workdir ''
    --workdir: expected a directory, got ''
char_gen --corpus ''
    --corpus: expected a word, got ''
char_gen --workdir FOX
    --workdir: expected a directory, got
sample --workdir FOX
    --workdir: expected a directory, got
sample --workdir RUN --prompt-file ''
    --prompt-file: expected a path or a URL, got ''
look_inside --workdir FOX
    --workdir: expected a directory, got
compare_cells --out FOX
    --out: expected a directory, got
memory --out FOX/below
    --out: expected a directory, got
gradient_reach --out FOX
    --out: expected a directory, got
char_gen -x
    -x: there is no such flag; if it is a value, join it to its flag, as in --FLAG=-x
char_gen --corpus no-such-file
    no-such-file
char_gen --corpus FOX --workdir RUN --hidden 9
    holds a run with another configuration: hidden is 8 there and 9 here
char_gen --corpus FOX --init-from FOX
    --init-from: expected a directory, got
char_gen --corpus FOX --init-from nowhere
    --init-from: expected the directory of a run, got nowhere
char_gen --corpus FOX --init-from RUN --hidden 9
    --hidden: expected --hidden 8, as the run in
char_gen --corpus FOX --init-from RUN --vocab bytes
    --vocab: expected --vocab chars, as the run in
char_gen --corpus FOX --init-from RUN --layer-norm
    --layer-norm: expected --no-layer-norm, as the run in
char_gen --corpus FOX --init-from RUN --frequent 3
    --frequent: expected --no-frequent, as the run in
char_gen --workdir RUN --init-from RUN
    --init-from: the run in
char_gen --corpus FOX --minutes 0.0001 --hidden 8 --workdir NEW
    nothing was trained: --minutes 0.0001 (0.0 s) is shorter than starting took
sample
    --workdir: expected a directory, got none; add it: directory of the run
sample --workdir RUN --temperature 1e39
    --temperature: expected a number from 0 to 1e+06, got 1e39
sample --workdir RUN --temperature inf
    --temperature: expected a number from 0 to 1e+06, got inf
sample --workdir RUN --prompt a --prompt b
    --prompt: expected one prompt, got several
sample --workdir RUN --checkpoint newest
    --checkpoint: expected one of best, latest, or a whole number of 0 or more
sample --workdir RUN --checkpoint 2
    holds no checkpoint of step 2; it holds those of step 0, 3
sample --workdir nowhere
    nowhere holds no checkpoint
evaluate --workdir RUN --protocol cold256
    --protocol: expected one of cold-256, carried, got cold256
evaluate --workdir RUN --rate 0.1
    --rate: expected --dynamic with it, got 0.1
evaluate --workdir RUN --page P --page-characters 0
    --page: expected --page-characters above 0 with it
evaluate --workdir RUN --dynamic --protocol cold-256
    --dynamic: expected --protocol carried, got cold-256
compress --workdir RUN
    --file: expected a path, got none; add it: the file to compress
compress --workdir RUN FOX FOX
    --file: expected one value, a path, got
compress --workdir RUN no-such-file
    cannot read no-such-file (No such file or directory)
compress --workdir RUN /
    cannot read / (Is a directory)
compress --workdir FOX FOX
    --workdir: expected a directory, got
compress --workdir nowhere FOX --out a
    nowhere holds no checkpoint
compress --workdir RUN FOX --out FOX
    cannot write
compress --workdir RUN FOX --out nowhere/a
    cannot write nowhere/a; give another place as --out
compress --workdir RUN FOX --streams 0
    --streams: expected a whole number of 1 or more, got 0
compress --workdir RUN FOX --streams 2 --dynamic
    --streams: expected 1 with --dynamic, got 2
compress --workdir RUN FOX --rate 0.1
    --rate: expected --dynamic with it, got 0.1
compress --workdir RUN FOX --dynamic --statistics FOX no-such-file
    no-such-file
compress --workdir RUN FOX --decompress
    --out: expected a place to write, as
compress --workdir RUN --decompress FOX --out a
    expected a file that compression wrote, which begins with jaxtext, got b'the quic'
compress --workdir RUN --decompress FOX --out a --streams 3
    --streams: expected no --decompress with it (the file knows), got 3
look_inside --workdir RUN --unit c[7]
    --unit: expected one of layer 1, c[0] … layer 1, o[7], got c[7]; did you mean
look_inside --workdir RUN --characters 99
    --characters: expected a whole number of 100 or more, got 99
compare_cells --minutes 0
    --minutes: expected a finite number above 0, got 0
compare_cells --corpus -
    --corpus: expected what can be read again and again, got -
runs nowhere
    --directories: expected a directory with runs, got nowhere, which is not there
runs --sort losses
    --sort: expected one of loss,
memory --task bracket
    --task: expected one of brackets, bucket-sort,
memory --cell lstm rnnn
    --cell: expected one of rnn, gru, lstm-chrono, lstm, got rnnn
memory --jobs 0
    --jobs: expected a whole number of 1 or more, got 0
gradient_reach --steps 99
    --steps: expected a whole number of 100 or more, got 99
compile_tpu --vocab-size 1
    --vocab-size: expected a whole number of 2 or more, got 1
compile_tpu --topolgy v5e:4x4
    --topolgy: there is no such flag; did you mean --topology
"""


def cases():
    lines = WRONG.strip().splitlines()
    for command, said in zip(lines[::2], lines[1::2], strict=True):
        yield pytest.param(command, said.strip(), id=command)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "fox").write_text(FOX * 60)
    argv = ["--corpus", str(folder / "fox"), "--workdir", str(folder / "run")]
    argv += ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--steps", "3"]
    assert char_gen.main([*argv, "--sample-every", "0"]) == 0
    return folder


@pytest.mark.parametrize(("command", "said"), list(cases()))
def test_a_wrong_command_is_told(command, said, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"RUN": run / "run", "FOX": run / "fox", "NEW": tmp_path / "new"}
    script, *words = shlex.split(command)
    argv = [_named(word, names) for word in words]
    assert SCRIPTS[script].main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    # One line, the last; before it may be what was said of the text.
    _, found, error = captured.err.rpartition("error: ")
    assert found
    assert error.endswith("\n")
    assert error.count("\n") == 1
    assert said in error


def _named(word, names):
    first, slash, rest = word.partition("/")
    return f"{names.get(first, first)}{slash}{rest}"


def test_there_are_forty():
    assert len(list(cases())) >= 40
    assert {case.values[0].split()[0] for case in cases()} == SCRIPTS.keys()
