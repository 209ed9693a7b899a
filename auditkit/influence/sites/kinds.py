"""The table of layer kinds, and the sites of a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from auditkit.influence.sites.convolution import ConvolutionSite, GroupedSite
from auditkit.influence.sites.embedding import EmbeddingSite
from auditkit.influence.sites.linear import LinearSite
from auditkit.influence.sites.scaling import BatchNormSite, GroupNormSite, LayerNormSite
from auditkit.influence.sites.site import Observed

KINDS: Mapping[type[nn.Module], type[Observed]] = {
    nn.Linear: LinearSite,
    nn.Embedding: EmbeddingSite,
    nn.Conv1d: ConvolutionSite,
    nn.Conv2d: ConvolutionSite,
    nn.Conv3d: ConvolutionSite,
    nn.LayerNorm: LayerNormSite,
    nn.RMSNorm: LayerNormSite,
    nn.GroupNorm: GroupNormSite,
    nn.BatchNorm1d: BatchNormSite,
    nn.BatchNorm2d: BatchNormSite,
    nn.BatchNorm3d: BatchNormSite,
}
"""By class; a subclass counts where it has not written `forward` anew."""


def sites_of(module: nn.Module, trainable: Sequence[str]) -> tuple[Observed, ...]:
    """Layers of a known kind whose own parameters are all trainable and belong to no other module."""
    owners: dict[int, int] = {}
    for _, parameter in module.named_parameters(remove_duplicate=False):
        owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    sites = []
    for name, layer in module.named_modules():
        kind = _kind(layer)
        own = {key: f"{name}.{key}" if name else key for key, _ in layer.named_parameters(recurse=False)}
        parameters = dict(layer.named_parameters(recurse=False))
        if kind is None or "weight" not in own:
            continue
        if all(own[k] in trainable and owners[id(parameters[k])] == 1 for k in own):
            sites.append(kind(name, layer, own["weight"], own.get("bias")))
    return tuple(sites)


def _kind(layer: nn.Module) -> type[Observed] | None:
    if isinstance(layer, nn.Embedding) and (layer.max_norm is not None or layer.scale_grad_by_freq):
        return None
    for known, kind in KINDS.items():
        if isinstance(layer, known) and type(layer).forward is known.forward:
            grouped = kind is ConvolutionSite and getattr(layer, "groups", 1) > 1
            return GroupedSite if grouped else kind
    return None
