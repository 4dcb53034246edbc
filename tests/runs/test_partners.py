"""What a process does when another one ends: the other end of each link is the test."""

import queue
import socket
import threading

import pytest

from jaxtext.runs import partners
from jaxtext.runs.endings import Ending
from jaxtext.runs.links import Link
from jaxtext.runs.partners import Partners


@pytest.fixture
def ends(monkeypatch):
    """How the process ended: the endings, with what they name."""
    found = queue.Queue()

    def end_now(ending, **fields):
        found.put((ending, fields["who"], fields["its_status"]))

    monkeypatch.setattr(Ending, "end_now", end_now)
    monkeypatch.setattr(partners, "GRACE", 0.1)
    monkeypatch.setattr(partners, "LINGER", 10)
    return found


def connected():
    """Both ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        return ours, server.accept()[0]


@pytest.fixture
def watch():
    """``watch(me, *others)``: this process's partners, and the others' links to it."""
    made = []

    def begin(me, *others):
        links, theirs = {}, {}
        for number in others:
            ours, other = connected()
            links[number], theirs[number] = Link(ours), Link(other)
        made.extend([*links.values(), *theirs.values()])
        found = Partners(me, links)
        found.watch()
        return found, theirs

    yield begin
    for link in made:
        link.close()


def heard(link):
    """What came over a link next."""
    link._connection.settimeout(30)
    return link.receive()


def test_one_that_is_gone_is_lost_and_the_others_are_told(ends, watch):
    _, links = watch(0, 1, 2)
    links[1].close()
    assert ends.get(timeout=30) == (Ending.LOST, "process 1", None)
    assert heard(links[2]) == [{"lost": 1}]


def test_what_process_0_has_noticed_ends_the_others(ends, watch):
    _, links = watch(3, 0)
    links[0].send({"lost": 2})
    assert ends.get(timeout=30) == (Ending.LOST, "process 2", None)


def test_one_that_ends_for_a_reason_of_its_own_is_told_with_its_status(ends, watch):
    _, links = watch(0, 1, 2)
    links[1].send({"left": 1, "status": 2})
    links[1].close()
    assert heard(links[2]) == [{"left": 1, "status": 2}]
    assert ends.get(timeout=30) == (Ending.LEFT, "process 1", 2)


def test_one_that_waits_for_all_to_end_may_be_lost(ends, watch):
    _, links = watch(0, 1)
    links[1].send({"done": 1})
    links[1].close()
    assert ends.get(timeout=30) == (Ending.LOST, "process 1", None)


def test_when_all_have_come_to_their_end_none_is_lost(ends, watch):
    own, links = watch(0, 1)
    own.leave_with_others()
    assert heard(links[1]) == [{"done": 0}]
    links[1].send({"done": 1})
    links[1].close()
    assert own._alone.wait(30)
    assert ends.empty()


def test_a_process_that_ends_by_itself_is_not_ended_by_others(ends, watch):
    own, links = watch(0, 1, 2)
    own.claim_end()
    # It stays until the others have ended.
    leaving = threading.Thread(target=own.tell_left, args=(1,))
    leaving.start()
    assert heard(links[1]) == [{"left": 0, "status": 1}]
    links[1].close()
    assert leaving.is_alive()
    links[2].close()
    leaving.join(30)
    assert not leaving.is_alive()
    assert ends.empty()
