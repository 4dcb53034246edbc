"""Command lines: what is unknown, outside a set, without effect or there twice."""

import dataclasses
import typing
from pathlib import Path

import char_gen
import compare_cells
import compile_tpu
import evaluate
import gradient_reach
import look_inside
import memory
import pytest
import runs
import sample
import talk

from charlm import config as char_config
from charlm.parse import parse
from common import flags
from common.values import value_of
from jaxtext.errors import InputError
from presets import PRESETS

CONFIGS = {
    module.__name__: module.Config
    for module in (
        *(char_config, compare_cells, compile_tpu, evaluate, gradient_reach),
        *(look_inside, memory, runs, sample, talk),
    )
}


def with_a_set():
    """Every flag with a fixed set of values, of every script."""
    for name, kind in CONFIGS.items():
        hints = typing.get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            if choices := value_of(hints[field.name]).choices:
                yield pytest.param(kind, field.name, choices, id=f"{name} {field.name}")


@pytest.mark.parametrize(("kind", "name", "choices"), list(with_a_set()))
def test_a_value_outside_the_set_is_refused_with_the_nearest_first(kind, name, choices):
    for nearest in choices:
        for words in ([flags.flag(name), nearest + "x"], [f"--{name}={nearest}x"]):
            with pytest.raises(InputError) as refused:
                flags.typed(kind, words)
            said = f"{flags.flag(name)}: expected one of {nearest}, "
            assert str(refused.value).startswith(said)
            assert all(choice in str(refused.value) for choice in choices)
    assert flags.typed(kind, [flags.flag(name), choices[0]]) == {name: [choices[0]]}


def test_there_are_sets():
    found = [case.id for case in with_a_set()]
    for name in ("charlm.config preset", "memory cell", "evaluate part"):
        assert name in found
    assert len(found) > 20


def test_presets_are_those_of_the_flag():
    hint = typing.get_type_hints(char_config.Config)["preset"]
    assert set(PRESETS) == set(typing.get_args(hint))


@pytest.mark.parametrize("kind", list(CONFIGS.values()), ids=list(CONFIGS))
def test_an_unknown_flag_is_answered_with_the_nearest(kind):
    for field in dataclasses.fields(kind):
        known = flags.flag(field.name)
        with pytest.raises(InputError, match=f"{known}x: .* did you mean {known}"):
            flags.typed(kind, [known + "x", "1"])
    with pytest.raises(InputError, match="join it to its flag, as in --FLAG=--zzzz"):
        flags.typed(kind, ["--zzzzzzzzzzzz"])


def test_words_go_with_the_flag_before_them():
    words = ["--batch_size", "3", "--no-residual", "--corpus", "a", "b", "--cell=gru"]
    assert flags.typed(char_config.Config, words) == {
        "batch_size": ["3"],
        "residual": ["False"],
        "corpus": ["a", "b"],
        "cell": ["gru"],
    }
    assert flags.typed(sample.Config, ["--prompt=--cell=x"]) == {"prompt": ["--cell=x"]}
    assert parse(words).batch_size == 3
    with pytest.raises(InputError, match="--preset: expected one value, one of mod"):
        parse(["--preset"])


@pytest.mark.parametrize("word", ["-1", "-1e-3", "-inf", "-"])
def test_numbers_and_a_hyphen_alone_are_values(word):
    assert flags.typed(sample.Config, ["--prompt", word]) == {"prompt": [word]}


def turned_off():
    """Every flag that can be left out, of every script."""
    for name, kind in CONFIGS.items():
        hints = typing.get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            value = value_of(hints[field.name])
            free = field.default is None and value.type in (str, Path)
            if field.default == () or (field.default is None and not free):
                yield pytest.param(kind, field, id=f"{name} {field.name}")


@pytest.mark.parametrize(("kind", "field"), list(turned_off()))
def test_what_is_optional_can_be_turned_off(kind, field):
    words = flags.typed(kind, [f"--no-{flags.flag(field.name)[2:]}"])
    assert flags.off(kind, field.name) == f"--no-{flags.flag(field.name)[2:]}"
    required = {x.name: None for x in dataclasses.fields(kind) if x.name == "workdir"}
    made = flags.build(kind, words, {**required, field.name: 3})
    assert getattr(made, field.name) == field.default


def test_what_a_preset_sets_can_be_turned_off():
    assert parse(["--preset", "tutorial"]).stride == 3
    assert parse(["--preset", "tutorial", "--no-stride"]).stride is None
    off = parse(["--preset", "ptb-char", "--no-embedding", "--tied"])
    assert (off.embedding, off.epochs) == (None, 200)
    assert parse(["--preset", "ptb-char", "--no-minutes"]).epochs == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("hidden", "8"), ("hidden", True), ("hidden", 8.0), ("hidden", None)),
        *(("tied", 1), ("tied", "True"), ("tied", None), ("seq_len", [])),
        *(("corpus", "a"), ("corpus", [1]), ("cell", "lstmx"), ("dropout", 1.0)),
        *(("cell", {"a": 1}), ("steps", 0), ("learning_rate", float("nan"))),
    ],
)
def test_a_value_that_no_flag_could_give_is_refused(name, value):
    with pytest.raises(InputError, match=f"{flags.flag(name)}: expected"):
        flags.check_value(char_config.Config, name, value)


