"""tiny/lenet on scikit-learn's digits: the model of the demo has to be good enough for it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from src import config as configs
from src.models import build_model
from src.optim.optimizers import build_optimizer
from src.optim.schedules import learning_rate


def test_lenet_reaches_97_percent_on_digits_in_15_epochs() -> None:
    values, labels = load_digits(return_X_y=True)
    images = torch.tensor(values / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    targets = torch.tensor(labels)
    train, test = train_test_split(torch.arange(len(targets)), test_size=0.2, stratify=targets, random_state=0)

    config = configs.build(
        {"model": "tiny/lenet", "base_lr": 0.1, "lr_schedule": "cosine", "batch_size": 100, "train_length": 15}
    )
    torch.manual_seed(0)
    model = build_model(config, (1, 8, 8), 10)
    optimizer = build_optimizer(config, model)
    batches = [batch for _ in range(15) for batch in train[torch.randperm(len(train))].split(100)]
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step, len(batches), len(batches) / 15)
        optimizer.zero_grad()
        F.cross_entropy(model(images[batch]), targets[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = (model(images[test]).argmax(1) == targets[test]).float().mean()
    assert accuracy > 0.97
