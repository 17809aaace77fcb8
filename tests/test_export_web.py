"""The page in a browser: the numbers of the Python predictor, and a server that gives no more."""

import base64
import http.client
import io
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from chromium import Page, browser, find_chromium
from exported import folder, onnx_file, photographs
from PIL import Image

from distill.main import main
from export.card import RUNS_ON
from export.session import Prediction, Predictor
from export.web.config import WebConfig
from export.web.runtime import FILES, cache_folder, find_runtime
from export.web.server import HEADERS, open_server, run_web
from export.web.site import PAGE, build_site
from teacher.pictures import depth_picture, normal_picture, segment_picture

HAS_RUNTIME = all((cache_folder() / name).is_file() for name in FILES)
needs_browser = pytest.mark.skipif(
    find_chromium() is None or not HAS_RUNTIME,
    reason="no Chromium, or no onnxruntime-web in the cache (`potstill web` fetches it)",
)
STATE = "[document.getElementById('problem'), document.getElementById('status')]"
SETTLED = f"""new Promise((done, fail) => {{
    const end = performance.now() + 60000;
    const look = () => {{
        const [problem, status] = {STATE};
        if (!problem.hidden) done(problem.textContent);
        else if (/^Ready| px on /.test(status.textContent)) done(status.textContent);
        else if (performance.now() > end) fail(new Error(status.textContent));
        else setTimeout(look, 20);
    }};
    look();
}})"""
"""What the page says when it has opened a student, looked at a photograph, or failed."""
OUTPUTS = """import('/app.js').then(({shown: {prediction}}) => {
    const text = ({buffer}) =>
        btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(''));
    return Object.fromEntries(Object.entries(prediction.outputs).map(
        ([name, {data, dims}]) => [name, [text(data), dims, data.constructor.name]]));
})"""


def serve(model: Path, runtime: Path) -> Iterator[str]:
    """The address of a running server."""
    site = build_site(Predictor(model, threads=1), runtime)
    with open_server(site, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with the names of onnxruntime-web."""
    made = tmp_path_factory.mktemp("runtime")
    for name in FILES:
        (made / name).write_text(name)
    return made


@pytest.fixture(scope="module")
def address(runtime: Path) -> Iterator[str]:
    yield from serve(onnx_file(), runtime)


def get(address: str, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and body, for a path that is sent as it is."""
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


@pytest.mark.parametrize(
    ("path", "mime"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.js?x=1", "text/javascript; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/runtime/ort.wasm.bundle.min.mjs", "text/javascript; charset=utf-8"),
        ("/runtime/ort-wasm-simd-threaded.wasm", "application/wasm"),
        ("/model.onnx", "application/octet-stream"),
        ("/model.json", "application/json"),
    ],
)
def test_every_file_has_its_type_and_the_headers_of_isolation(
    address: str, path: str, mime: str
) -> None:
    status, headers, body = get(address, path)
    assert status == 200
    assert headers["Content-Type"] == mime
    assert all(headers[name] == value for name, value in HEADERS.items())
    assert len(body) == int(headers["Content-Length"]) > 0
    assert get(address, path, "HEAD")[2] == b""


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e/server.py", "//etc/passwd", "/runtime/", "/none", "/page"],
)
def test_no_path_leads_anywhere_else(address: str, path: str) -> None:
    assert get(address, path)[0] == 404


def test_a_page_of_another_name_is_turned_away(address: str) -> None:
    assert get(address, "/model.onnx", Host="evil.example:80")[0] == 403
    assert get(address, "/model.onnx", Host="127.0.0.1:80")[0] == 200
    assert get(address, "/", "POST")[0] == 501


def test_a_port_that_is_taken(address: str) -> None:
    port = int(address.split(":")[1])
    with pytest.raises(ValueError, match=rf"port: {port} is not free .*; give another"):
        open_server({}, port)
    with pytest.raises(ValueError, match="port: 70000, expected 0 to 65535"):
        open_server({}, 70000)


