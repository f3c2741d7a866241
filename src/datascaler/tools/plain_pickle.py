"""Reading somebody else's pickle without running what it says, in time and memory that its size bounds.

It is read by Python's own unpickler in Python, with only those words of pickle's language that plain data is written
in. Tuples and frozen sets become lists, which nothing hashes: to hash or compare a few nested ones takes for ever, and
deep ones end the process. What a name in it stands for is said by those who read: nothing is ever imported.
"""

import pickle
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

_WORDS = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK"),
    *("GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("LIST", "EMPTY_LIST", "APPEND", "APPENDS", "DICT", "EMPTY_DICT", "SETITEM", "SETITEMS"),
    *("EMPTY_SET", "ADDITEMS", "EMPTY_TUPLE"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
)
"""What is left out copies, makes objects of other kinds, or refers to what is outside the file."""
_Unpickler: Any = pickle._Unpickler
"""The one in Python: that in C takes memory by the numbers that a file gives its parts."""

Dispatch = dict[int, Callable[[Any], None]]


def acts_at(names: Iterable[str]) -> Dispatch:
    """What Python's unpickler does at these words, by their codes."""
    return {code: _Unpickler.dispatch[code] for code in (getattr(pickle, name)[0] for name in names)}


class PlainUnpickler(_Unpickler):  # type: ignore[misc]
    """Knows plain data; `find_class` says what each name stands for."""

    dispatch: ClassVar[Dispatch] = acts_at(_WORDS)

    def find_class(self, module: str, name: str) -> Any:
        raise NotImplementedError

    def _last_one(self) -> None:
        self.stack[-1] = [self.stack[-1]]

    def _last(self, count: int) -> None:
        items = self.stack[len(self.stack) - count :]
        if len(items) != count:
            raise IndexError("the pickle's stack is empty")
        self.stack[len(self.stack) - count :] = [items]

    def _since_mark(self) -> None:
        items = self.pop_mark()
        self.append(items)  # to the stack below, which is the current one only now

    def _counted_bytes(self) -> None:
        """What is not there is not waited for in memory of that size."""
        self.append(self.read(int.from_bytes(self.read(8), "little")))

    dispatch |= {
        pickle.TUPLE[0]: _since_mark,
        pickle.TUPLE1[0]: _last_one,
        pickle.TUPLE2[0]: lambda self: self._last(2),
        pickle.TUPLE3[0]: lambda self: self._last(3),
        pickle.FROZENSET[0]: _since_mark,
        pickle.BYTEARRAY8[0]: _counted_bytes,
    }
