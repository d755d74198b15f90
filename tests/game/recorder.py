"""A recorder without a GPU: it notes every operation that a function dispatches, and a replay runs them again."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map


class OperationLog(TorchDispatchMode):
    """Runs operations and notes them."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        outputs = func(*args, **kwargs or {})
        self.operations.append((func, args, kwargs or {}, outputs))
        return outputs


class LoggingRecorder:
    """As with a CUDA graph, recording runs nothing, and every replay overwrites the recorded tensors.

    Attributes:
        recorded: the number of recordings.
        replays: the number of replays of all of them.
    """

    def __init__(self, trainer):
        context = trainer.context
        parts = [*context.players.values(), context.loss, *context.regularizers.values(), *context.augmentations]
        self.state = [t for part in parts if isinstance(part, nn.Module) for t in (*part.parameters(), *part.buffers())]
        self.generators = [torch.default_generator, context.random]
        self.recorded = self.replays = 0

    def warm_up(self, function):
        return function()

    @torch.no_grad()
    def record(self, function):
        self.recorded += 1
        states, values = [generator.get_state() for generator in self.generators], [t.clone() for t in self.state]
        with OperationLog() as log, torch.enable_grad():
            result = function()
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)
        for func, _, _, outputs in log.operations:
            if not any(value.alias_info for value in func._schema.returns):
                for tensor in floats(outputs):
                    tensor.data.fill_(torch.nan)  # until the first replay
        for tensor, value in zip(self.state, values, strict=True):
            tensor.data.copy_(value)
        return result, lambda: self._replay(log.operations)

    @torch.no_grad()
    def _replay(self, operations):
        self.replays += 1
        for func, args, kwargs, outputs in operations:
            if any(value.alias_info is not None and not value.alias_info.is_write for value in func._schema.returns):
                continue  # a view, which shows the new values
            again = func(*tree_map(unseen, args), **tree_map(unseen, kwargs))
            for old, new in zip(tree_leaves(outputs), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.data.copy_(new)


def unseen(value):
    """A tensor whose writes autograd does not see, as it does not see those of a CUDA graph."""
    return value.data if isinstance(value, Tensor) else value


def floats(outputs):
    return [tensor for tensor in tree_leaves(outputs) if isinstance(tensor, Tensor) and tensor.is_floating_point()]