def test_the_page_as_files(
    runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_web(WebConfig(model=onnx_file(), runtime=runtime, out=tmp_path / "page"))
    assert (tmp_path / "page" / "model.onnx").read_bytes() == onnx_file().read_bytes()
    assert (tmp_path / "page" / "runtime" / FILES[0]).is_file()
    assert "Cross-Origin-Embedder-Policy: require-corp" in capsys.readouterr().out


@pytest.fixture
def path_of_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a PATH with nothing on it but what a test puts there."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(programs))
    return programs


def put_npm(programs: Path, script: str) -> None:
    npm = programs / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)


def test_without_npm_the_way_out_is_named(path_of_programs: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no npm .*; install Node\.js, or give"):
        find_runtime()


def test_npm_that_fails_is_quoted(path_of_programs: Path) -> None:
    put_npm(path_of_programs, "echo 'npm error code ENOTFOUND' >&2; exit 1")
    with pytest.raises(ValueError, match="npm could not fetch it: npm error code ENOTFOUND"):
        find_runtime()


def test_another_package_than_the_one_that_was_tried_is_refused(
    path_of_programs: Path, tmp_path: Path
) -> None:
    package = tmp_path / "package.tgz"
    with tarfile.open(package, "w:gz") as archive:
        for name in FILES:
            archive.addfile(tarfile.TarInfo(f"package/dist/{name}"), io.BytesIO())
    put_npm(path_of_programs, f"/bin/cp {package} onnxruntime-web-0.0.0.tgz")
    with pytest.raises(ValueError, match="npm delivered another package than expected"):
        find_runtime()
    assert not cache_folder().exists()
    assert list(cache_folder().parent.iterdir()) == []


def test_a_runtime_folder_without_the_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks ort\.wasm\.bundle\.min\.mjs; expected the"):
        find_runtime(tmp_path)


def test_a_bad_model_is_named_before_anything_is_fetched(
    path_of_programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photo.onnx").write_bytes(b"\xff\xd8\xff\xe0")
    assert main(["web", str(tmp_path / "photo.onnx")]) == 2
    error = capsys.readouterr().err
    assert "photo.onnx: not an ONNX file" in error
    assert error.count("\n") == 1


# From here on in Chromium.


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """The page with the tiny student, opened once."""
    for site in serve(onnx_file(), cache_folder()):
        with browser() as page:
            page.resize(1280, 900)
            page.open(f"http://{site}/")
            assert page.evaluate(SETTLED).startswith("Ready, on WebAssembly")
            yield page


def choose_size(page: Page, longest_px: int) -> None:
    """As a user does, but silently: what is shown stays."""
    page.evaluate(f"void (document.getElementById('size').value = {longest_px})")


def fixed_file(path: Path) -> Path:
    """The tiny student for photographs of 32 x 48 px alone."""
    model = onnx.load(onnx_file())
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 32, 48, 3)):
        dim.dim_value = size
    onnx.save(model, path)
    return path


def save_photograph(name: str, image: np.ndarray) -> Path:
    path = folder() / name
    Image.fromarray(image).save(path)
    return path


def look_at(page: Page, path: Path) -> str:
    """Choose a file, and return what the page says then."""
    page.evaluate(f"(([p, s]) => {{ p.hidden = true; s.textContent = ''; }})({STATE})")
    page.choose_file("#file", path)
    return page.evaluate(SETTLED)


def outputs_of(page: Page) -> dict[str, np.ndarray]:
    """The arrays behind what is shown, as the browser computed them."""
    kinds = {"Float32Array": np.float32, "Uint8Array": np.uint8}
    return {
        name: np.frombuffer(base64.b64decode(text), kinds[kind]).reshape(dims)[0]
        for name, (text, dims, kind) in page.evaluate(OUTPUTS).items()
    }


def picture_of(page: Page, name: str) -> np.ndarray:
    """(H, W, 3) uint8: the pixels of a canvas."""
    text, width = page.evaluate(
        f"(canvas => [btoa(Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, "
        "canvas.height).data, (byte) => String.fromCharCode(byte)).join('')), canvas.width])"
        f"(document.querySelector('#figure-{name} canvas'))"
    )
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, width, 4)[..., :3]


