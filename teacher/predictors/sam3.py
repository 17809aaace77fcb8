"""SAM 3: the masks that it finds for a word, as classes; one word for each class."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, Sam3Model

from teacher.painters.runtime import Runtime
from teacher.predictors.card import PredictorCard
from teacher.predictors.image_processor import read_image_processor
from teacher.predictors.network import open_network, resized, stretched, to_pixel_values
from teacher.predictors.protocol import Predicted
from teacher.predictors.reference_facts import prompts_of_classes, score_threshold
from teacher.sample import class_dtype

MASK_THRESHOLD = 0.5
"""A pixel belongs to a mask from this probability on."""


class Sam3Predictor:
    """Every class is asked for by its words; of masks that overlap, the better score wins.

    What no mask covers is "ignore". The words are embedded once, the photograph is encoded once.
    """

    def __init__(self, folder: Path, card: PredictorCard, runtime: Runtime) -> None:
        self.card = card
        self.processor = read_image_processor(folder)
        self.threshold = score_threshold(folder)
        self.network = open_network(Sam3Model, folder, runtime)
        self._prompts = _embed(self.network, folder, list(prompts_of_classes(folder).values()))

    @torch.inference_mode()
    def predict(
        self, photographs: np.ndarray, tasks: Sequence[str], seeds: Sequence[int]
    ) -> list[Predicted]:
        """See Predictor.predict."""
        side = self.network.config.image_size
        pixels = stretched(to_pixel_values(photographs, self.processor, self.network), (side, side))
        seen = self.network.get_vision_features(pixel_values=pixels)
        size = photographs.shape[1], photographs.shape[2]
        scores = [self._find(seen, prompt, len(pixels), size) for prompt in self._prompts]
        return [self._read(torch.stack(row)) for row in zip(*scores, strict=True)]

    def _find(
        self, seen: Any, prompt: tuple[Tensor, Tensor], rows: int, size: tuple[int, int]
    ) -> list[Tensor]:
        """For each picture, (H, W): the score of the best mask that covers the pixel; 0 = none."""
        features, mask = (tensor.expand(rows, *tensor.shape[1:]) for tensor in prompt)
        found = self.network(
            vision_embeds=seen,
            text_embeds=SimpleNamespace(pooler_output=features),  # all that is read of it
            attention_mask=mask,
        )
        scores = found.pred_logits.float().sigmoid() * found.presence_logits.float().sigmoid()
        return [
            self._best(row, masks, size)
            for row, masks in zip(scores, found.pred_masks.float().sigmoid(), strict=True)
        ]

    def _best(self, scores: Tensor, masks: Tensor, size: tuple[int, int]) -> Tensor:
        """scores (Q,) and masks (Q, h, w), 0..1 -> (H, W)."""
        kept = scores > self.threshold
        if not kept.any():
            return masks.new_zeros(size)
        covers = resized(masks[kept][None], size)[0] > MASK_THRESHOLD
        return (covers * scores[kept, None, None]).amax(dim=0)

    def _read(self, scores: Tensor) -> Predicted:
        """The class with the best score (K, H, W); "ignore" where none was found."""
        best, ids = scores.max(dim=0)
        dtype = class_dtype(len(self.card.classes))
        ids[best == 0] = np.iinfo(dtype).max
        return Predicted(
            segment=ids.cpu().numpy().astype(dtype),
            certainty={"segment": best.cpu().numpy()},
        )


@torch.inference_mode()
def _embed(network: Any, folder: Path, texts: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
    """Features (1, T, D) and mask (1, T) of each text; the text encoder is not needed afterwards.

    Raises ValueError for a text that is longer than the network reads.
    """
    longest = network.config.text_config.max_position_embeddings
    tokenizer = _open_tokenizer(folder)
    prompts = []
    for text in texts:
        tokens = tokenizer(text, padding="max_length", max_length=longest, return_tensors="pt")
        if tokens.input_ids.shape[1] > longest:
            raise ValueError(f"{folder}: SAM 3 reads {longest} tokens of a prompt, found {text!r}")
        tokens = tokens.to(network.device)
        features = network.get_text_features(**tokens).pooler_output
        prompts.append((features, tokens.attention_mask))
    network.text_encoder = None
    return prompts


def _open_tokenizer(folder: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder}: its tokenizer cannot be opened: {reason}") from error
