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
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from src import config as config_module
from src import experiment, yaml_io
from src.config import Config
from src.training import command

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn


def experiment_generator(config: Config) -> Iterator[tuple[pd.DataFrame, nn.Module]]:
    """Trains; yields (stats, model) after each epoch, with stats.csv of that epoch already on disk.

    stats has a row an epoch; model is the live model (its last iterate, not the average). Goes on from
    the checkpoint in output_dir unless config.resume is `never`; yields nothing if the experiment is done.
    Closing the generator, or a stop signal (at the next step's edge), saves the state for resuming.
    Raises Diverged; StoppedBySignal, which is a KeyboardInterrupt; ValueError with a sentence for the user.
    """
    # Imported here and not above, so that a typo in a config is told before the two seconds these take.

    from src.data import load_data
    from src.data.batches import eval_batches, micro_batch_size, train_batches
    from src.logs import stats
    from src.logs.record import RunRecord
    from src.logs.resources import device_peak_mb
    from src.models import build_model, model_inputs
    from src.models.counts import count_flops, count_parameters
    from src.optim.averaging import build_average
    from src.optim.optimizers import build_optimizer
    from src.optim.schedules import learning_rate
    from src.training import checkpoint, requeue, setup
    from src.training.best import BestEpoch
    from src.training.divergence import check_finite, check_loss, is_finite
    from src.training.evaluation import batch_watcher, evaluate, recompute_batch_norm
    from src.training.length import run_length
    from src.training.losses import build_loss
    from src.training.meter import Meter
    from src.training.process import Process, seed_all
    from src.training.signals import StoppedBySignal, StopSignals
    from src.training.state import TrainState
    from src.training.step import train_step

    config, folder, device = setup.prepare(config)
    assert config.seed_model is not None and config.seed_training is not None  # prepare draws them
    if (folder / experiment.DONE).exists():
        return

    with RunRecord(config) as record, StopSignals() as signals, Process(config.num_threads) as process:
        record.check_restarts(requeue.MAX_STALLED)

        # --- data, and what the config gets to know from it ---------------------------------------------
        data = load_data(config, model_inputs(config)).to(device)
        train_data, sizes = data.splits["train"], {name: len(split) for name, split in data.splits.items()}
        classification = data.n_classes is not None
        output_dim = config.model_output_dim or data.n_classes or 1
        config.batch_size_accum = micro_batch_size(config.batch_size, config.grad_accum_steps)
        eval_batch_size = config.eval_batch_size or max(config.batch_size_accum, 256)
        config.data_split_sizes, config.data_n_examples, config.data_n_classes = sizes, sizes["train"], data.n_classes
        config.model_input_shape, config.model_output_dim = list(data.input_shape), output_dim
        config.eval_batch_size = eval_batch_size
        length = run_length(config, sizes["train"])

        # --- model, loss, optimizer, average ------------------------------------------------------------
        seed_all(config.seed_model)
        model = build_model(config, data.input_shape, output_dim, data.class_names, data.sparse).to(device)
        loss = build_loss(config.loss, output_dim, data.n_classes)
        train_loss = build_loss(config.loss, output_dim, data.n_classes, config.label_smoothing)
        config.model_n_parameters, config.model_n_trained = count_parameters(model)
        config.model_flops = count_flops(model, data.input_shape, data.kind == "text")
        optimizer = build_optimizer(config, model)
        average = build_average(model, config.averaging, config.averaging_buffers)
        seed_all(config.seed_training)

        # --- what is evaluated, and what stats.csv will hold --------------------------------------------
        models = {"last": model} | ({"av": average.module} if average is not None else {})
        kinds = [kind for kind in models if config.evaluate in (kind, "both", None)]
        evaluations = [(split, kind) for split in data.splits if split != "train" for kind in kinds]
        columns = stats.columns([f"{split}/{kind}" for split, kind in evaluations], classification)
        best = BestEpoch(config, columns)
        state = TrainState(device, classification)

        # --- resume -------------------------------------------------------------------------------------
        parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "state": state, "best": best}
        if average is not None:
            parts["average"] = average
        if (folder / experiment.CHECKPOINT).exists():
            checkpoint.load(folder / experiment.CHECKPOINT, config, parts, device)
        elif config_module.differences(experiment.earlier_config(folder), config):
            (folder / experiment.STATS).unlink(missing_ok=True)  # of another config: its epochs are not ours
        experiment.write_text(folder / experiment.CONFIG, yaml_io.dump(config_module.to_dict(config)))

        def save() -> None:
            checkpoint.save(folder / experiment.CHECKPOINT, config, parts)
            record.saved(state.step)

        saved_at = time.monotonic()
        record.start(state.step, length.total_steps, config.model_n_parameters)
        batches = train_batches(train_data, config, device, start_step=state.step)
        try:
            for epoch in range(len(state.rows) + 1, length.n_epochs + 1):
                if best.out_of_patience:
                    break

                # --- train ------------------------------------------------------------------------------
                state.epoch.watch.start()
                steps = range(state.step, length.epoch_end(epoch))
                for step, micro_batches in zip(steps, state.epoch.watch.waiting(batches), strict=False):
                    rate = learning_rate(config, step, length.total_steps, length.steps_per_unit)
                    for group in optimizer.param_groups:
                        group["lr"] = rate * group.get("lr_scale", 1.0)  # less than 1 with layer_decay
                    batch_loss, grad_norm = train_step(model, train_loss, optimizer, micro_batches, state.epoch.meter)
                    if average is not None:
                        average.update_parameters(model)
                    state.count_step(micro_batches, grad_norm, rate)
                    if state.step % config.log_interval == 0:  # only here the loop waits for the device
                        value = batch_loss.item()
                        record.log.info("epoch %d  step %d  loss %.6g  lr %.6g", epoch, state.step, value, rate)
                        check_loss(value, config.max_allowed_loss, state.step)
                    record.progress(state.step)
                    signals.check()

                # --- evaluate ---------------------------------------------------------------------------
                row: dict[str, Any] = {"epoch": epoch if length.total_steps else 0, "step": state.step}
                if state.epoch.n_steps > 0:
                    row |= stats.prefixed("train", state.train_figures() | {"peak_memory_mb": device_peak_mb(device)})
                    check_loss(row["train/loss"], config.max_allowed_loss, state.step)
                    check_finite(model, state.step)
                if config.averaging_buffers == "recompute" and "av" in kinds:
                    recompute_batch_norm(
                        models["av"],
                        eval_batches(train_data, eval_batch_size, device, config.num_workers, config.seed_training),
                    )
                for split, kind in evaluations:
                    figures = evaluate(
                        models[kind],
                        eval_batches(
                            data.splits[split], eval_batch_size, device, config.num_workers, config.seed_training
                        ),
                        loss,
                        Meter(device, classification),
                        batch_watcher(record.log, f"{split}/{kind}", config.log_interval_eval, signals.check),
                    )
                    row |= stats.prefixed(f"{split}/{kind}", figures)
                row["timestamp"] = experiment.now()

                # --- keep -------------------------------------------------------------------------------
                improved = best.update(row)
                state.end_epoch(row)
                table = stats.table(state.rows, columns)
                stats.write(folder / experiment.STATS, table)
                if config.save_freq and epoch % config.save_freq == 0:
                    for kind, kept in models.items():
                        checkpoint.save_weights(folder / f"checkpoint-{kind}-epoch{epoch}.pt", kept, row)
                if config.save_best_checkpoint and improved:
                    checkpoint.save_weights(folder / experiment.BEST_CHECKPOINT, models[best.kind], row)
                record.finished = epoch == length.n_epochs or best.out_of_patience
                if record.finished or time.monotonic() - saved_at >= config.checkpoint_every_seconds:
                    save()
                    saved_at = time.monotonic()
                record.epoch_over(row)
                with process.outside():
                    yield table, model
        except (GeneratorExit, StoppedBySignal):  # both come where the state is whole
            if not record.finished and is_finite(model):
                save()
            raise
        finally:
            batches.close()


def main(arguments: list[str]) -> int:
    """The command line; returns the exit code."""
    return command.main(arguments, experiment_generator)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
