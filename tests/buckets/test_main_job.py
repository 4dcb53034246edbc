"""The main job in a bucket: killed at any moment, it goes on to the same bits."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import char_gen
import evaluate
import look_inside
import pytest
import runs
import sample

from jaxtext.runs.log import read_metrics

TEXT = "the quick brown fox jumps over the lazy dog. (what a day!)\n" * 60
STEPS = 60
FLAGS = [
    *("--hidden", 8, "--batch-size", 4, "--seq-len", 8, "--dropout", 0.2),
    *("--eval-every", 20, "--sample-every", 0, "--save-steps", 10),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "fox.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def start(store, corpus, tmp_path):
    """``start(script, *flags)``: a process whose host has nothing of the run's."""
    for name in ("tmp", "cache"):
        (tmp_path / name).mkdir()
    environment = os.environ | store.environment
    environment |= {"TMPDIR": str(tmp_path / "tmp"), "JAX_NUM_CPU_DEVICES": "1"}
    environment |= {"JAXTEXT_CACHE": str(tmp_path / "cache")}

    def process(script, *flags):
        return subprocess.Popen(
            [sys.executable, script.__file__, *map(str, flags)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return process


def ended(process):
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return json.loads(out.splitlines()[-1]), err


def test_train_go_on_sample_evaluate_and_look_inside(store, folder, corpus, start):
    url = store.url(folder)
    first, said = ended(
        start(char_gen, "--workdir", url, "--corpus", corpus, *FLAGS, "--steps", 20)
    )
    assert f"a new run in {url}" in said
    assert first["workdir"] == url
    found, said = ended(start(char_gen, "--workdir", url, "--steps", 40))
    assert "going on from step 20" in said
    again, said = ended(start(char_gen, "--workdir", url, "--steps", 40))
    assert "this run is finished" in said
    assert again["parameters_sha256"] == found["parameters_sha256"]

    process = start(sample, "--workdir", url, "--length", 30)
    out, said = process.communicate(timeout=200)
    assert (process.returncode, len(out)) == (0, 30), said
    result, _ = ended(start(evaluate, "--workdir", url))
    assert result["nats_per_char"] == pytest.approx(found["val_nats_per_char"])
    result, _ = ended(start(look_inside, "--workdir", url))
    seen, _ = ended(start(runs, url.rpartition("/")[0], "--json"))
    (one,) = [run for run in seen["runs"] if run["place"] == url]
    assert (one["state"], one["step"], one["damage"]) == ("finished", 40, [])
    assert one["seconds"] == again["seconds"]
    kept = {x.partition("/")[2] for x in store.names(f"{folder}/")}
    kept = {name for name in kept if not name.startswith("checkpoints/")}
    assert kept == {
        *("config.json", "flags.json", "metrics.jsonl", "result.json", "curve.png"),
        *("evaluation-fox-carried-validation.html", "look-inside.html", "lease/3"),
    }
    assert len([x for x in read_metrics(f"{url}/metrics.jsonl") if "loss" in x]) == 4


class Moments:
    """Kills a process at a random moment, every second time inside a save."""

    def __init__(self, store, folder, seed):
        self._random = random.Random(seed)
        self._store, self._latest = store, f"{folder}/checkpoints/latest/"
        self.inside = self.between = 0

    def kill(self, process):
        """Returns whether the process was killed before its end."""
        inside = self.inside <= self.between
        # A save writes a mark, some thirty objects, the manifest, and removes the mark.
        left = self._random.randrange(1, 30) if inside else None
        steps = self._steps()
        moment = self._random.uniform(0.0, 3.0)
        saving = None
        while process.poll() is None:
            names = self._store.names(self._latest)
            saving = any("/saving-" in name for name in names)
            if inside and saving:
                before = self._store.requests
                while saving and self._store.requests < before + left:
                    time.sleep(0.001)
                    if process.poll() is not None:
                        return False
                process.kill()
                process.communicate()
                names = self._store.names(self._latest)
                self.inside += any("/saving-" in name for name in names)
                return True
            if not inside and self._steps() - steps:
                time.sleep(moment)
                process.kill()
                process.communicate()
                self.between += 1
                return True
            time.sleep(0.002)
        return False

    def _steps(self):
        return {
            name.split("/")[3]
            for name in self._store.names(self._latest)
            if name.endswith("/manifest.sha256")
        }


@pytest.mark.thorough
def test_killed_at_twenty_moments_it_comes_to_the_same_bits(
    store, folder, corpus, start, tmp_path
):
    steps = 400
    flags = ["--corpus", corpus, *FLAGS, "--steps", steps]
    whole, _ = ended(start(char_gen, "--workdir", store.url(f"{folder}/whole"), *flags))
    url, kills = store.url(f"{folder}/parts"), 0
    moments = Moments(store, f"{folder}/parts", seed=7)
    while kills < 20:
        process = start(char_gen, "--workdir", url, *flags)
        if not moments.kill(process):
            found, _ = ended(process)
            assert found["parameters_sha256"] == whole["parameters_sha256"]
            # It came to its end: begin again, as another run.
            url = store.url(f"{folder}/parts-{kills}")
            moments._latest = f"{folder}/parts-{kills}/checkpoints/latest/"
            continue
        kills += 1
    found, _ = ended(start(char_gen, "--workdir", url, *flags))
    assert moments.inside >= 10, (moments.inside, moments.between)
    for name in ("parameters_sha256", "val_nats_per_char", "best_step"):
        assert found[name] == whole[name]
    names = store.names(f"{folder}/")
    assert not any("saving-" in name or "removing-" in name for name in names)
    assert len([x for x in names if x.startswith(f"{url.split('/', 3)[3]}/lease")]) == 1
    logs = [
        [x["loss"] for x in read_metrics(f"{run}/metrics.jsonl") if "loss" in x]
        for run in (store.url(f"{folder}/whole"), url)
    ]
    assert logs[0] == logs[1]
    left = list((tmp_path / "tmp").iterdir())
    assert len([x for x in left if "lease" in x.name]) == 0, left


BAD = [
    ("no bucket", ["--workdir", "{scheme}://no-such-bucket/run"], "no such bucket"),
    ("scheme", ["--workdir", "ftp://host/run"], "gs://… or s3://…"),
    ("another scheme", ["--workdir", "s3a://bucket/run"], "gs://… or s3://…"),
]


@pytest.mark.parametrize("flags", [x[1:] for x in BAD], ids=[x[0] for x in BAD])
@pytest.mark.parametrize(
    "script", [char_gen, sample, evaluate, look_inside], ids=lambda x: x.__name__
)
@pytest.mark.everyday("flags", "script", "store")
def test_a_workdir_that_cannot_be_is_told_in_a_line(
    script, flags, store, corpus, start
):
    flags, told = flags
    flags = [word.format(scheme=store.scheme) for word in flags]
    if script is char_gen:
        flags += ["--corpus", corpus]
    process = start(script, *flags)
    out, err = process.communicate(timeout=200)
    assert (process.returncode, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert told in line


def test_a_workdir_of_another_process_is_told_in_a_line(store, folder, corpus, start):
    url = store.url(folder)
    flags = "--workdir", url, "--corpus", corpus, *FLAGS, "--steps", 10**6
    first = start(char_gen, *flags)
    try:
        while not store.names(f"{folder}/checkpoints/latest/"):
            assert first.poll() is None, first.communicate()
            time.sleep(0.1)
        second = start(char_gen, *flags)
        _, err = second.communicate(timeout=200)
        assert second.returncode == 2
        line = err.splitlines()[-1]
        assert f"{url} is in use by another process: process {first.pid} on" in line
    finally:
        first.kill()
        first.communicate()


def test_no_permission_is_told_in_a_line(store, folder, corpus, start):
    store.fault = lambda method, path: "403"
    url = store.url(folder)
    _, err = (process := start(char_gen, "--workdir", url)).communicate(timeout=200)
    assert process.returncode == 2
    (line,) = err.splitlines()
    assert url in line
    assert "no permission" in line


def test_no_credentials_are_told_in_a_line(corpus, tmp_path):
    pytest.importorskip("s3fs", reason="needs the extra test-buckets")
    environment = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith("AWS_") and k != "STORAGE_EMULATOR_HOST"
    }
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    process = subprocess.run(
        [sys.executable, Path(sample.__file__), "--workdir", "s3://bucket/run"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    assert "no credentials" in line
    assert "aws configure" in line
