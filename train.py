"""One experiment: python train.py cfg.yaml [option=value ...]

Read `experiment_generator` from top to bottom: it is the story of a training run. Other programs import
it to do their own work between epochs:

    from src.config import Config
    from train import experiment_generator

    for stats, model in experiment_generator(Config(dataset="sklearn/digits", ...)):
        print(stats["test/last/accuracy"].iloc[-1])
"""

from __future__ import annotations

import sys

import src.installed  # noqa: F401
from src import output
from src.running import command

if __name__ == "__main__":
    output.outlive_reader()
    # A config that cannot run ends here, before the imports below, which take seconds.
    request = command.read(sys.argv[1:])

from collections.abc import Iterator
from typing import Any

import pandas as pd
from torch import nn

from src import config as configs
from src import experiment
from src.config import Config
from src.data import load_data
from src.data.batches import train_batches
from src.logs import build_listeners, stats
from src.logs.listeners import Listeners, Start
from src.models import build_model, model_inputs, output_dim
from src.optim.averaging import build_average
from src.optim.optimizers import build_optimizer
from src.optim.schedules import learning_rate
from src.signals import StoppedBySignal
from src.training.best import BestEpoch
from src.training.divergence import check_divergence
from src.training.evaluation import batch_watcher, build_evaluator
from src.training.forward import build_forward
from src.training.length import run_length
from src.training.losses import build_loss
from src.training.metrics import build_metrics
from src.training.process import Process, seed_all
from src.training.saving import Saver
from src.training.setup import find, set_up, write_record
from src.training.state import TrainState
from src.training.step import set_lr, train_step


def experiment_generator(config: Config) -> Iterator[tuple[pd.DataFrame, nn.Module]]:
    """Trains; yields (stats, model) after each epoch, with stats.csv of that epoch already on disk.

    stats has a row an epoch; model is the live model (its last iterate, not the average). Resumes from the
    checkpoint in output_dir unless config.resume is `never`; yields the last epoch once if the experiment is done.
    Closing the generator, or a stop signal (between two steps), saves the state for resuming.
    Raises Diverged; StoppedBySignal, which is a KeyboardInterrupt; ValueError with a sentence for the user.
    """
    config = configs.checked(config)
    setup = set_up(config)  # the run's folder, device and seeds
    folder, device = setup.folder, setup.device
    listeners = Listeners() if setup.is_done else build_listeners(config, folder)

    with Process(config.num_threads) as process, listeners:
        # --- data, model, loss, metrics -----------------------------------------------------------------
        data = load_data(config, model_inputs(config), setup.seed_training).to(device)
        seed_all(setup.seed_model)
        n_outputs = output_dim(config, data.n_classes, data.n_targets)
        model = build_model(config, data.input_shape, n_outputs, data.class_names, data.sparse).to(device)
        forward = build_forward(model)  # what is called in the place of the model
        loss_fn = build_loss(config.loss, data.n_classes)
        train_loss_fn = build_loss(config.loss, data.n_classes, config.label_smoothing)
        state = TrainState(build_metrics(config.metrics, data.n_classes), device)
        found = find(config, setup, data, model, n_outputs, state.metrics)
        length = run_length(config, found.data_n_examples)

        # --- optimizer, average, what is evaluated ------------------------------------------------------
        optimizer = build_optimizer(config, model)
        average = build_average(model, config.averaging, config.averaging_buffers)
        seed_all(setup.seed_training)
        models = {"last": model} | ({"av": average.module} if average is not None else {})
        watcher = batch_watcher(config.log_interval_eval, listeners.note, process.signals.check)
        evaluator = build_evaluator(config, setup, data, models, loss_fn, found.eval_batch_size, watcher)
        columns = stats.columns(evaluator.names, found.metric_modes)
        best = BestEpoch(config, evaluator.names, found.metric_modes)

        # --- resume -------------------------------------------------------------------------------------
        record = configs.record(config, found)
        parts = {"model": model, "optimizer": optimizer, "state": state, "best": best, "average": average}
        saver = Saver(config, folder, record, parts, listeners.saved, listeners.note)
        if not saver.resume(device) and configs.differences(experiment.read_options(folder, experiment.CONFIG), record):
            (folder / experiment.STATS).unlink(missing_ok=True)  # of another config: its epochs are not ours
        if setup.is_done:
            if state.rows:  # there is a checkpoint
                with process.outside():
                    yield stats.table(state.rows, columns), model
            return
        write_record(config, folder, record)
        for note in data.notes:
            listeners.note(note)
        listeners.started(Start(state.step, length.total_steps, found.model_n_parameters, tuple(found.metric_modes)))
        if config.warmup_steps > length.total_steps > 0:
            listeners.note(f"warmup_steps {config.warmup_steps} is longer than the run, which never reaches base_lr")

        batches = train_batches(data.splits["train"], config, device, setup.seed_training, start_step=state.step)
        is_over = False
        try:
            for epoch in range(len(state.rows) + 1, length.n_epochs + 1):
                if best.out_of_patience:
                    break

                # --- train ------------------------------------------------------------------------------
                model.train()
                state.watch.start()
                # zip draws a step first: after the last one it draws no batch, which would be lost for the next epoch.
                steps = range(state.step, length.epoch_end(epoch))
                for step, micro_batches in zip(steps, state.watch.waiting(batches), strict=False):
                    lr = learning_rate(config, step, length.total_steps, length.steps_per_unit(step))
                    set_lr(optimizer, lr)
                    loss, grad_norm = train_step(model, forward, train_loss_fn, optimizer, micro_batches, state.metrics)
                    if average is not None:
                        average.update_parameters(model)
                    state.count_step(sum(len(y) for _, y in micro_batches), grad_norm, lr)
                    values = {}
                    if state.step % config.log_interval == 0:  # only here the loop waits for the device
                        values = {"epoch": epoch, "loss": loss.item(), "lr": lr}
                        check_divergence(values["loss"], config.max_allowed_loss, state.step)
                    listeners.step(state.step, values)
                    process.signals.check()
                    if saver.due_within_epoch:
                        saver.save()

                # --- evaluate ---------------------------------------------------------------------------
                row: dict[str, Any] = {"epoch": epoch if length.total_steps else 0, "step": state.step}
                row |= state.train_figures()
                if "train/loss" in row:  # the epoch had a step
                    check_divergence(row["train/loss"], config.max_allowed_loss, state.step, model)
                row |= evaluator.evaluate() | {"timestamp": experiment.now()}

                # --- keep -------------------------------------------------------------------------------
                best.update(row)
                state.end_epoch(row)
                table = stats.write(folder / experiment.STATS, state.rows, columns)
                is_over = epoch == length.n_epochs or best.out_of_patience
                saver.keep_weights(models, row, best, is_over)
                if is_over or saver.due:
                    saver.save()
                listeners.epoch(row)
                with process.outside():
                    yield table, model
        except (GeneratorExit, StoppedBySignal):  # both come where the state is whole
            if is_over:
                return  # all was on disk before the caller closed the run
            saver.save()
            raise
        finally:
            batches.close()


def main(arguments: list[str]) -> int:
    """The command line, for programs; returns the exit code, or exits (SystemExit) where nothing can be run."""
    return command.read(arguments).run(experiment_generator)


if __name__ == "__main__":
    sys.exit(request.run(experiment_generator))
