"""The training loop.

trainer = Trainer(TrainingConfig(model="resnet_mini_tdam", dataset="minibirds", epochs=30), validate=...)
trainer.fit()          # runs/minibirds/resnet_mini_tdam/{best,last}.safetensors
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from timm.utils import ModelEmaV3, distribute_bn
from torch import Tensor, nn

import tdam
from tdam.errors import CheckpointError, UsageError, UserError, check_name
from tdam.files import file_sha256, folder_lock
from wsol.data import load_dataset
from wsol.data.dataset import LocalizationDataset
from wsol.methods import Method
from wsol.networks.convolutions import lay_channels_last
from wsol.opening.preprocessing import preprocessing_of
from wsol.runtime.runs import BEST, LAST, run_folder
from wsol.training.batches import TrainingBatches, image_transform
from wsol.training.config import OPERATIONAL, TrainingConfig
from wsol.training.curves import write_training_curves
from wsol.training.log import RunLog, open_run_trackers
from wsol.training.network import create_configured_method, freeze_modules, saved_model
from wsol.training.optim import create_mixup, create_optimizer, create_schedule
from wsol.training.randomness import Stream, seed_at
from wsol.training.state import STATE_FILE, Position, keep_earlier_run, load_state, save_state

Validate = Callable[[Method], dict[str, float]]
# What classification accuracy alone, without any box, would choose by.
CLASSIFICATION = "top1_cls"


class Trainer:
    """One run: a network, a method, a dataset and everything between them.

    Args:
        config: Settings of the run.
        validate: Measures a method in eval mode and returns named figures; called in every process. None trains
            without validation: the last checkpoint is the best one too.
        dataset: Training split; None loads the configured one. Its transform is replaced by the run's.

    Raises:
        UserError: If the settings do not fit together.
    """

    def __init__(
        self,
        config: TrainingConfig,
        validate: Validate | None = None,
        dataset: LocalizationDataset | None = None,
    ) -> None:
        config.check()
        self.config = config
        self.validate = validate
        self.dataset = dataset or load_dataset(config.dataset, split="train", root=config.data_root)
        truth = self.dataset.ground_truth
        self.folder = Path(config.output or run_folder(truth.dataset, config.model))
        if config.init is not None and self.folder.resolve() in Path(config.init).resolve().parents:
            raise UsageError(f"init {config.init} lies in the folder that this run writes to: give another --output")
        self._resumed_from: str | None = None  # digest of the state

        # Accelerate wraps the method and the optimiser; sharing out the images is the work of TrainingBatches.
        self.accelerator = Accelerator(mixed_precision=config.precision, cpu=config.device == "cpu")
        self.device = self.accelerator.device
        seed_at(config.seed, Stream.NETWORK)
        method = create_configured_method(config, num_classes=len(truth.class_names))
        network = method.network
        self.preprocessing = preprocessing_of(network, config.input_size)
        if config.sync_norms and self.accelerator.num_processes > 1:
            method = nn.SyncBatchNorm.convert_sync_batchnorm(method)
        self.method = method.to(self.device)
        runs = lay_channels_last(network, self.preprocessing["input_size"], inside=self.method)
        self._layout = torch.channels_last if runs else torch.contiguous_format
        freeze_modules(network, config.freeze)

        self.dataset.transform = image_transform(config, self.preprocessing)
        self.batches = TrainingBatches(
            self.dataset,
            torch.from_numpy(truth.labels),
            config,
            self.preprocessing,
            self.device,
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
        )
        if self.batches.share % 2 and (config.mixup or config.cutmix):
            raise UsageError(
                f"images are mixed in pairs: {self.batches.share} per process must be even, change batch_size"
            )
        self.mixup = create_mixup(config, len(truth.class_names))
        self.ema = ModelEmaV3(self.method, decay=config.ema_decay) if config.ema_decay is not None else None
        optimizer = create_optimizer(self.method, config)
        self.schedule, self.epochs = create_schedule(optimizer, config, len(self.batches))
        self.wrapped, self.optimizer = self.accelerator.prepare(self.method, optimizer)
        self.position = Position()

    @property
    def trained(self) -> Method:
        """The method that is validated and saved: the moving average of the weights where there is one."""
        return self.ema.module if self.ema is not None else self.method

    @property
    def updates(self) -> int:
        """Optimiser steps done so far."""
        return self.position.epoch * len(self.batches) + self.position.step

    def fit(self) -> dict[str, float]:
        """Train to the end and return the figures of the best epoch.

        Writes ``last.safetensors``, ``best.safetensors``, ``log.csv`` and ``state.pt`` into the run's folder after
        every epoch, the state last: whatever moment the process is killed at, `resume` finds a state that fits the
        other files or precedes them. At the end comes ``curves.png``. The folder of an earlier run is kept under
        another name.

        Raises:
            UserError: If the loss is no longer finite or a file cannot be written; the last good state is intact.
        """
        main = self.accelerator.is_main_process
        with ExitStack() as stack:
            stack.enter_context(self._held())
            trackers = open_run_trackers(self.config, self.folder, self.updates) if main else []
            log = stack.enter_context(
                RunLog(self.folder, self.epochs, len(self.batches), trackers, self.updates, enabled=main)
            )
            while self.position.epoch < self.epochs:
                seconds = self._train_epoch(log)
                self._finish_epoch(seconds)
                log.epoch(self.position.rows)
                self._save()
            if main:
                best = self.position.best
                write_training_curves(self.folder, self.position.rows, best["epoch"] if best else None)
            for line in self.summary():
                log.print(line)
        return self.position.best or self.position.rows[-1]

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the run's folder for this run alone; an earlier run in it is kept under another name.

        Raises:
            UserError: If another run holds it, or has gone on with the state that was resumed; in all processes.
        """
        with ExitStack() as stack:
            fault = None
            if self.accelerator.is_main_process:
                try:
                    stack.enter_context(folder_lock(self.folder))
                    if self._resumed_from is None:
                        keep_earlier_run(self.folder)
                    elif file_sha256(self.folder / STATE_FILE) != self._resumed_from:
                        raise UserError(f"{self.folder}: another run has written here meanwhile; run the command again")
                except UserError as error:
                    fault = str(error)
            (fault, *_) = gather_object([fault])
            if fault is not None:
                raise UserError(fault)
            yield

    def resume(self) -> bool:
        """Continue from the run's saved state; False if it has none.

        Raises:
            CheckpointError: If the state is damaged or of a run with other settings.
        """
        path = self.folder / STATE_FILE
        if not path.is_file():
            return False
        self._resumed_from = file_sha256(path)
        state = load_state(path)
        differences = self.config.differences(TrainingConfig.from_dict(state["config"]))
        if differences:
            raise CheckpointError(f"{path} belongs to a run with other settings ({'; '.join(differences)})")
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.position = Position(**state["position"])
        return True

    def _train_epoch(self, log: RunLog) -> float:
        """Run the steps of the current epoch that are not done yet; returns images per second."""
        position, config = self.position, self.config
        self.method.train()
        freeze_modules(self.method.network, config.freeze)
        began, first_step = time.perf_counter(), position.step
        # Summed on the device and looked at once for many steps; a NaN stays in the sum, so none is missed.
        loss_sum, correct = torch.zeros(2, device=self.device)
        for images, targets in self.batches.epoch(position.epoch, first_step):
            seed_at(config.seed, Stream.STEP, position.epoch, position.step, self.accelerator.process_index)
            loss, right = self._update(images.contiguous(memory_format=self._layout), targets)
            loss_sum, correct = loss_sum + loss, correct + right
            position.step += 1
            saving = config.save_every and position.step % config.save_every == 0
            if saving or position.step % config.log_every == 0 or position.step == len(self.batches):
                position.loss_sum += loss_sum.item()
                position.correct += int(correct)
                loss_sum, correct = torch.zeros(2, device=self.device)
                self._check_finite()
                rate = (position.step - first_step) * config.batch_size / (time.perf_counter() - began)
                lr = self.optimizer.param_groups[0]["lr"]
                log.step(position.epoch, position.step, position.loss_sum / position.step, lr, rate)
            if saving and position.step < len(self.batches):
                self._save_state()
        return (position.step - first_step) * config.batch_size / (time.perf_counter() - began)

    def _update(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """One optimiser step; returns this process's mean loss and number of correct predictions."""
        self.optimizer.zero_grad()
        if self.mixup is not None:
            images, targets = self.mixup(images, targets)
        parts = self.config.accumulate
        loss, correct = torch.zeros(2, device=self.device)
        for part, (image_part, target_part) in enumerate(
            zip(images.chunk(parts), targets.chunk(parts), strict=True), start=1
        ):
            # Processes exchange gradients only in the last part of a batch.
            with self.accelerator.no_sync(self.wrapped) if part < parts else nullcontext(), self.accelerator.autocast():
                output = self.wrapped(image_part, target_part)
                self.accelerator.backward(output.loss / parts)
            loss = loss + output.loss.detach() / parts
            classes = target_part.argmax(1) if target_part.is_floating_point() else target_part
            correct = correct + (output.logits.argmax(1) == classes).sum()
        if self.config.clip_grad is not None:
            self.accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.clip_grad)
        self.optimizer.step()
        self.schedule.step_update(self.updates + 1)
        if self.ema is not None:
            self.ema.update(self.method)
        return loss, correct

    def _check_finite(self) -> None:
        """Stop all processes where the loss of any, or a weight, is no longer finite."""
        total = self.accelerator.reduce(torch.tensor(self.position.loss_sum, device=self.device), "sum").item()
        # The last update may have spoilt weights that no loss has seen yet.
        norm = torch.stack([parameter.detach().float().norm() for parameter in self.method.parameters()]).sum().item()
        if math.isfinite(total) and math.isfinite(norm):
            return
        what = f"the loss is {total}" if not math.isfinite(total) else "a weight is not finite"
        raise UserError(
            f"{what} in epoch {self.position.epoch + 1}, step {self.position.step}: lower the learning rate "
            f"({self.config.lr}) or clip the gradient; the last good checkpoint in {self.folder} is intact"
        )

    def _finish_epoch(self, images_per_second: float) -> None:
        """Validate where due and add the epoch's row of figures."""
        position, config = self.position, self.config
        processes = self.accelerator.num_processes
        if processes > 1:
            # Every process has seen other images: their batch norm statistics are averaged.
            distribute_bn(self.trained, processes, reduce=True)
        totals = torch.tensor([position.loss_sum, position.correct], device=self.device)
        loss_sum, correct = self.accelerator.reduce(totals, "sum").tolist()
        steps = len(self.batches)
        row = {
            "epoch": position.epoch + 1,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": loss_sum / (steps * processes),
            "train_top1": 100.0 * correct / (steps * config.batch_size),
            "images_per_second": images_per_second,
        }
        self.method.finish_epoch()
        last = position.epoch + 1 == self.epochs
        if self.validate is not None and (last or row["epoch"] % config.validate_every == 0):
            self.trained.eval()
            figures = self.validate(self.trained)
            check_name("figure to select by", config.select_by, figures)
            row.update(figures)
        position.rows.append(row)
        key = config.select_by
        if key in row and (position.best is None or row[key] > position.best[key]):
            position.best = row
        position.epoch, position.step, position.loss_sum, position.correct = position.epoch + 1, 0, 0.0, 0

    def _save(self) -> None:
        """Write the checkpoints of a finished epoch, then the state."""
        if self.accelerator.is_main_process:
            row = self.position.rows[-1]
            if row is self.position.best or self.validate is None:
                self.save_checkpoint(self.folder / BEST, row)
            self.save_checkpoint(self.folder / LAST, row)
        self._save_state()

    def _save_state(self) -> None:
        """Write everything that continues the run; the main process alone."""
        if not self.accelerator.is_main_process:
            return
        scaler = self.accelerator.scaler
        state = {
            "config": self.config.as_dict(),
            "method": self.method.state_dict(),
            "ema": self.ema.module.state_dict() if self.ema is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "position": self.position.as_dict(),
        }
        save_state(self.folder / STATE_FILE, state)

    def save_checkpoint(self, path: Path, row: dict[str, float]) -> None:
        """Write the trained network with all that is needed to use it and to tell where it comes from.

        Raises:
            UserError: If the file cannot be written; an older file is intact.
        """
        config, truth = self.config, self.dataset.ground_truth
        description = {
            **saved_model(self.trained.network, config, len(truth.class_names)),
            "dataset": truth.dataset,
            "class_names": list(truth.class_names),
            **{key: self.preprocessing[key] for key in ("input_size", "mean", "std", "interpolation", "crop_pct")},
            "trained": True,
            "method": config.method,
            "seed": config.seed,
            "epoch": row["epoch"],
            "selected_by": config.select_by if self.validate is not None else None,
            "metrics": {key: value for key, value in row.items() if key not in ("epoch", "lr", "images_per_second")},
            "training": {key: value for key, value in config.as_dict().items() if key not in OPERATIONAL},
        }
        tdam.save_checkpoint(self.trained.deployed, path, description)

    def summary(self) -> Iterator[str]:
        """What was selected, and what would have been without boxes."""
        best, key = self.position.best, self.config.select_by
        yield f"checkpoints in {self.folder}"
        if best is None:
            return
        yield f"best epoch by {key} on the val split: {best['epoch']:.0f} ({key} {best[key]:.2f})"
        validated = [row for row in self.position.rows if CLASSIFICATION in row]
        if key == CLASSIFICATION or not validated:
            return
        blind = max(validated, key=lambda row: row[CLASSIFICATION])
        if key.startswith("selection_"):
            yield f"choosing by {key} looks at the selection boxes, and at no box or mask of the val split's own"
            return
        yield (
            f"choosing by {key} looks at the val split's boxes or masks; {CLASSIFICATION} alone would choose epoch "
            f"{blind['epoch']:.0f} ({CLASSIFICATION} {blind[CLASSIFICATION]:.2f}, {key} {blind[key]:.2f})"
        )
