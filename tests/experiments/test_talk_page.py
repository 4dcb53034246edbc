"""talk.py --serve: what its server answers, and the page by its real buttons."""

import json
import math
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.client import HTTPConnection

import char_gen
import chromium
import pytest
import talk

from charlm.build import restore
from jaxtext.runs import checkpoint
from jaxtext.text import Vocabulary
from talking.server import MOST_TEXTS, Server
from talking.settings import Settings, from_json
from talking.text import Network, Text, key_of, one

needs_chromium = pytest.mark.skipif(
    chromium.PROGRAM is None, reason="without chromium or google-chrome"
)
TEXT = "hello world, é 😀\n" * 60
SMALL = ["--hidden", "8", "--batch-size", "8", "--seq-len", "8", "--steps", "5"]


def network_of(folder, *flags):
    (folder / "text").write_text(TEXT)
    run = folder / "run"
    where = ["--corpus", str(folder / "text"), "--workdir", str(run)]
    assert char_gen.main([*where, *SMALL, *flags]) == 0
    about = checkpoint.read_about(run, warn=lambda _: None).about
    model, found = restore(run, about, warn=lambda _: None)
    return Network(model, found.arrays, Vocabulary.from_json(about["vocabulary"]))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return network_of(tmp_path_factory.mktemp("page"))


def serving(network, **settings):
    server = Server(0, network, "a <run>", Settings(**settings))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


@pytest.fixture(scope="module")
def server(network):
    server = serving(network, length=40)
    yield server
    server.shutdown()
    server.server_close()


def write(server, ids=(), given="", turn=0, tab="t", headers=(), **settings):
    """The pieces of an answer, as lines of JSON."""
    body = {"tab": tab, "ids": list(ids), "given": given, "turn": turn}
    body["settings"] = {"length": 40} | settings
    request = urllib.request.Request(
        f"{server.address}write",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"} | dict(headers),
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return [json.loads(line) for line in answer]


def symbols(pieces):
    return [told for piece in pieces for told in piece]


def expected(network, given, turn=0, **settings):
    """What a text writes after some symbols."""
    text = Text(network)
    text.settings = from_json({"length": 40} | settings)
    for symbol in given:
        text.add(one(symbol))
    list(text.write(key_of(text.settings, turn)))
    return text.ids


def test_it_streams_what_the_network_writes(server, network):
    told = symbols(write(server, given="hello", length=400))
    given = network.vocabulary.encode("hello").tolist()
    assert [x[0] for x in told] == expected(network, given, length=400)
    assert [x[3] for x in told] == [True] * 5 + [False] * 400
    for symbol, nats, likeliest, _ in told:
        before = [p for _, p, _ in likeliest]
        assert before == sorted(before, reverse=True)
        for other, p, _ in likeliest:
            if other == symbol and p > 0.01:
                assert nats == pytest.approx(-math.log(p), rel=1e-2)


def test_it_comes_in_pieces(server):
    pieces = write(server, length=3000, tab="pieces")
    assert len(pieces) > 3
    assert len(symbols(pieces)) == 3000


def test_it_goes_on_from_any_place(server, network):
    first = [x[0] for x in symbols(write(server, given="hello", tab="any"))]
    told = symbols(write(server, first[:20], [3], turn=1, tab="any"))
    assert [x[0] for x in told] == expected(network, [*first[:20], 3], turn=1)[20:]
    assert told[0][0] == 3
    assert told[0][3]


def test_rules_take_symbols_away_after_the_network(server):
    told = symbols(write(server, top_k=2, tab="rules"))
    for symbol, _, likeliest, _ in told:
        assert [drawn > 0 for _, _, drawn in likeliest[:4]] == [True] * 2 + [False] * 2
        assert symbol in [other for other, _, _ in likeliest[:2]]


def test_a_forgotten_text_is_read_again(server, network):
    first = [x[0] for x in symbols(write(server, given="he", tab="first"))]
    for tab in range(MOST_TEXTS + 3):
        write(server, given="wor", tab=f"other {tab}", length=1)
    assert len(server.texts._kept) == MOST_TEXTS
    assert "first" not in server.texts._kept
    told = symbols(write(server, first, turn=1, tab="first"))
    assert [x[0] for x in told] == expected(network, first, turn=1)[len(first) :]


def test_tabs_do_not_disturb_each_other(server, network):
    found = {}

    def one_tab(tab):
        ids = []
        for turn in range(3):
            told = symbols(write(server, ids, "he", turn, tab=f"tab {tab}", seed=tab))
            ids += [x[0] for x in told]
        found[tab] = ids

    threads = [threading.Thread(target=one_tab, args=(tab,)) for tab in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for tab in range(4):
        ids = []
        for turn in range(3):
            given = [*ids, *network.vocabulary.encode("he").tolist()]
            ids = expected(network, given, turn, seed=tab)
        assert found[tab] == ids


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"given": "hexe"}, "the character 'x' (U+0078) at position 2 is not in"),
        ({"given": None}, "given: expected a text, or a list of symbols, got None"),
        ({"given": [99]}, "ids: expected whole numbers below 12"),
        ({"ids": ["h"]}, "ids: expected whole numbers below 12"),
        ({"ids": [1] * 199_990}, "expected a text of at most 200,000 symbols"),
        ({"settings": {"temperature": -1}}, "--temperature: expected a number from 0"),
        ({"settings": {"top_p": "all"}}, "--top-p: expected a number above 0"),
        ({"settings": {"heat": 1}}, "settings: expected any of length, temperature"),
        ({"turn": -1}, "turn: expected 0 or more, got -1"),
    ],
)
def test_a_wrong_request_is_told(server, changed, said):
    body = {"tab": "t", "ids": [], "given": "", "turn": 0, "settings": {}} | changed
    request = urllib.request.Request(
        f"{server.address}write",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=60)
    with error.value:
        assert error.value.code == 400
        assert json.loads(error.value.read())["problem"].startswith(said)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:PORT", "Origin": "http://localhost:PORT"}, 200),
        ({"Host": "evil.example:PORT"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Length": "99999999"}, 413),
    ],
)
def test_only_its_own_page_may_ask(server, headers, status):
    body = {"tab": "h", "ids": [], "given": "h", "turn": 0, "settings": {"length": 1}}
    sent = json.dumps(body).encode()
    port = str(server.server_port)
    all_headers = {"Content-Type": "application/json", "Content-Length": len(sent)}
    all_headers |= {name: x.replace("PORT", port) for name, x in headers.items()}
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request("POST", "/write", sent, all_headers)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    assert answer.status == status
    if status != 200:
        assert len(json.loads(said)["problem"].splitlines()) == 1


