"""`potstill view`: pages that hold together without a network, whatever the keys are called."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from jobs import label, photograph, write_image_shards, write_images
from labelled import make_photo, make_scene_labels, write_set
from PIL import Image
from samples import make_labels, make_record
from tiny import build_teacher

from distill.main import main
from teacher.sample import encode_labels, encode_photograph
from teacher.shards import ShardWriter, read_manifest
from teacher.viewer import ViewConfig, write_view
from teacher.viewer.draw import class_legend, confidence_colors, depth_range
from teacher.viewer.scan import evenly

STRANGE_KEY = "a<b>&\"c' #1?%41"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished job with a strange key, two quarantined photographs, and its `view`."""
    root = tmp_path_factory.mktemp("job")
    write_image_shards(root / "images")
    flat = encode_photograph(np.full((9, 9, 3), 7, np.uint8), "png")
    write_images(
        root / "images" / "000001.tar",
        {"bad": b"no image", "flat": flat, STRANGE_KEY: photograph(0)},
    )
    label(root / "images", root / "labels", build_teacher(root / "teacher"), max_bad_fraction=1)
    view(root, root / "view", highlights=5, per_page=4)
    return root


def view(root: Path, out: Path, **options: object) -> Path:
    return write_view(
        ViewConfig(labels=root / "labels", images=root / "images", out=out, **options)  # type: ignore[arg-type]
    )


