"""Recording tensors while a network runs, at the borders of its modules and inside their code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from wsol.networks.errors import NetworkError
from wsol.networks.structure import Site


class Call(NamedTuple):
    """A call of a function or module during a forward pass.

    Attributes:
        site: Where.
        inputs: What it was given.
        output: The tensor that it returned; for "input" sites the tensor that came in. A later operation in place
            shows in it, as it shows in what the network computes from it.
        options: Keyword arguments.
    """

    site: Site
    inputs: tuple[Any, ...]
    output: Tensor
    options: dict[str, Any]


def first_tensor(output: Any) -> Tensor | None:
    """The tensor of what a module returns: itself, the first of a tuple, or Hugging Face's last hidden state."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, (tuple, list)) and output:
        return first_tensor(output[0])
    return first_tensor(getattr(output, "last_hidden_state", None)) if output is not None else None


def with_first_tensor(output: Any, tensor: Tensor) -> Any:
    """What a module returns with another tensor in the place of `first_tensor`."""
    if isinstance(output, Tensor):
        return tensor
    if isinstance(output, (tuple, list)):
        rest = [with_first_tensor(output[0], tensor), *output[1:]]
        return type(output)(*rest) if hasattr(output, "_fields") else type(output)(rest)
    output.last_hidden_state = tensor
    return output


class Recorder(TorchFunctionMode):
    """Context in which calls of a network are recorded.

    Args:
        network: The network that will run.
        wanted: Sites to record; None records everything.
        graph_from: An output or function of the sites, the only thing that gradients will be asked of: the graph
            starts with it, so that nothing before it is kept. Enter the context without gradients then.
    """

    def __init__(
        self, network: nn.Module, wanted: Collection[Site] | None = None, graph_from: Site | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.graph_from = graph_from
        self.wanted = None if wanted is None else frozenset(wanted)
        self.calls: list[Call] = []
        self._running: list[str] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._handles: list[RemovableHandle] = []
        self._sees_functions = self.wanted is None or any(site.is_function for site in self.wanted)

    def __enter__(self) -> Recorder:
        self.calls, self._running = [], []
        self._counts.clear()
        borders = None if self._sees_functions or self.wanted is None else {site.module for site in self.wanted}
        for name, module in self.network.named_modules():
            if borders is None or name in borders:
                self._handles.append(module.register_forward_pre_hook(self._enter_module(name), with_kwargs=True))
                self._handles.append(module.register_forward_hook(self._leave_module, always_call=True))
        if self._sees_functions:
            super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._sees_functions:
            super().__exit__(*error)
        while self._handles:
            self._handles.pop().remove()

    def __getitem__(self, site: Site) -> Call:
        for call in self.calls:
            if call.site == site:
                return call
        raise NetworkError(f"{type(self.network).__name__} did not pass {site} on its way to the logits")

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Let the function run and look at what it returns."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if isinstance(result, Tensor):
            module = self._running[-1] if self._running else ""
            return self._record(module, getattr(func, "__name__", "function"), args, result, kwargs)
        return result

    def _record(self, module: str, part: str, inputs: Any, output: Tensor, options: dict[str, Any]) -> Tensor:
        """Note a call; returns the tensor that the network goes on with."""
        site = Site(module, part, self._counts[module, part])
        self._counts[module, part] += 1
        if site == self.graph_from:
            torch.set_grad_enabled(True)
            # The copy, unlike the leaf, may be changed in place by what comes next.
            output = output.detach().requires_grad_().clone()
        if self.wanted is None or site in self.wanted:
            self.calls.append(Call(site, inputs, output, options))
        return output

    def _enter_module(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
            self._running.append(name)
            given = first_tensor(inputs) if inputs else first_tensor(list(options.values()))
            if given is not None:
                self._record(name, "input", inputs, given, {})

        return enter

    def _leave_module(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        name = self._running.pop()
        tensor = first_tensor(output)
        if tensor is None:
            return None
        recorded = self._record(name, "output", inputs, tensor, {})
        return None if recorded is tensor else with_first_tensor(output, recorded)


__all__ = ["Call", "Recorder", "first_tensor"]