def assert_same(found: dict[str, np.ndarray], expected: Prediction) -> None:
    """Within 1e-3, of depth relative to itself; sky and classes as good as equal."""
    assert expected.depth_m is not None
    known = np.isfinite(expected.depth_m)
    assert np.mean(np.isfinite(found["depth_m"]) != known) < 1e-3
    known &= np.isfinite(found["depth_m"])
    assert np.allclose(found["depth_m"][known], expected.depth_m[known], rtol=1e-3, atol=0)
    assert np.allclose(found["normal"], expected.normal, atol=1e-3)
    assert np.allclose(found["confidence"], expected.confidence, atol=1e-3)
    assert np.mean(found["segment"] != expected.segment) < 1e-3


@needs_browser
def test_numbers_pictures_and_words_are_those_of_the_predictor(page: Page) -> None:
    photograph = photographs(1, 96)[0][:75]
    assert page.evaluate("crossOriginIsolated")
    choose_size(page, 128)
    assert " ms for 96 × 75 px on WebAssembly" in look_at(
        page, save_photograph("a.png", photograph)
    )
    expected = Predictor(onnx_file(), threads=1)(photograph)
    assert_same(outputs_of(page), expected)
    check_pictures(page, expected)
    check_words(page, expected)
    origins = page.evaluate(
        "[...new Set(performance.getEntries().map(e => e.name).filter(n => /^http/.test(n))"
        ".map(n => new URL(n).host))]"
    )
    assert origins == [page.evaluate("location.host")]


def check_pictures(page: Page, expected: Prediction) -> None:
    """The same colours as teacher.pictures gives, but for rounding at the edge of a colour."""
    assert expected.depth_m is not None
    assert expected.normal is not None
    assert expected.segment is not None
    near, far = page.evaluate(
        "Promise.all([import('/app.js'), import('/pictures.js')]).then(([{shown}, p]) => "
        "(({near, far}) => [near, far])"
        "(p.depthScale(shown.prediction.outputs.depth_m.data, 'metric')))"
    )
    pictures = {
        "depth_m": depth_picture(expected.depth_m, near, far),
        "normal": normal_picture(expected.normal),
        "segment": segment_picture(expected.segment, len(expected.classes)),
    }
    for name, picture in pictures.items():
        apart = np.abs(picture_of(page, name).astype(int) - picture)
        assert np.mean(apart > 2) < 1e-2, name
    assert np.percentile(expected.depth_m[np.isfinite(expected.depth_m)], 2) == pytest.approx(
        near, rel=0.02
    )


def check_words(page: Page, expected: Prediction) -> None:
    """Point at a pixel with the mouse, then move on with the keyboard."""
    assert expected.depth_m is not None
    assert expected.segment is not None
    x, y = 30, 50
    box = page.evaluate(
        "(b => [b.left, b.top, b.width, b.height])"
        "(document.querySelector('#figure-depth_m .frame').getBoundingClientRect())"
    )
    at = {"x": box[0] + (x + 0.5) / 96 * box[2], "y": box[1] + (y + 0.5) / 75 * box[3]}
    page.send("Input.dispatchMouseEvent", type="mouseMoved", **at)
    assert_says(page, expected, y, x)
    page.evaluate("document.querySelector('#figure-normal .frame').focus()")
    for kind in ("keyDown", "keyUp"):
        page.send("Input.dispatchKeyEvent", type=kind, key="ArrowUp", code="ArrowUp")
    assert_says(page, expected, y - 1, x)


def assert_says(page: Page, expected: Prediction, y: int, x: int) -> None:
    assert expected.depth_m is not None
    assert expected.segment is not None
    said = page.evaluate("document.getElementById('readout').textContent")
    depth = expected.depth_m[y, x]
    assert ("sky" if np.isinf(depth) else f"depth {depth:.3g}"[:9]) in said
    assert f"class {expected.classes[expected.segment[y, x]]} " in said


def test_every_precision_has_a_name_on_the_page() -> None:
    text = (PAGE / "app.js").read_text()
    assert all(f"  {precision}: " in text for precision in RUNS_ON)


@needs_browser
def test_a_photograph_that_is_larger_is_made_smaller(page: Page) -> None:
    choose_size(page, 32)
    photograph = photographs(1, 96)[0][:75]
    assert " ms for 32 × 25 px" in look_at(page, save_photograph("a.png", photograph))
    assert outputs_of(page)["depth_m"].shape == (25, 32)


