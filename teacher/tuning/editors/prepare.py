"""What is made before training, and kept: instructions, latents, the generator's own pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

from teacher.label import card_palette
from teacher.painters.card import TeacherCard
from teacher.painters.editor import Editor, Prompt
from teacher.palette import Palette
from teacher.sample import Labels
from teacher.shards import read_pairs
from teacher.tuning.adapt import shared_palette
from teacher.tuning.editors.config import EditorTuneConfig
from teacher.tuning.editors.embeddings import cache_embeddings, known_texts
from teacher.tuning.editors.examples import cache_examples, labelled_shards
from teacher.tuning.editors.instructions import Instruction, instruction_pool
from teacher.tuning.editors.latent_files import Examples, read_examples
from teacher.tuning.editors.replay import cache_replay


@dataclass(frozen=True, kw_only=True, eq=False)
class TuningData:
    """What a generator learns from; latents stay in their files until they are asked for."""

    pool: tuple[Instruction, ...]
    """What it is asked for."""
    prompts: Prompt
    """The pool embedded, row by row."""
    painted: list[Examples]
    """Labelled photographs, by size."""
    own: list[Examples]
    """Pictures of the generator's own kind, by size."""
    own_prompts: Prompt
    """What these were asked for with."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; none without segmentation."""
        return next((one.palette.names for one in self.pool if one.palette), ())

    @property
    def photographs(self) -> int:
        """Labelled photographs, those that are held out too."""
        return len({sample for examples in self.painted for sample in examples.sample.tolist()})


def prepare_data(editor: Editor, card: TeacherCard, config: EditorTuneConfig) -> TuningData:
    """Embed and encode everything into folders of the run; what is there is used.

    Raises ValueError and FileNotFoundError as the parts do, and for sizes that do not fit.
    """
    for size in config.buckets():
        if any(length % editor.multiple_px for length in size):
            raise ValueError(
                f"--sizes: {size[0]}x{size[1]} does not fit this generator: height and width must "
                f"be multiples of {editor.multiple_px}"
            )
    firsts = [first_labels(config, number) for number in range(len(config.images))]
    palette = _palette(firsts, config, card)
    tasks = {task for labels in firsts for task in labels.tasks if getattr(config.mixture, task)}
    pool = instruction_pool(palette, tasks, config.legends, config.legend_pool, config.seed)
    if (known := known_texts(editor.folder, card)) is not None:
        pool = tuple(one for one in pool if one.text in known)
    texts = [one.text for one in pool]
    prompts = cache_embeddings(editor, card, texts, config.out / "prompts.safetensors")
    files = cache_examples(editor, config, pool, config.out / "latents")
    replay = cache_replay(editor, card, config, config.out)
    return TuningData(
        pool=pool,
        prompts=prompts,
        painted=read_examples(files),
        own=read_examples([replay.file]),
        own_prompts=replay.embedded,
    )


def first_labels(config: EditorTuneConfig, number: int) -> Labels:
    """The first labels of a set. Raises ValueError when its shards hold none."""
    for images, labels in labelled_shards(config.images[number], config.labels[number]):
        for _, _, found in read_pairs(images, labels):
            return found
    raise ValueError(f"{config.labels[number]}: holds no labels; label the photographs first")


def _palette(
    firsts: Sequence[Labels], config: EditorTuneConfig, card: TeacherCard
) -> Palette | None:
    """The colours of the classes that the sets share: the teacher's own, if it has these classes.

    None when there are no classes. Raises ValueError when two sets have other ones.
    """
    named = next((labels.classes for labels in firsts if labels.classes), ())
    if not named:
        return None
    own = card_palette(card) if card.classes else Palette.distinct(named)
    return shared_palette(firsts, config.labels, own)
