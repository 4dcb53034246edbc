"""The colours of surprisal: shades of red, by steps of half a nat."""

STEP, SHADES = 0.5, 15  # nats a shade; the last one is for all that is beyond
STYLE = "".join(
    f".c{shade} {{ background: rgb(225 60 20 / {0.75 * shade / (SHADES - 1):.3f}); }}\n"
    for shade in range(SHADES)
)


def kind(nats: float) -> str:
    """The class of `STYLE` for a surprisal.

    Example:
      >>> kind(0.0), kind(1.2), kind(99.0)
      ('c0', 'c2', 'c14')
    """
    return f"c{min(int(nats / STEP), SHADES - 1)}"


def legend() -> str:
    """A paragraph of HTML that says which shade is how many nats."""
    shades = "".join(
        f'<b class="c{shade}">{shade * STEP:g}{"+" if shade == SHADES - 1 else ""}</b>'
        for shade in range(SHADES)
    )
    return f'<p class="legend">nats {shades}</p>'