@needs_browser
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dot.png", "photograph: 1 × 1 px becomes 1 × 1 px; the student needs at least 16 × 16 px"),
        ("text.png", "text.png: not a picture that this browser can read"),
    ],
)
def test_what_is_no_photograph_is_said_on_the_page(page: Page, name: str, message: str) -> None:
    save_photograph("dot.png", np.zeros((1, 1, 3), np.uint8))
    (folder() / "text.png").write_text("no picture")
    assert look_at(page, folder() / name) == message
    good = save_photograph("good.png", photographs()[0])
    assert " ms for " in look_at(page, good)  # and the page goes on


@needs_browser
def test_it_fits_a_phone(page: Page) -> None:
    page.resize(390, 844, dark=True)
    look_at(page, save_photograph("good.png", photographs()[0]))
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    small = page.evaluate(
        "[...document.querySelectorAll('.button, .options select')]"
        ".filter(e => e.offsetParent && e.offsetHeight < 44).map(e => e.id)"
    )
    assert small == []
    page.resize(1280, 900)


@needs_browser
def test_the_camera_and_the_rendered_scene(page: Page) -> None:
    label = "document.getElementById('camera').textContent"
    note = "document.querySelector('#figure-photograph figcaption span').textContent"
    page.evaluate("document.getElementById('example').click()")
    page.wait_for(f"{note} === '384 × 384 px'")
    page.evaluate("document.getElementById('camera').click()")
    page.wait_for(f"{label} === 'Stop the camera' && {note} === '1280 × 720 px'")
    page.evaluate("document.getElementById('camera').click()")
    assert page.evaluate(label) == "Use the camera"


SOFTWARE_GPU = (
    *("--enable-unsafe-webgpu", "--enable-features=Vulkan", "--use-vulkan=swiftshader"),
    *("--use-webgpu-adapter=swiftshader", "--enable-unsafe-swiftshader"),
)


@needs_browser
@pytest.mark.slow
def test_a_file_of_one_size_also_on_a_software_gpu_which_is_not_timed(tmp_path: Path) -> None:
    photograph = photographs()[0][:32]
    expected = Predictor(fixed_file(tmp_path / "fixed.onnx"), threads=1)(photograph)
    for site in serve(tmp_path / "fixed.onnx", cache_folder()):
        with browser(*SOFTWARE_GPU) as page:
            page.open(f"http://{site}/")
            assert page.evaluate(SETTLED).startswith("Ready, on WebAssembly")
            assert page.evaluate("document.getElementById('size').disabled")
            path = save_photograph("fixed.png", photograph)
            assert " ms for 48 × 32 px" in look_at(page, path)
            assert_same(outputs_of(page), expected)
            if page.evaluate("document.getElementById('backend').length") < 2:
                pytest.skip("this Chromium has no WebGPU in software")
            choose_backend(page, "webgpu")
            said = look_at(page, path)
            assert said == "not timed (software GPU) for 48 × 32 px on WebGPU (software)"
            assert_same(outputs_of(page), expected)


@needs_browser
@pytest.mark.slow
def test_a_gpu_that_cannot_run_a_student_is_named_and_left() -> None:
    """WebGPU has no antialiasing resize, with which this ViT fits its positions to any size."""
    for site in serve(onnx_file(), cache_folder()):
        with browser(*SOFTWARE_GPU) as page:
            page.open(f"http://{site}/")
            page.evaluate(SETTLED)
            if page.evaluate("document.getElementById('backend').length") < 2:
                pytest.skip("this Chromium has no WebGPU in software")
            said = choose_backend(page, "webgpu")
            assert said.startswith("WebGPU (software) cannot run this student: ")
            assert "antialias" in said
            path = save_photograph("good.png", photographs()[0])
            assert " px on WebAssembly" in look_at(page, path)


def choose_backend(page: Page, backend: str) -> str:
    """Choose where the student runs, and return what the page says then."""
    page.evaluate(f"(([p, s]) => {{ p.hidden = true; s.textContent = ''; }})({STATE})")
    page.evaluate(
        f"(b => {{ b.value = '{backend}'; b.dispatchEvent(new Event('change')); }})"
        "(document.getElementById('backend'))"
    )
    page.wait_for("!document.getElementById('status').textContent.startsWith('Opening')")
    return page.evaluate(SETTLED)
