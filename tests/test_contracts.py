"""Every cell keeps the contract."""

import contracts
import pytest

import jaxtext as jt


def by_backend(cell):
    """A cell that goes over every sequence by its backend, to hold that to `step`."""
    (backend,) = cell.backends
    return cell._replace(sequence=lambda walk, *rest: backend.sequence(*rest, True))


CELLS = {
    "rnn": jt.rnn(4),
    "lstm": jt.lstm(4),
    "gru": jt.gru(4),
    "gru, reset before": jt.gru(4, reset_after=False),
    "odd width": jt.lstm(1),
    "layer_norm_lstm": jt.layer_norm_lstm(4),
    "layer_norm_gru": jt.layer_norm_gru(4),
    "coupled_lstm": jt.coupled_lstm(4),
    "peephole_lstm": jt.peephole_lstm(4),
    "projected_lstm": jt.projected_lstm(4, 3),
    "min_gru": jt.min_gru(4),
    "min_gru, parallel": by_backend(jt.min_gru(4)),
    "min_lstm": jt.min_lstm(4),
    "minimal_gated_unit": jt.minimal_gated_unit(4),
    "mogrifier": jt.mogrifier(jt.lstm(4), rounds=3),
    "zoneout": jt.zoneout(jt.lstm(4), jt.LSTMState(c=0.5, h=0.1)),
    "recurrent_dropout": jt.recurrent_dropout(jt.lstm(4), 0.5),
    "variational_dropout": jt.stack(jt.gru(4), jt.variational_dropout(0.5)),
    "stack": jt.stack(jt.lstm(4), jt.dropout(0.5), jt.residual(jt.gru(4)), jt.rnn(3)),
    "stack in a stack": jt.stack(jt.stack(jt.gru(3)), jt.residual(jt.stack(jt.rnn(3)))),
    "bidirectional": jt.bidirectional(jt.lstm(4), jt.gru(3)),
    "bidirectional stack": jt.stack(
        jt.bidirectional(jt.stack(jt.gru(2), jt.dropout(0.5))), jt.rnn(3)
    ),
}
STEPPING = [name for name, cell in CELLS.items() if cell.step is not None]


@pytest.mark.parametrize("clause", contracts.FOR_EVERY_CELL, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", CELLS)
def test_contract(name, clause):
    clause(CELLS[name])


@pytest.mark.parametrize(
    "clause", contracts.FOR_EVERY_CELL_THAT_STEPS, ids=lambda f: f.__name__
)
@pytest.mark.parametrize("name", STEPPING)
def test_contract_of_stepping(name, clause):
    clause(CELLS[name])
