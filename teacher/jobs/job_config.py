"""What a labelling job is asked to do: its options, and which of them decide a label."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacher.jobs.remote import is_url, local_path
from teacher.labeller import Labeller, build_labeller, require_tasks
from teacher.painters import Teacher, open_teacher
from teacher.provenance import package_versions
from teacher.sample import SCHEMA_VERSION, TASKS, check_tasks
from teacher.views import plan_views

ENGINES = ("process", "ray")


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """Label photographs with a teacher. A job that was stopped, or killed, goes on where it was.

    With --benchmark: measure how fast that is. It has options of its own, see `potstill label
    --benchmark --help`.
    """

    images: str | Path
    """Tar shards: a file, a folder, a pattern such as shards/{000000..000123}.tar, a URL such as
    s3://bucket/shards of any of these, or several with commas; or a folder of image files."""
    out: str | Path
    """Folder of the label shards, or its URL; one job each."""
    teacher: str = "embedded"
    """A teacher folder, OWNER/NAME on the Hugging Face hub (with --revision), or "embedded"."""
    revision: str | None = None
    """Commit of the teacher on the hub."""
    lora: Path | None = None
    """A LoRA adapter for the teacher: a safetensors file, or a folder as `potstill tune --base`
    writes it."""
    tasks: str = ",".join(TASKS)
    """What to paint, separated by commas."""
    steps: int | None = None
    """Denoising steps of a painting; by default the teacher's own."""
    votes: int = 1
    """Paintings of each photograph that are merged: other seeds, mirrored, other legends."""
    parent: Path | None = None
    """A label set of this machine to improve: labels again, into OUT, only what it is unsure of."""
    only_below_confidence: float | None = None
    """With --parent: photographs whose labels have a mean confidence below this, 0..1, there."""
    shards: str | None = None
    """Only the shards A-B of the job, counted from 0. By default all, or in a SLURM array (sbatch
    --array) the task's even share of them. Several processes may also share one OUT without it."""
    max_bad_fraction: float = 0.05
    """The job fails when more of the photographs than this cannot be labelled."""
    batch_size: int = 8
    """Photographs painted at a time."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto: the GPU if there is one."""
    dtype: str = "float32"
    """Arithmetic of the teacher: float32, bfloat16 or float16."""
    compile: bool = False
    """Compile the repeated blocks of a large teacher; costs minutes at the start."""
    max_memory_gib: float | None = None
    """Device memory for the teacher's weights; those that do not fit wait in host memory."""
    quantize: str | None = None
    """nf4: hold the transformer's weights in 4 bits (pip install bitsandbytes)."""
    threads: int = 2
    """Threads that decode photographs and encode labels while the teacher paints."""
    engine: str = "process"
    """Who labels: process (this one), or ray (the workers of a Ray cluster; pip install
    potstill[ray])."""
    address: str = "auto"
    """The Ray cluster: auto (RAY_ADDRESS, or the one that runs on this machine), HOST:PORT, or
    local (one for this run alone)."""
    workers: int | None = None
    """Workers on the Ray cluster; by default as many as it has room for, also as nodes join."""
    gpus_per_worker: float = 1.0
    """GPUs of a Ray worker, such as 0.5 for two on each; where the cluster has none, 0."""
    packed: Path | None = None
    """Where image files are packed into shards; OUT/../images if not given and OUT is no URL."""
    plan: bool = False
    """Freeze the plan and tell what the job will take, from a probe of 20 photographs; label
    nothing."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, found {getattr(self, name)}")
        self._check_folders()
        self._check_engine()
        if (self.parent is None) != (self.only_below_confidence is None):
            raise ValueError("--parent and --only_below_confidence belong together")
        if not 0 <= self.max_bad_fraction <= 1:
            raise ValueError(f"--max_bad_fraction must lie in 0..1, found {self.max_bad_fraction}")

    def _check_folders(self) -> None:
        """Label shards beside photographs would be taken for shards of photographs."""
        for name in ("images", "packed"):
            folder = getattr(self, name)
            if folder is not None and _resolved(folder) == _resolved(self.out):
                raise ValueError(
                    f"--out is the folder of --{name}, {folder}: name another one for the labels"
                )

    def _check_engine(self) -> None:
        if self.engine not in ENGINES:
            known = ", ".join(ENGINES)
            raise ValueError(f"--engine must be one of {known}, found {self.engine!r}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"--workers must be at least 1, found {self.workers}")
        if not self.gpus_per_worker > 0:
            raise ValueError(
                f"--gpus_per_worker must be above 0, found {self.gpus_per_worker}; "
                "--device cpu labels without GPUs"
            )
        if self.engine == "ray" and self.device.startswith("cuda:"):
            raise ValueError(f"--device {self.device}: Ray gives out the GPUs; say --device cuda")

    @property
    def arithmetic(self) -> str:
        """In which arithmetic labels are made, as their records say it."""
        return self.dtype if self.quantize is None else f"{self.dtype}, weights {self.quantize}"

    @property
    def packed_folder(self) -> Path | None:
        """Where image files are packed; None where only the user could say."""
        if self.packed or is_url(self.out):
            return self.packed
        return local_path(self.out).parent / "images"


def _resolved(place: str | Path) -> str | Path:
    return str(place).rstrip("/") if is_url(place) else local_path(place).resolve()


def job_teacher(config: LabelConfig) -> Teacher:
    """The teacher that the job names, checked but not loaded."""
    return open_teacher(
        config.teacher, revision=config.revision, lora=config.lora, steps=config.steps
    )


def job_labeller(config: LabelConfig) -> Labeller:
    """Load the job's teacher. Raises ValueError or FileNotFoundError for what is not there."""
    teacher = job_teacher(config)
    return build_labeller(
        teacher,
        chosen_tasks(config.tasks, teacher),
        config.votes,
        device=best_device(config.device),
        dtype=config.dtype,
        compile=config.compile,
        max_memory_gib=config.max_memory_gib,
        quantize=config.quantize,
    )


def label_settings(config: LabelConfig, teacher: Teacher) -> dict[str, Any]:
    """What decides a label besides the photograph, as JSON: it goes into the job's id.

    Batch size, device, threads and where files lie do not: they may change from run to run.
    Raises ValueError for tasks and votes that the teacher does not have.
    """
    tasks = chosen_tasks(config.tasks, teacher)
    plan_views(teacher.card, tasks, config.votes)  # refuses what cannot be painted
    identity = {**teacher.card.identity(), "name": teacher.card.name}
    del identity["path_or_hub_id"]
    return {
        "potstill": package_versions().get("potstill"),  # another version may read otherwise
        "label_schema": SCHEMA_VERSION,
        "tasks": list(tasks),
        "steps": teacher.card.steps,
        "votes": config.votes,
        "dtype": config.arithmetic,
        "teacher": identity,
    }


def chosen_tasks(tasks: str, teacher: Teacher) -> tuple[str, ...]:
    """The tasks of a comma-separated list. Raises ValueError for one that nobody can paint."""
    chosen = check_tasks([task.strip() for task in tasks.split(",")])
    require_tasks(teacher.card, chosen)
    return chosen


def best_device(name: str) -> str:
    """The device that "auto" stands for on this machine."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