class Page(HTMLParser):
    """What a page links to, and what it says."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.text = ""
        self.source = path.read_text()
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = dict(attrs)
        self.links += [value for name in ("href", "src") if (value := fields.get(name))]
        if tag == "img" and fields.get("src"):
            self.images.append(fields)

    def handle_data(self, data: str) -> None:
        self.text += data


def pages(out: Path) -> dict[str, Page]:
    return {path.name: Page(path) for path in sorted(out.glob("*.html"))}


def test_there_is_a_page_for_each_shard(job: Path) -> None:
    names = [f"shard-{number:06d}.html" for number in range(4)]
    assert list(pages(job / "view")) == ["index.html", *names]


def test_everything_that_a_page_needs_lies_in_the_folder(job: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(job / "view", tmp_path / "elsewhere"))
    for page in pages(out).values():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme == "data" or not parts.path:
                continue
            assert not parts.scheme
            assert not parts.netloc
            target = (out / unquote(parts.path)).resolve()
            assert target.is_file(), link
            assert target.is_relative_to(out)
        assert not re.search(r"https?:|@import|url\(", page.source)
    style = (out / "view.css").read_text() + (out / "view.js").read_text()
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp", style)


def test_pictures_are_lazy_and_have_their_size(job: Path) -> None:
    for page in pages(job / "view").values():
        for image in page.images:
            if (image["src"] or "").startswith("data:"):
                continue
            assert image["loading"] == "lazy"
            with Image.open(job / "view" / str(image["src"])) as picture:
                assert (str(picture.width), str(picture.height)) == (
                    image["width"],
                    image["height"],
                )


def test_no_name_of_a_file_comes_from_a_key(job: Path) -> None:
    names = {path.name for path in (job / "view").rglob("*.webp")}
    assert names
    assert all(re.fullmatch(r"\d{4}-[a-z-]+\.webp", name) for name in names)


def test_keys_are_text_whatever_they_contain(job: Path) -> None:
    found = pages(job / "view")["shard-000001.html"]
    assert STRANGE_KEY in found.text
    assert "<b>&" not in found.source


def test_the_first_page_tells_of_the_job(job: Path) -> None:
    page = pages(job / "view")["index.html"]
    assert read_manifest(job / "labels").job_id in page.text
    for words in ("22 labelled photographs", "2 quarantined", "tiny", "Least sure", "Random"):
        assert words in page.text, words
    assert "all pixels have one colour" in page.text
    assert "not a JPEG, PNG or WebP image" in page.text
    assert page.text.count("Provenance") == 2 * 5


def test_the_least_sure_come_first_and_in_order(job: Path) -> None:
    page = pages(job / "view")["index.html"]
    section = page.source.partition('id="unsure"')[2].partition('id="random"')[0]
    shown = [
        float(value) for value in re.findall(r'title="mean confidence[^>]*>([\d.]+)<', section)
    ]
    assert len(shown) == 5
    assert shown == sorted(shown)


def test_a_page_has_no_more_photographs_than_asked_for(job: Path) -> None:
    for name, page in pages(job / "view").items():
        shown = page.text.count("Provenance")
        assert shown <= 4 + 2 * 5, name
    assert "Here are" in pages(job / "view")["shard-000000.html"].text


def test_provenance_names_the_teacher_and_the_photograph(job: Path) -> None:
    text = pages(job / "view")["shard-000000.html"].text
    for words in ("weights sha256", "licence", "Apache-2.0", "steps, votes", "paint depth"):
        assert words in text, words


def test_shards_can_be_chosen(job: Path, tmp_path: Path) -> None:
    view(job, tmp_path / "two", shards="1-2")
    assert list(pages(tmp_path / "two")) == ["index.html", "shard-000001.html", "shard-000002.html"]
    assert "In 2 of 4 shards" in pages(tmp_path / "two")["index.html"].text
    view(job, tmp_path / "spread", max_shards=2)
    assert list(pages(tmp_path / "spread"))[1:] == ["shard-000000.html", "shard-000002.html"]


def test_unfinished_jobs_show_what_is_done(job: Path, tmp_path: Path) -> None:
    for name in ("images", "labels"):
        shutil.copytree(job / name, tmp_path / name)
    for number in (0, 2, 3):
        (tmp_path / "labels" / f"{number:06d}.done.json").unlink()
    view(tmp_path, tmp_path / "view")
    assert list(pages(tmp_path / "view")) == ["index.html", "shard-000001.html"]
    (tmp_path / "labels" / "000001.done.json").unlink()
    with pytest.raises(ValueError, match="no shard is labelled yet; see `potstill status`"):
        view(tmp_path, tmp_path / "none")


def test_ground_truth_without_confidence_is_shown_too(tmp_path: Path) -> None:
    write_set(tmp_path, 4, confidence=None)
    view(tmp_path, tmp_path / "view")
    text = pages(tmp_path / "view")["index.html"].text
    assert "4 labelled photographs" in text
    assert "Least sure" not in text
    assert "mean confidence" not in text.replace("mean confidence–", "").partition("Shards")[0]


def test_labels_of_other_photographs_are_not_shown(tmp_path: Path) -> None:
    write_set(tmp_path, 2, shards=1)
    with ShardWriter(tmp_path / "images" / "000000.tar") as images:
        images.add("photo-000", {"png": make_photo(7, (32, 32))})
    with pytest.raises(ValueError, match=r"000000\.tar: photo-000: its photograph is missing or"):
        view(tmp_path, tmp_path / "view")


def test_a_folder_in_use_is_left_alone(job: Path) -> None:
    before = sorted(path.name for path in (job / "labels").iterdir())
    with pytest.raises(ValueError, match="labels is not empty: delete it, or give another --out"):
        view(job, job / "labels")
    assert sorted(path.name for path in (job / "labels").iterdir()) == before


@pytest.mark.parametrize("name", ["max_shards", "per_page", "highlights", "size_px", "threads"])
def test_nothing_can_be_less_than_one(job: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"--{name} must be at least 1, found 0"):
        view(job, tmp_path / "view", **{name: 0})


def test_the_command_says_what_to_open(job: Path, tmp_path: Path, capsys) -> None:
    arguments = [f"--labels={job / 'labels'}", f"--images={job / 'images'}", "--shards=0"]
    assert main(["view", *arguments, f"--out={tmp_path / 'v'}"]) == 0
    assert capsys.readouterr().out == f"open {tmp_path / 'v' / 'index.html'}\n"
    assert main(["view", *arguments, f"--out={tmp_path / 'v'}"]) == 2
    assert "is not empty" in capsys.readouterr().err


# Drawing


def test_pictures_are_no_larger_than_asked_for(tmp_path: Path) -> None:
    write_set(tmp_path, 1, size=(96, 64), shards=1)
    view(tmp_path, tmp_path / "view", size_px=48)
    for path in (tmp_path / "view").rglob("*.webp"):
        with Image.open(path) as picture:
            assert max(picture.size) <= 48
            if "confidence" not in path.name:
                assert picture.size == (32, 48)


def test_affine_depth_has_a_scale_without_metres(tmp_path: Path) -> None:
    depth = np.tile(np.linspace(0, 1, 32, dtype=np.float32), (32, 1))
    write_set(tmp_path, 1, shards=1, depth_m=depth, depth_kind="affine")
    view(tmp_path, tmp_path / "view")
    source = pages(tmp_path / "view")["index.html"].source
    assert "<span>near</span><span>far</span>" in source
    assert not re.search(r"<span>[\d.]+ m</span>", source)


def test_depth_beyond_100_m_is_told_in_plain_figures(tmp_path: Path) -> None:
    depth = np.geomspace(1.5, 1000, 32 * 32, dtype=np.float32).reshape(32, 32)
    write_set(tmp_path, 1, shards=1, depth_m=depth)
    view(tmp_path, tmp_path / "view")
    source = pages(tmp_path / "view")["index.html"].source
    assert "<span>1.6 m</span><span>39 m</span><span>940 m</span>" in source


def test_the_depth_scale_spans_what_is_there() -> None:
    depth_m = np.geomspace(2, 20, 1000, dtype=np.float32)[None]
    near_m, far_m = depth_range(depth_m)
    assert 2 <= near_m < 2.1
    assert 19 < far_m <= 20
    assert depth_range(np.full((4, 4), 3.0, np.float32)) == pytest.approx((3.0, 4.5))
    assert depth_range(np.full((4, 4), np.inf, np.float32)) == (1.0, 10.0)


def test_the_legend_names_the_largest_classes_first() -> None:
    segment = np.zeros((10, 10), np.uint8)
    segment[:6], segment[6], segment[7:] = 2, 255, 0
    labels = make_labels(
        record=make_record(width_px=10, height_px=10),
        segment=segment,
        depth_m=None,
        depth_kind=None,
        normal=None,
        instance=None,
        confidence=None,
    )
    named, more = class_legend(labels)
    assert [(name, share) for name, _, share in named] == [("box", "60.0%"), ("sky", "30.0%")]
    assert more == 0


def test_doubt_is_darker_than_certainty() -> None:
    lightness = confidence_colors(np.linspace(0, 1, 20)).astype(int) @ [299, 587, 114]
    assert (np.diff(lightness) > 0).all()


def test_evenly_keeps_order_and_ends() -> None:
    assert evenly([1, 2, 3], 5) == [1, 2, 3]
    assert evenly(list(range(10)), 4) == [0, 2, 5, 7]


def test_every_label_has_its_photograph_in_its_own_shape(tmp_path: Path) -> None:
    """A photograph is as sharp as its file, but stretched as its labels are."""
    photo = make_photo(0, (64, 64))
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    labels = make_scene_labels(0, photo, (32, 16))
    with ShardWriter(tmp_path / "images" / "0.tar") as writer:
        writer.add("a", {"png": photo})
    with ShardWriter(tmp_path / "labels" / "0.tar") as writer:
        writer.add("a", encode_labels(labels))
    view(tmp_path, tmp_path / "view")
    sizes = {}
    for path in (tmp_path / "view").rglob("*.webp"):
        with Image.open(path) as picture:
            sizes[path.name.partition("-")[2]] = picture.size
    assert sizes["photograph.webp"] == (32, 64)
    assert sizes["depth.webp"] == (16, 32)
