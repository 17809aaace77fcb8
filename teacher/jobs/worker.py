"""One process that labels shards of a job: the teacher is loaded once, shards come as they may.

Whoever deals out the shards (the job in this process, an actor of a cluster) needs no more than
this. What goes in and out is plain data that can be pickled.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from teacher.cores import many_small_threads
from teacher.jobs.job_config import LabelConfig, job_labeller
from teacher.jobs.label_shard import ShardLabeller
from teacher.jobs.meter import Meter
from teacher.jobs.place import open_place
from teacher.shards import InputShard, Manifest, Marker


class ShardWorker:
    """Labels shards of one job into config.out; idempotent, so that a shard may be given twice.

    with ShardWorker(config, manifest) as worker:
        marker = worker.label(0)
    """

    def __init__(
        self,
        config: LabelConfig,
        manifest: Manifest,
        *,
        stopped: Callable[[], bool] = lambda: False,
        meter: Meter | None = None,
    ) -> None:
        """Load the teacher of the configuration.

        stopped: asked before every batch; True ends a shard with Interrupted.
        meter: counts photographs and the device's time.
        Raises ValueError or FileNotFoundError for a teacher, tasks, votes, a device or a dtype that
        are not there.
        """
        labeller = job_labeller(config)
        self._place, self._job_id = open_place(config.out), manifest.job_id
        self._place.folder.mkdir(parents=True, exist_ok=True)
        self.out, self.inputs = self._place.folder, manifest.inputs
        self._threads = ExitStack()
        self._threads.enter_context(many_small_threads())
        self._pool = ThreadPoolExecutor(config.threads, thread_name_prefix="label")
        self._labeller = ShardLabeller(
            labeller=labeller,
            job_id=manifest.job_id,
            dtype=config.arithmetic,
            batch_size=config.batch_size,
            pool=self._pool,
            stopped=stopped,
            meter=meter or Meter(),
            publish=self._place.publish,
        )

    def label(self, shard: InputShard | int) -> Marker:
        """Label one shard, given itself or as its position in the manifest; its marker is on disk.

        One that is complete is left as it is: whoever labelled it may have died before telling.
        Raises ValueError when the shard is damaged or not the one that was planned, Interrupted
        when the worker was stopped; whatever is raised, the shard leaves no file.
        """
        source = self.inputs[shard] if isinstance(shard, int) else shard
        done = self._place.marker(source.name, self._job_id)
        return done or self._labeller.label(source, self.out)

    def label_all(self, shards: Iterable[InputShard]) -> Iterator[Marker]:
        """Label shards in one stream, so that the device need not wait between two of them.

        shards: asked for one by one, in another thread. Yields each marker once it is on disk.
        Raises as label does, once the shards that were complete are committed.
        """
        return self._labeller.label_all(shards, self.out)

    def close(self) -> None:
        """End the threads; what they have not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)
        self._threads.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
