"""Classic BPF for seccomp(2): blocks of instructions, each of which ends in a verdict whichever way it is run.

struct seccomp_data: number (32 bits), architecture (32), instruction pointer (64), six arguments (64 each), in the
machine's byte order, which is little-endian on all that have a table. A program has at most 4096 instructions.
"""

import struct
from bisect import bisect_right
from collections.abc import Sequence

from supervisor.spec.seccomp import Comparison

LONGEST = 4096  # BPF_MAXINSNS
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP, _EQUAL, _GREATER, _NOT_LESS = 0x05, 0x15, 0x25, 0x35
_FARTHEST = 255  # of a conditional jump
_HALF = 0xFFFFFFFF

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, k
Block = tuple[Instruction, ...]


def pack(block: Block) -> bytes:
    """The program as the kernel takes it: struct sock_filter[]."""
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in block)


def verdict(action: int) -> Block:
    """Return an action (SECCOMP_RET_*)."""
    return ((_RETURN, 0, 0, action),)


def load(offset: int, then: Block) -> Block:
    """Load a word of the seccomp_data."""
    return ((_LOAD, 0, 0, offset), *then)


def if_equal(value: int, yes: Block, no: Block) -> Block:
    """Choose by the loaded word."""
    return _branch(_EQUAL, value, yes, no)


def search(starts: Sequence[int], blocks: Sequence[Block]) -> Block:
    """Choose by binary search: the block whose start is the greatest that is not above the loaded word."""
    if len(blocks) == 1:
        return blocks[0]
    middle = len(blocks) // 2
    left, right = search(starts[:middle], blocks[:middle]), search(starts[middle:], blocks[middle:])
    return _branch(_NOT_LESS, starts[middle], right, left)


def shared(block: Block) -> Block:
    """The same program with each verdict there once, as far as jumps reach: the kernel compiles it at each launch."""
    verdicts: dict[int, list[int]] = {}
    for at, (code, _, _, k) in enumerate(block):
        if code == _RETURN:
            verdicts.setdefault(k, []).append(at)

    def final(at: int, way: int) -> int:
        target = at + 1 + way
        code, _, _, k = block[target]
        if code != _RETURN:
            return target
        places = verdicts[k]
        return places[bisect_right(places, at + 1 + _FARTHEST) - 1]

    ways = {
        at: (final(at, true), final(at, false))
        for at, (code, true, false, _) in enumerate(block)
        if code in (_EQUAL, _GREATER, _NOT_LESS)
    }
    reached: set[int] = set()
    pending = [0]
    while pending:
        at = pending.pop()
        if at in reached:
            continue
        reached.add(at)
        code, _, _, k = block[at]
        if code != _RETURN:
            pending += ways.get(at, (at + 1 + (k if code == _JUMP else 0),))
    kept = sorted(reached)
    place = {old: new for new, old in enumerate(kept)}
    moved = []
    for new, old in enumerate(kept):
        code, _, _, k = block[old]
        true, false = (place[target] - new - 1 for target in ways[old]) if old in ways else (0, 0)
        moved.append((code, true, false, place[old + 1 + k] - new - 1 if code == _JUMP else k))
    return tuple(moved)


def _branch(test: int, value: int, yes: Block, no: Block) -> Block:
    if len(no) <= _FARTHEST:
        return ((test, len(no), 0, value), *no, *yes)
    return ((test, 0, 1, value), (_JUMP, 0, 0, len(no)), *no, *yes)


def if_all(comparisons: Sequence[Comparison], yes: Block, no: Block) -> Block:
    """Choose by arguments. `yes` is a verdict, for the jumps lead over it; the loaded word is lost."""
    tests: list[_Test] = []
    for comparison in comparisons:
        lines = _comparison(comparison)
        end = len(tests) + len(lines)
        tests += [(code, k, end if yes == _HOLDS else yes, end if no == _HOLDS else no) for code, k, yes, no in lines]
    after = len(tests) + len(yes)
    block = []
    for at, (code, k, *ways) in enumerate(tests):
        true, false = ((after if way == _FAILS else at + 1 if way == _NEXT else way) - at - 1 for way in ways)
        block.append((code, true, false, k))
    return (*block, *yes, *no)


_Test = tuple[int, int, int, int]  # code, k, where to if true, where to if false
_NEXT, _HOLDS, _FAILS = -1, -2, -3


def _comparison(comparison: Comparison) -> list[_Test]:
    """One argument: its high half, then where that does not decide its low half."""
    low = ARGUMENTS + 8 * comparison.index
    high = low + 4
    value, two = comparison.value, comparison.value_two
    match comparison.op:
        case "SCMP_CMP_EQ":
            return [*_half(high, value >> 32), *_half(low, value & _HALF)]
        case "SCMP_CMP_MASKED_EQ":
            halves = ((high, value >> 32, two >> 32), (low, value & _HALF, two & _HALF))
            tests = [test for offset, mask, wanted in halves if mask for test in _half(offset, wanted, mask)]
            return tests or [_loaded(low)]  # a mask of 0: it always holds
        case "SCMP_CMP_NE":
            first = [_loaded(high), (_EQUAL, value >> 32, _NEXT, _HOLDS)]
            return [*first, _loaded(low), (_EQUAL, value & _HALF, _FAILS, _HOLDS)]
        case "SCMP_CMP_GT":
            return _ordered(high, low, value, _GREATER, above=_HOLDS, below=_FAILS)
        case "SCMP_CMP_GE":
            return _ordered(high, low, value, _NOT_LESS, above=_HOLDS, below=_FAILS)
        case "SCMP_CMP_LT":
            return _ordered(high, low, value, _NOT_LESS, above=_FAILS, below=_HOLDS)
        case "SCMP_CMP_LE":
            return _ordered(high, low, value, _GREATER, above=_FAILS, below=_HOLDS)


def _loaded(offset: int) -> _Test:
    return (_LOAD, offset, _NEXT, _NEXT)  # no jump: both come out as 0


def _half(offset: int, wanted: int, mask: int = _HALF) -> list[_Test]:
    masking = [] if mask == _HALF else [(_AND, mask, _NEXT, _NEXT)]
    return [_loaded(offset), *masking, (_EQUAL, wanted, _NEXT, _FAILS)]


def _ordered(high: int, low: int, value: int, test: int, *, above: int, below: int) -> list[_Test]:
    return [
        _loaded(high),
        (_GREATER, value >> 32, above, _NEXT),
        (_EQUAL, value >> 32, _NEXT, below),
        _loaded(low),
        (test, value & _HALF, above, below),
    ]
