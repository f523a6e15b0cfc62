"""Which slots have ended, learnt without making the GPU wait for the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Watch(Protocol):
    """Told after every step; `live` is bool of shape (slots,), true while a text is being made."""

    def ended(self) -> set[int]:
        """Slots that are known not to be live."""
        ...

    def forget(self) -> None:
        """Take what was seen before now as out of date: slots were filled."""
        ...


class PlainWatch:
    """Looks at the slots as they are now."""

    def __init__(self, live: Tensor) -> None:
        self._live = live

    def ended(self) -> set[int]:
        """See `Watch.ended`."""
        return _not_live(self._live)

    def forget(self) -> None:
        """See `Watch.forget`; nothing was kept."""


class LateWatch:
    """Looks at the slots as they were a step ago, so that the GPU always has a step to do."""

    def __init__(self, live: Tensor) -> None:
        self._live = live
        self._seen = [torch.empty_like(live, device="cpu", pin_memory=True) for _ in range(2)]
        self._copied = [torch.cuda.Event() for _ in range(2)]
        self._steps = 0

    def ended(self) -> set[int]:
        """See `Watch.ended`."""
        now, before = self._steps % 2, (self._steps + 1) % 2
        self._seen[now].copy_(self._live, non_blocking=True)
        self._copied[now].record()
        self._steps += 1
        if self._steps < 2:
            return set()
        self._copied[before].synchronize()
        return _not_live(self._seen[before])

    def forget(self) -> None:
        """See `Watch.forget`."""
        self._steps = 0


def watch_for(live: Tensor) -> Watch:
    """A look behind on a GPU, a direct one elsewhere."""
    return LateWatch(live) if live.is_cuda else PlainWatch(live)


def _not_live(live: Tensor) -> set[int]:
    return {slot for slot, going in enumerate(live.tolist()) if not going}