@pytest.mark.parametrize("preset", PRESETS)
def test_each_value_that_flags_give_is_accepted_and_spelled(preset):
    config = parse(["--preset", preset])
    for name, value in dataclasses.asdict(config).items():
        as_json = list(value) if isinstance(value, tuple) else value
        flags.check_value(char_config.Config, name, as_json)
        if value is not None:
            words = flags.spelled(name, value)
            read = flags.build(type(config), flags.typed(type(config), words))
            assert getattr(read, name) == value


def test_a_flag_that_is_there_twice_is_told(capsys):
    assert parse(["--steps", "3", "--cell", "gru", "--steps=4"]).steps == 4
    said = "note: --steps is given more than once; what counts is --steps 4\n"
    assert capsys.readouterr().err == said
    parse(["--corpus", "a", "--corpus", "b", "c"])
    assert "what counts is --corpus b c" in capsys.readouterr().err
    parse(["--tied", "--no-tied"])
    assert "what counts is --no-tied" in capsys.readouterr().err
    parse(["--cell", "gru", "--steps", "4"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        # Of the same value as the default, too: what counts is that it was typed.
        ("--optimizer rmsprop --clip 1", "--clip: expected --optimizer adamw"),
        ("--optimizer rmsprop --schedule cosine", "--schedule: expected --optimizer"),
        ("--preset tutorial --warmup-steps 100", "--warmup-steps: expected --optim"),
        ("--layers 1 --dropout-between 0.2", "--dropout-between: expected --layers 2"),
        ("--heartbeat-seconds 60", "--heartbeat-seconds: expected --distributed"),
        ("--process-id 0", "--process-id: expected --distributed"),
        ("--coordinator a:1", "--coordinator: expected --distributed"),
        ("--variational --dropout 0", "--variational: expected --dropout above 0"),
        ("--val-corpus a --val-fraction 0.1", "--val-fraction: expected no --val-corp"),
        ("--val-fraction 0 --eval-characters 9", "--eval-characters: expected --val-f"),
        (
            "--preset tutorial --eval-protocol carried",
            "--eval-protocol: expected --val",
        ),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(words, said):
    with pytest.raises(InputError, match=said):
        parse(words.split())


@pytest.mark.parametrize(
    "words",
    [
        "--optimizer rmsprop --weight-decay 0",  # there is none
        "--no-residual --layers 1",
        "--val-corpus a --val-fraction 0",
        "--preset ptb-char --optimizer rmsprop",  # whose --clip nobody typed
        "--variational --dropout 0 --layers 2 --dropout-between 0.1",
        "--eval-every 5 --val-fraction 0",  # when to sample
    ],
)
def test_what_is_true_is_not_refused(words):
    parse(words.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"--segment {evaluate.DynamicRule.segment}", "--segment: expected --dynamic"),
        (f"--rate {evaluate.DynamicRule.rate}", "--rate: expected --dynamic"),
        ("--protocl carried", "did you mean --protocol"),
    ],
)
def test_evaluate_goes_by_what_was_typed(words, said, tmp_path, capsys):
    assert evaluate.main(["--workdir", str(tmp_path), *words.split()]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("use `vocab='bytes'` instead", "use --vocab bytes instead"),
        ("choose another `workdir`", "choose another --workdir"),
        ("`batch_size`: expected 3", "--batch-size: expected 3"),
        ("a/b=c.txt is damaged", "a/b=c.txt is damaged"),
    ],
)
def test_arguments_that_the_library_names_become_flags(said, told):
    assert flags.with_flags(said) == told


def test_errors_of_the_library_name_flags(tmp_path, capsys):
    (tmp_path / "text").write_bytes(b"a\0b" * 100)
    assert char_gen.main(["--corpus", str(tmp_path / "text"), "--steps", "1"]) == 2
    assert "or use --vocab bytes" in capsys.readouterr().err


@dataclasses.dataclass(frozen=True)
class Alone:
    """A flag that may stand alone."""

    port: int | None = dataclasses.field(default=None, metadata={"alone": 8000})
    """Which."""
    name: str = ""
    """What."""


@pytest.mark.parametrize(
    ("words", "port"),
    [([], None), (["--port"], 8000), (["--port", "3"], 3), (["--port=4"], 4)],
)
def test_a_flag_may_have_a_value_of_its_own_alone(words, port):
    assert flags.read(Alone, [*words, "--name", "n"]).port == port
