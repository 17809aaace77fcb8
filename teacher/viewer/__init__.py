"""`potstill view`: a label set as pages of pictures, in a folder that any browser opens offline.

    OUT/index.html         what is least sure, a random sample, what was quarantined, all shards
    OUT/shard-000007.html  the page of a shard, named by its place in the set
    OUT/pictures/000007/   its pictures, loaded when they come into sight

Nothing is fetched from elsewhere: the folder can be copied, zipped and sent.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from teacher.jobs.label_set import LabelSet, open_label_set, photograph_shards_of
from teacher.jobs.plan import select_shards
from teacher.map_ahead import map_ahead
from teacher.progress import track
from teacher.viewer.draw import Card, Drawer
from teacher.viewer.pages import Overview, picture_folder, write_assets, write_index, write_page
from teacher.viewer.scan import Seen, ShardScan, drawn, evenly, least_sure, scan_shard
from teacher.viewer.shard_page import Rejected, ShardPage, draw_shard

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """Make pages of pictures of a label set: photographs, labels, confidence, provenance."""

    labels: Path
    """Folder of the label shards, on this machine."""
    images: Path
    """The shards of photographs that were labelled; loose ones were packed into OUT/../images."""
    out: Path
    """A new folder for the pages."""
    shards: str | None = None
    """Only the shards A-B, counted from 0; otherwise --max_shards of them, evenly spread."""
    max_shards: int = 20
    """Shards that are looked at, unless --shards names them."""
    per_page: int = 24
    """Photographs on the page of a shard, evenly spread over it."""
    highlights: int = 12
    """Least sure, random and quarantined photographs on the first page, each."""
    size_px: int = 384
    """Longest side of a picture."""
    threads: int = 4
    """Shards that are read at a time."""

    def __post_init__(self) -> None:
        for name in ("max_shards", "per_page", "highlights", "size_px", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, found {getattr(self, name)}")


def write_view(config: ViewConfig) -> Path:
    """Write the pages; returns the path of the first one, which is written last.

    Raises ValueError or FileNotFoundError for bad input, a broken label (naming file and key), and
    when OUT holds anything.
    """
    if config.out.exists() and any(config.out.iterdir()):
        raise ValueError(f"{config.out} is not empty: delete it, or give another --out")
    with ThreadPoolExecutor(config.threads) as pool:
        return _Viewing(config, pool).write()


class _Viewing:
    """Two passes over the chosen shards: one to find what is worth a look, one to draw it."""

    def __init__(self, config: ViewConfig, pool: Executor) -> None:
        self.config, self.pool = config, pool
        self.labels = open_label_set(config.labels)
        self.numbers = chosen_shards(self.labels, config)
        names = [self.labels.names[number] for number in self.numbers]
        self.images = photograph_shards_of(self.labels, config.images, names)
        self.worst: tuple[Seen, ...] = ()
        self.random: tuple[Seen, ...] = ()

    def write(self) -> Path:
        scans = tuple(self._each(self._scan, self.numbers, "reading labels"))
        highlights = self.config.highlights
        self.worst = least_sure([item for scan in scans for item in scan.least_sure], highlights)
        self.random = drawn([item for scan in scans for item in scan.drawn], highlights)
        write_assets(self.config.out)
        cards: dict[tuple[str, str], Card] = {}
        rejected: list[Rejected] = []
        shown = {(item.shard, item.key) for item in (*self.worst, *self.random)}
        for page in self._each(self._draw, scans, "drawing"):
            write_page(self.config.out, page, scans)
            rejected += page.rejected
            cards |= {card.name: card for card in page.cards if card.name in shown}
        overview = Overview(
            labels=self.labels,
            scans=scans,
            least_sure=[cards[item.shard, item.key] for item in self.worst],
            random=[cards[item.shard, item.key] for item in self.random],
            rejected=evenly(rejected, highlights),
        )
        return write_index(self.config.out, overview)

    def _each(
        self, function: Callable[[Item], Result], items: Sequence[Item], title: str
    ) -> Iterator[Result]:
        """The function of each item, computed in the threads, behind a progress bar."""
        results = map_ahead(self.pool, function, items, ahead=self.config.threads)
        return track(results, title, total=len(items))

    def _scan(self, number: int) -> ShardScan:
        per_page, highlights = self.config.per_page, self.config.highlights
        return scan_shard(self.labels, number, per_page=per_page, highlights=highlights)

    def _draw(self, scan: ShardScan) -> ShardPage:
        shown = (*scan.spread, *self.worst, *self.random)
        return draw_shard(
            self.labels,
            scan,
            self.images[scan.shard],
            Drawer(self.config.out, picture_folder(scan.number), self.config.size_px),
            keys={item.key for item in shown if item.shard == scan.shard},
            rejected=self.config.highlights,
        )


def chosen_shards(labels: LabelSet, config: ViewConfig) -> list[int]:
    """Places of the shards to look at: complete ones, evenly spread unless --shards names them.

    Raises ValueError when none of them is complete.
    """
    places = select_shards(range(len(labels.names)), config.shards)
    done = [place for place in places if labels.is_done(labels.names[place])]
    if not done:
        raise ValueError(f"{labels.folder}: no shard is labelled yet; see `potstill status`")
    return done if config.shards else evenly(done, config.max_shards)
