"""State machines: allowed transitions, each of which is recorded as a version in ImmutableStore."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Union

from ..._core.options import ClaimGuard
from ..._core.patterns.state_machine import MachineState, StateMachine, not_allowed, state_machine
from ..._core.patterns.unwrap_errors import unwrapped_errors
from ..._core.records import ImmutableVersion
from ..._core.validate import UNSET, Unset
from ..scopes import AsyncSurface
from ..transactions import AsyncTransaction
from .takes_client import takes_client


@takes_client
async def state_of(cortex: AsyncSurface, machine: StateMachine, id: str) -> MachineState:
    """Where the machine with an id is. One that was never started is in its initial state.

    Raises INVALID_DATA if the key holds something else.
    """
    state_machine(machine)
    return MachineState(**machine.current(await cortex.mutable.get(machine.name, id, default=None)))


@takes_client
async def transition(
    cortex: AsyncSurface,
    machine: StateMachine,
    id: str,
    to: str,
    *,
    from_state: Union[str, Sequence[str], None] = None,
    data: Any | Unset = UNSET,
    claim: Optional[ClaimGuard] = None,
    timeout: Optional[float] = None,
) -> MachineState:
    """Makes a transition. In one transaction it checks that the current state allows it, stores the new
    state, and stores a version ``{from, to, step, data}`` under the type ``machine.name`` and the id. If
    several callers make transitions at once, they run one after the other: each starts from the state that
    the one before stored. Gives where the machine is now.

    :param from_state: only from this state, or one of these. Default: from any that allows it.
    :param data: any JSON value that belongs to the new state. Default: the data of the state before.
    :param claim: the claim that the caller must hold.

    Raises TRANSITION_NOT_ALLOWED (``details``: ``from``, ``to``, ``allowed``), FENCE_STALE; INVALID_DATA if
    the key holds something else.

    >>> jobs = StateMachine("jobs", "pending", {"pending": ["running"], "running": ["done", "failed"]})
    >>> await transition(cortex, jobs, "job-7", "running", data={"worker": "w-1"})
    """
    state_machine(machine)
    wanted = [from_state] if isinstance(from_state, str) else from_state

    async def work(tx: AsyncTransaction) -> dict[str, Any]:
        current = machine.current(await tx.get(machine.name, id))
        allowed = machine.transitions.get(current["state"], ())
        if to not in allowed or (wanted is not None and current["state"] not in wanted):
            raise not_allowed(id, current["state"], to, allowed, wanted)
        step = current["step"] + 1
        following = {"state": to, "data": current["data"] if data is UNSET else data, "step": step}
        await tx.set(machine.name, id, following)
        record = {"from": current["state"], "to": to, "step": step, "data": following["data"]}
        await tx.store(machine.name, id, record)
        return following

    with unwrapped_errors():
        return MachineState(**(await cortex.mutable.transaction(work, claim=claim, timeout=timeout)))


@takes_client
async def transitions_of(cortex: AsyncSurface, machine: StateMachine, id: str) -> list[ImmutableVersion]:
    """The transitions of a machine, the oldest first: as many as the retention of their type keeps."""
    return await cortex.immutable.get_history(state_machine(machine).name, id)
