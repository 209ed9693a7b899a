"""A bank's own model whose loss is averaged over the batch, which hides every single record."""

import torch
from torch import nn


class Credit:
    def __init__(self):
        self.module = nn.Linear(2, 1)
        self.weight_decay = 0.0

    def tensors(self, frame, label):
        inputs = torch.tensor(frame[["income", "amount"]].to_numpy() / 10_000, dtype=torch.float32)
        return (inputs,), torch.tensor(label, dtype=torch.float32)

    def loss(self, outputs, targets):
        return nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], targets)

    def favourable_score(self, outputs):
        return torch.sigmoid(outputs[:, 0])
