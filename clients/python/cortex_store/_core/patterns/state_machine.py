"""State machines: what they allow, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from ..errors import CortexError, refused, shown
from ..validate import text


@dataclass(frozen=True)
class StateMachine:
    """A kind of state machine."""

    name: str
    """The namespace in MutableStore of the current states; also the type in ImmutableStore of the
    transitions."""
    initial: str
    """The state before the first transition."""
    transitions: Mapping[str, Sequence[str]]
    """The allowed next states of each state. A state that is missing here, or has an empty list, is final."""

    def __post_init__(self) -> None:
        text(self.name, "name", "INVALID_OPTIONS")
        text(self.initial, "initial", "INVALID_OPTIONS")
        if not isinstance(self.transitions, Mapping):
            raise refused("INVALID_OPTIONS", "transitions", f"is not a dict of lists: {shown(self.transitions)}")
        for state, following in self.transitions.items():
            if isinstance(following, str) or not isinstance(following, (list, tuple, set, frozenset)):
                raise refused("INVALID_OPTIONS", f"transitions[{state!r}]", f"is not a list: {shown(following)}")

    def current(self, stored: Any) -> dict[str, Any]:
        """The stored state; the beginning if there is none."""
        if stored is None:
            return {"state": self.initial, "data": None, "step": 0}
        is_state = isinstance(stored, dict) and stored.keys() == {"state", "data", "step"}
        if not is_state or not isinstance(stored["state"], str) or not isinstance(stored["step"], int):
            raise refused("INVALID_DATA", "id", f"holds no state of the machine {self.name}: {shown(stored)}")
        return dict(stored)


@dataclass(frozen=True)
class MachineState:
    """Where a machine is."""

    state: str
    data: Any
    """The data of the last transition that gave data; None if none did."""
    step: int
    """How many transitions there were."""


def state_machine(machine: Any) -> StateMachine:
    if not isinstance(machine, StateMachine):
        raise refused("INVALID_OPTIONS", "machine", f"is no StateMachine: {shown(machine)}")
    return machine


def not_allowed(
    id: str, current: str, to: str, allowed: Sequence[str], wanted: Optional[Sequence[str]] = None
) -> CortexError:
    there = f"only to {', '.join(allowed)}" if allowed else "it is final"
    if to in allowed and wanted is not None:
        there = f"the caller wants it from {' or '.join(wanted)}"
    return CortexError(
        "TRANSITION_NOT_ALLOWED",
        f"{id} cannot go from {current} to {to}: {there}",
        {"id": id, "from": current, "to": to, "allowed": ", ".join(allowed)},
    )
