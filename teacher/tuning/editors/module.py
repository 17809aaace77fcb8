"""The LightningModule: the velocity of a generator against the one that it should predict."""

import math
from collections.abc import Mapping
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from teacher.painters.editor import Editor
from teacher.tuning.editors.batches import Batch
from teacher.tuning.editors.config import Optimisation


class EditorModule(lightning.LightningModule):
    """Trains a part of an editor's transformer; only that part goes into checkpoints."""

    def __init__(
        self,
        editor: Editor,
        trained: Mapping[str, nn.Parameter],
        optimisation: Optimisation,
        steps: int,
    ) -> None:
        super().__init__()
        self.strict_loading = False
        self.transformer = editor.transformer
        self.editor, self.trained = editor, trained
        self.optimisation, self.steps = optimisation, steps

    def configure_optimizers(self) -> Any:
        """AdamW and its schedule over all steps."""
        settings = self.optimisation
        optimizer = torch.optim.AdamW(
            self.trained.values(),
            lr=settings.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=settings.weight_decay,
        )

        def factor(step: int) -> float:
            warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
            return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The mean loss of the rows. Raises ValueError when it is not finite."""
        loss = velocity_loss(self.editor, batch).mean()
        if not torch.isfinite(loss):
            raise ValueError(
                f"the loss of {batch.name} is not finite at step {self.global_step}: lower "
                "--optimisation.learning_rate, or use --precision 32-true"
            )
        self.log(f"loss/{batch.name}", loss.detach(), batch_size=len(batch.t))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """The loss of held-out examples of one kind, at noise that stays the same."""
        loss = velocity_loss(self.editor, batch).mean()
        self.log(f"val/{batch.name}", loss, batch_size=len(batch.t), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is trained, and not the generator that is there anyway."""
        names = {f"transformer.{name}" for name in self.trained}
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in sorted(names)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another training: loading is not strict."""
        found, wanted = set(checkpoint["state_dict"]), {f"transformer.{n}" for n in self.trained}
        if found != wanted:
            raise ValueError(
                f"the checkpoint belongs to other trained weights, such as "
                f"{min(found ^ wanted)}; delete it to start anew"
            )


def velocity_loss(editor: Editor, batch: Batch) -> Tensor:
    """Squared error of each row's velocity, mean over its known values: (B,)."""
    velocity = editor.velocity(batch.noisy, batch.source, batch.t, batch.prompt).float()
    error = (velocity - batch.target).square().mean(1) * batch.known
    return error.sum((1, 2)) / batch.known.sum((1, 2)).clamp(min=1)
