"""Counts the time of a TPU kernel from the schedule that libtpu dumps.

A schedule (``…-packed-bundles-post-ra.txt``) has one line for each VLIW bundle::

      0x3 LB: > { %s9 = sadd.s32 1, %s8_s2  ;;  %p1_p0 = scmp.lt.s32.totalorder … }
      0x4   : > {}
      0x5   :  { %11 = sbr.rel (%p1_p0) target bundleno = 3 (0x3), region = 7 }

An empty bundle is a slot in which nothing can be issued, because a matrix unit is busy
or a result is not ready. The code that runs (``…-final_bundles.txt``) does not contain
them, because the hardware waits by itself. So time is counted in slots, and code in
bundles.

To find how often each slot runs, the scalar instructions are executed: loop counters,
predicates and branches. All other instructions are left out. A value that the schedule
does not determine (an address, an argument, memory) is unknown.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

BRANCH_DELAY = 4  # slots after a branch that run before it is taken
GRANULE_BYTES = 32  # the unit of the sizes of DMAs
MOST_BRANCHES = 10_000_000


class UnresolvedError(Exception):
    """The schedule does not determine how often something runs."""


class Bundle(NamedTuple):
    """The instructions of one slot, without comments, and the number of its loops."""

    depth: int
    instructions: tuple[str, ...]


@dataclass
class Slot:
    """The counts of a slot while its kernel runs once."""

    visits: int = 0
    """How often it runs."""
    bundles: int = 0
    """Bundles issued: as many as visits, or none if the slot is empty."""
    matmuls: int = 0
    """Products of the matrix unit (``vmatmul``) issued: of 16 rows of bfloat16, or 8 in
    some forms."""
    read: int = 0
    """Bytes that DMAs bring from HBM."""
    written: int = 0
    """Bytes that DMAs bring to HBM."""
    unsized: int = 0
    """DMAs from or to HBM that have an unknown size or may not be issued. Their bytes
    are not counted."""
    waits: int = 0
    """Waits for a DMA. They take no slot, but may take time."""
    assumed: int = 0
    """Visits that a branch on an unknown value might skip."""
    calls: Counter[str] = field(default_factory=Counter)
    """Calls of other kernels, by name."""


class Total(NamedTuple):
    """Sums over slots."""

    slots: int
    """Slots that run, including empty ones."""
    bundles: int
    matmuls: int
    read: int
    written: int
    unsized: int
    waits: int
    assumed: int


def total(slots: Iterable[Slot]) -> Total:
    """Adds slots up."""
    slots = list(slots)
    names = ("visits", *Total._fields[1:])
    return Total(*(sum(getattr(slot, name) for slot in slots) for name in names))


def parse(text: str) -> list[Bundle]:
    r"""Reads a schedule.

    Raises:
      UnresolvedError: If the slots are not numbered from 0 without a gap.

    Example:
      >>> parse("0 : { %1 = vnop }\n 0x1 LB: > {} /* Start */")
      [Bundle(depth=0, instructions=('%1 = vnop',)), Bundle(depth=1, instructions=())]
    """
    made = []
    for line in _without_comments(text).splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        number, depth, inside = found.groups()
        if int(number, 16) != len(made):
            raise UnresolvedError(f"slot {len(made)} expected, got {number}")
        parts = (part.strip() for part in inside.split(";;"))
        made.append(Bundle(len(depth), tuple(part for part in parts if part)))
    return made


def run(bundles: list[Bundle]) -> list[Slot]:
    """Runs the scalar instructions of a kernel once, and counts its slots.

    This multiplies out the loops. A forward branch on an unknown value is not taken:
    the slots that it might skip are counted, and also reported as `assumed`.

    Raises:
      UnresolvedError: If the end of a loop depends on an unknown value.
    """
    machine, slots = _Machine(), [Slot() for _ in bundles]
    passed, assumed = [0] * (len(bundles) + 1), [0] * (len(bundles) + 1)
    acting = {at: ops for at, b in enumerate(bundles) if (ops := _operations(b))}
    places = sorted(acting)

    def issue(start, stop):
        """Issues slots up to a branch, and returns the place and the operation."""
        for place in places[bisect_left(places, start) : bisect_left(places, stop)]:
            branch = machine.issue(acting[place], slots[place])
            if branch is not None:
                return place, branch
        return None

    at, end = 0, len(bundles)
    for _ in range(MOST_BRANCHES):
        passed[at] += 1
        found = issue(at, end)
        if found is None:
            passed[end] -= 1
            break
        place, (taken, target) = found
        after = min(place + 1 + BRANCH_DELAY, end)
        passed[after] -= 1
        if issue(place + 1, after) is not None:
            raise UnresolvedError(f"a branch in the delay of another, slot {place:#x}")
        if taken is None:
            if target <= place:
                raise UnresolvedError(f"the end of the loop at slot {place:#x}")
            assumed[after] = max(assumed[after], target)
        at = target if taken else after
    else:
        raise UnresolvedError("more branches than one would wait for")

    until = 0
    visits = accumulate(passed[:-1])
    for place, (slot, bundle) in enumerate(zip(slots, bundles, strict=True)):
        slot.visits = next(visits)
        slot.bundles = slot.visits * bool(bundle.instructions)
        matmuls = sum("= vmatmul" in one for one in bundle.instructions)
        slot.matmuls = slot.visits * matmuls
        until = max(until, assumed[place])
        slot.assumed = slot.visits * (place < until)
    return slots


_LINE = re.compile(r" *(0x[0-9a-f]+|0) +(?:[A-Z]{2})? *: *(>*) *\{(.*)\} *")
_INSTRUCTION = re.compile(r"(?:%(\S+) = )?([a-z_][\w.]*)\s*(.*)")
_BRANCH = re.compile(r"(?:\((!?)%(\S+)\) )?target bundleno = (\d+) .*")
_GUARD = re.compile(r"\((!?)%([\w]+)\),? *")
_CHOICE = re.compile(r"\((!?)%(\w+), ([^)]*)\), (.*)")
_REGISTER = re.compile(r"%?(\w+)_([sp]\d+)")


def _without_comments(text):
    """Removes comments, which may be nested, except for sizes and callees in them."""
    text = text.replace("/*size_in_granules=*/", "size_in_granules=")
    text = re.sub(r"( = inlined_call [^/;}]*)/\* %?(\S+)", r"\1calls=\2 /*", text)
    kept, depth = [], 0
    for piece in re.split(r"(/\*|\*/)", text):
        if piece == "/*":
            depth += 1
        elif piece == "*/":
            depth -= 1
        elif depth == 0:
            kept.append(piece)
    return "".join(kept)


class _Operation(NamedTuple):
    name: str
    result: tuple[str, str] | None  # the value's own name, and the register it is in
    guard: tuple[bool, str] | None  # the value that the predicate must have
    operands: str


def _operations(bundle):
    """The operations on scalars, the branches, and those that are counted."""
    made = []
    for instruction in bundle.instructions:
        found = _INSTRUCTION.fullmatch(instruction)
        if found is None:
            continue
        result, name, rest = found.groups()
        register = _REGISTER.fullmatch(result or "")
        counted = name.startswith("dma.") or name in ("sst", "sbr.rel", "inlined_call")
        if register is None and not counted:
            continue
        rest = re.sub(r"^\[thread:[^]]*\] *", "", rest)
        guard = None
        if name != "sbr.rel" and (match := _GUARD.search(rest)) is not None:
            guard = not match[1], match[2]
            rest = rest[: match.start()] + rest[match.end() :]
        result = None if register is None else (register[1], register[2])
        made.append(_Operation(name, result, guard, rest))
    # Names of the same register come first, and branches last: the operations after a
    # branch in the same bundle are issued with it.
    return sorted(made, key=lambda op: (op.name != "sphi", op.name == "sbr.rel"))


class _Machine:
    """Scalar registers and named scalar memory. ``None`` is an unknown value."""

    def __init__(self):
        self.registers = {}  # register -> (name of the value in it, value)
        self.memory = {}

    def issue(self, operations, slot):
        """Issues a bundle. Returns whether its branch is taken, and the target."""
        branch, writes = None, []
        for op in operations:
            runs = True if op.guard is None else self._holds(*op.guard)
            if op.name == "sphi":
                self._rename(op)
            elif op.name.startswith("int_to_ptr"):
                self._address(op)
            elif op.name == "sbr.rel":
                branch = self._branch(op.operands)
            elif op.name == "inlined_call":
                slot.calls[op.operands.rpartition("calls=")[2]] += 1
            elif op.name.startswith("dma."):
                if runs is not False:
                    self._transfer(op, slot, certain=runs is True)
            elif op.name == "sst":
                address, _, value = op.operands.rpartition(" ")
                known = self._value(value) if runs else None
                if runs is not False:
                    self.memory[address.strip()] = known
            elif runs is not False:
                value = self._evaluate(op) if runs else None
                writes.append((op.result, value))
        for (name, register), value in writes:
            self.registers[register] = name, value
        return branch

    def _rename(self, op):
        """Gives the value in a register another name."""
        name, register = op.result
        _, value = self.registers.get(register, (None, None))
        self.registers[register] = name, value

    def _address(self, op):
        """Makes the number in a register an address, if the register holds it.

        Nothing is issued for it. A guard may have prevented the number from being set.
        """
        found = _REGISTER.fullmatch(op.operands.rpartition(" ")[2])
        name, value = self.registers.get(op.result[1], (None, None))
        if found is not None and found.groups() == (name, op.result[1]):
            self.registers[op.result[1]] = op.result[0], value

    def _branch(self, operands):
        found = _BRANCH.fullmatch(operands)
        if found is None:
            raise UnresolvedError(f"sbr.rel {operands}")
        no, predicate, target = found.groups()
        taken = True if predicate is None else self._holds(not no, predicate)
        return taken, int(target)

    def _transfer(self, op, slot, certain):
        if op.name == "dma.done.wait":
            slot.waits += 1
            return
        origin, _, goal = op.name.removeprefix("dma.").partition("_to_")
        if "hbm" not in (origin, goal) or "smem" in (origin, goal):
            return
        found = re.search(r"size_in_granules=([^, ]+)", op.operands)
        size = None if found is None else self._value(found[1])
        if size is None or not certain:
            slot.unsized += 1
            return
        slot.read += size * GRANULE_BYTES * (origin == "hbm")
        slot.written += size * GRANULE_BYTES * (goal == "hbm")

    def _holds(self, wanted, predicate):
        value = self._value(predicate)
        return None if value is None else bool(value) == wanted

    def _value(self, text):
        text = text.strip()
        if text.isdecimal():
            return int(text)
        found = _REGISTER.fullmatch(text)
        if found is None:
            return None
        name, value = self.registers.get(found[2], (None, None))
        return value if name == found[1] else None

    def _evaluate(self, op):
        if op.name == "sld":
            return self.memory.get(op.operands.strip())
        if op.name == "smov" and (found := _CHOICE.fullmatch(op.operands)) is not None:
            no, predicate, kept, moved = found.groups()
            return self._either(self._holds(not no, predicate), moved, kept)
        operands = [part.strip() for part in op.operands.split(",")]
        if op.name == "scalar_select":
            first, yes, no = operands
            return self._either(self._holds(True, first), yes, no)
        name, *kind = op.name.split(".")
        values: list[Any] = [self._value(operand) for operand in operands]
        if name in _LOGIC:
            return _LOGIC[name](*values)
        if None in values:
            return None
        if name == "scmp" and kind[1] in ("s32", "u32"):
            if kind[1] == "s32":
                values = [(value + 2**31) % 2**32 - 2**31 for value in values]
            return int(_COMPARISONS[kind[0]](*values))
        compute = _ARITHMETIC.get(name)
        return None if compute is None else compute(*values) % 2**32

    def _either(self, first, yes, no):
        yes, no = self._value(yes), self._value(no)
        if first is None:
            return yes if yes == no else None
        return yes if first else no


def _and(a, b):
    return 0 if 0 in (a, b) else None if None in (a, b) else 1


def _not(a):
    return None if a is None else 1 - a


_LOGIC: dict[str, Callable] = {
    "pand": _and,
    "pnand": lambda a, b: _not(_and(a, b)),
    "por": lambda a, b: _not(_and(_not(a), _not(b))),
    "pneg": _not,
    "pmov": lambda a: a,
}
_COMPARISONS: dict[str, Callable] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}
_ARITHMETIC: dict[str, Callable] = {
    "smov": lambda a: a,
    "sadd": lambda a, b: a + b,
    "ssub": lambda a, b: a - b,
    "smul": lambda a, b: a * b,
    "sand": lambda a, b: a & b,
    "sor": lambda a, b: a | b,
    "sxor": lambda a, b: a ^ b,
    "sshll": lambda a, b: a << b if b < 32 else 0,
    "sshrl": lambda a, b: a >> b if b < 32 else 0,
}