def test_nothing_else_is_served(server):
    for path in ("/page.py", "/../server.py", "/write", "/%2e%2e/server.py"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(server.address[:-1] + path, timeout=60)
        with error.value:
            assert error.value.code == 404


def test_a_port_in_use_is_one_line(tmp_path, capfd, network):
    run = tmp_path / "run"
    (tmp_path / "text").write_text(TEXT)
    where = ["--corpus", str(tmp_path / "text"), "--workdir", str(run)]
    assert char_gen.main([*where, *SMALL]) == 0
    capfd.readouterr()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert talk.main(["--workdir", str(run), "--serve", port]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert f"error: --serve: expected a port that can be used, got {port}" in err
    assert len(err.splitlines()) == 2  # the other one names the checkpoint

    assert talk.main(["--workdir", str(run), "--serve", "99999"]) == 2
    assert "--serve: expected a port, 0 to 65535, got 99999" in capfd.readouterr().err

    with subprocess.Popen(
        [sys.executable, talk.__file__, "--serve", "0", "--workdir", str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"<title>Talk</title>" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130


@pytest.fixture
def page(server):
    with chromium.chromium() as page:
        page.open(server.address)
        page.wait("about !== null && get('title').textContent", "a <run>")
        yield page
        assert page.thrown() == []
        outside = [x for x in page.requested() if not x.startswith(server.address)]
        assert [x for x in outside if not x.startswith("data:")] == []


def ids_in(page):
    return page.evaluate("symbols.map((symbol) => symbol.id)")


def shown(page):
    return page.evaluate("get('text').textContent")


def ready(page, size):
    page.wait(f"running === null && symbols.length === {size}")


def press(page, key):
    for kind in ("keyDown", "keyUp"):
        page.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)


@needs_chromium
def test_the_page_writes_and_goes_on_from_an_alternative(page, network):
    vocabulary = network.vocabulary
    page.type("#given", "hello")
    page.click("#write")
    ready(page, 45)
    first = ids_in(page)
    assert first == expected(network, vocabulary.encode("hello").tolist())
    assert shown(page) == vocabulary.decode(first)
    assert page.evaluate("get('given').value") == ""
    assert page.evaluate("document.querySelectorAll('#text .given').length") == 5
    kinds = page.evaluate("cells.map((cell) => +/c(\\d+)/.exec(cell.className)[1])")
    nats = page.evaluate("symbols.map((symbol) => symbol.nats)")
    assert kinds == [min(int(x / 0.5), 14) for x in nats]

    page.click("#text b:nth-of-type(12)")
    other = page.evaluate("symbols[11].likeliest.find((x) => x[0] !== symbols[11].id)")
    row = page.evaluate(
        "[...document.querySelectorAll('#alternatives button')].findIndex("
        f"(x) => x.title === 'Go on with ' + about.names[{other[0]}])"
    )
    page.click(f"#alternatives button:nth-of-type({row + 1})")
    page.wait("running === null && symbols.length === 52")
    second = ids_in(page)
    assert second[:12] == [*first[:11], other[0]]
    assert second == expected(network, second[:12], turn=1)
    assert shown(page) == vocabulary.decode(second)

    page.click("#again")
    page.wait("running === null && turn === 3")
    third = ids_in(page)
    assert third == expected(network, second[:12], turn=2) != second
    page.click("#undo")
    assert ids_in(page) == second
    page.click("#undo")
    assert ids_in(page) == first
    assert shown(page) == vocabulary.decode(first)
    page.click("#clear")
    assert shown(page) == ""
    page.click("#undo")
    assert ids_in(page) == first


@needs_chromium
def test_the_page_by_keys_with_settings_and_stop(page, network):
    page.evaluate("document.querySelector('details').open = true")
    page.type("[data-setting=top_k]", "1")
    page.type("[data-setting=length]", "30")
    page.type("#given", "he")
    page.send(
        "Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", text="\r"
    )
    ready(page, 32)
    given = network.vocabulary.encode("he").tolist()
    assert ids_in(page) == expected(network, given, top_k=1, length=30)
    page.evaluate("get('text').focus()")
    press(page, "End")
    press(page, "ArrowLeft")
    assert page.evaluate("chosen.at") == 30
    press(page, "ArrowDown")
    assert page.evaluate("document.activeElement.className").startswith("row")
    press(page, "Escape")
    assert page.evaluate("get('alternatives').hidden && chosen === null")

    page.type("#given", "hexe")
    page.click("#write")
    page.wait("!get('problem').hidden")
    assert "the character 'x'" in page.evaluate("get('problem').textContent")
    assert page.evaluate("get('given').value") == "hexe"
    assert len(ids_in(page)) == 32

    page.type("#given", "")
    page.type("[data-setting=length]", "100000")
    page.click("#write")
    page.wait("symbols.length > 200")
    page.click("#stop")
    page.wait("running === null")
    stopped = ids_in(page)
    assert 200 < len(stopped) < 100_000
    page.click("#write")
    page.wait(f"symbols.length > {len(stopped) + 100}")
    assert page.evaluate("running !== null")
    page.evaluate("get('text').scrollTop = 0")
    page.click("#text b:nth-of-type(4)")
    page.type("[data-setting=length]", "10")
    page.evaluate("look(cells[3], true)")
    page.click("#alternatives button:nth-of-type(3)")
    ready(page, 14)
    assert ids_in(page)[:3] == stopped[:3]
    assert page.evaluate("before.at(-1).symbols.length") < len(stopped) + 100_000


@needs_chromium
def test_bytes_are_shown_as_characters(tmp_path, capfd):
    server = serving(network_of(tmp_path, "--vocab", "bytes"), length=60)
    with chromium.chromium() as page:
        page.open(server.address)
        page.wait("about !== null && about.bytes")
        page.type("#given", "é 😀")
        page.click("#write")
        page.wait("running === null && symbols.length >= 67")
        assert shown(page).startswith("é 😀")
        assert shown(page) == bytes(ids_in(page)).decode()
        page.click("#text b:nth-of-type(3)")
        heads = page.evaluate(
            "[...document.querySelectorAll('h2')].map((x) => x.textContent)"
        )
        assert len(heads) == 4
        assert heads[3].startswith("byte 0x80, byte 4 of 4: ")
        assert page.thrown() == []
    server.shutdown()
    server.server_close()
