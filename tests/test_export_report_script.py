"""The report in a browser: galleries by mouse and keyboard, sliders, and no sideways scrolling."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from chromium import Page, browser, find_chromium
from comparisons import make_comparison
from samples import make_labels

from export.gallery import Specimen
from export.report import Galleries, write_report

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="needs Chromium")


def make_specimen(number: int) -> Specimen:
    truth = make_labels(number)
    photograph = np.zeros((*truth.size, 3), np.uint8)
    return Specimen(
        key=f"photo-{number}", photograph=photograph, teacher=truth, student=truth, truth=truth
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A report with two galleries, of three photographs and of one."""
    classes = make_labels(0).classes
    shown = [make_specimen(number) for number in range(3)]
    galleries = Galleries(held_out=shown, behind={"depth": [replace(shown[0], key="worst")]})
    folder = tmp_path_factory.mktemp("report")
    path = write_report(folder, make_comparison(classes=list(classes)), galleries)
    with browser() as tab:
        tab.resize(390, 844)
        tab.open(path.as_uri())
        yield tab


FIRST = "document.querySelector('.viewer')"
VISIBLE = f"[...{FIRST}.querySelectorAll('.strip .key')].filter(k => k.offsetParent)"


def shown(page: Page) -> str:
    """The one photograph that the first gallery shows."""
    (title,) = page.evaluate(f"{VISIBLE}.map(k => k.textContent)")
    return title.split(" ")[0]


def press(page: Page, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        page.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)


def test_arrow_keys_turn_over_the_photographs(page: Page) -> None:
    page.evaluate(f"{FIRST}.scrollIntoView({{block: 'center'}})")
    assert shown(page) == "photo-0"
    press(page, "ArrowRight")
    assert shown(page) == "photo-1"
    press(page, "ArrowLeft")
    press(page, "ArrowLeft")
    assert shown(page) == "photo-2"  # round the end
    press(page, "ArrowRight")
    assert page.evaluate(f"{FIRST}.querySelector('.counter').textContent") == "1 of 3"


def test_tabs_choose_the_task_and_keep_the_photograph(page: Page) -> None:
    press(page, "ArrowRight")
    page.evaluate(f"{FIRST}.querySelectorAll('.toolbar button')[1].click()")
    titles = (
        f"[...{FIRST}.querySelectorAll('.task')].filter(t => !t.hidden).map(t => t.dataset.title)"
    )
    assert page.evaluate(titles) == ["Surface normals"]
    assert shown(page) == "photo-1"
    page.evaluate(f"{FIRST}.querySelectorAll('.toolbar button')[0].click()")
    press(page, "ArrowLeft")


def test_the_slider_moves_by_keyboard_and_by_touch(page: Page) -> None:
    slider = f"{VISIBLE}[0].parentElement.querySelector('.slider')"
    at = f"parseFloat({slider}.style.getPropertyValue('--at'))"
    assert page.evaluate(at) == 50
    page.evaluate(f"{slider}.querySelector('input').focus()")
    press(page, "ArrowRight")
    assert page.evaluate(at) == 51
    assert shown(page) == "photo-0"  # the arrow was the slider's
    text = page.evaluate(f"{slider}.querySelector('input').getAttribute('aria-valuetext')")
    assert text == "51 % teacher, the rest student"
    box = page.evaluate(f"(b => [b.x, b.y, b.width, b.height])({slider}.getBoundingClientRect())")
    x, y = box[0] + 0.2 * box[2], box[1] + box[3] / 2
    for kind in ("mousePressed", "mouseReleased"):
        page.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    assert page.evaluate(at) == pytest.approx(20, abs=2)
    page.evaluate("document.activeElement.blur()")


def test_any_picture_can_be_laid_over_the_student(page: Page) -> None:
    strip = f"{VISIBLE}[0].parentElement"
    page.evaluate(f"{strip}.querySelector('[data-layer=photograph] button').click()")
    sources = f"['.above', '[data-layer=photograph] img'].map(s => {strip}.querySelector(s).src)"
    above, photograph = page.evaluate(sources)
    assert above == photograph
    pressed = f"[...{strip}.querySelectorAll('[aria-pressed=true]')].length"
    assert page.evaluate(pressed) == 1


@pytest.mark.parametrize("width_px", [390, 1280])
def test_no_sideways_scrolling(page: Page, width_px: int) -> None:
    page.resize(width_px, 844)
    assert page.evaluate("document.documentElement.scrollWidth") == width_px


def test_it_cannot_fetch_anything(page: Page) -> None:
    assert not page.evaluate("fetch('data:,x').then(() => true, () => false)")
