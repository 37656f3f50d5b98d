"""The three image steps."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lamplighter.core.errors import InputError, NotAnImageError
from lamplighter.core.seeding import generator
from lamplighter.data.preprocessing.image import DecodeImage, Resize, StackImages
from lamplighter.data.preprocessing.pipeline import Pipeline

RNG = generator(0, "images")


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_way_to_send_an_image_gives_the_same(tmp_path: Path) -> None:
    array = noise(6, 5, 3)
    content = png(array)
    path = tmp_path / "image.png"
    path.write_bytes(content)
    ways = [
        content,
        bytearray(content),
        memoryview(content),
        path,
        str(path),
        array,
        array.tolist(),
        {"image": content},
    ]
    for image in DecodeImage(channels=3)([*ways, {"image": array, "other": 1}]):
        assert np.array_equal(image, array)


def test_the_field_of_dicts_can_have_another_name() -> None:
    assert DecodeImage(channels=1, field="photo")([{"photo": [[3]], "image": "x"}])[0].item() == 3


def test_16_bit_files_and_8_bit_models_and_the_other_way_round() -> None:
    wide = RNG.integers(0, 65536, (4, 4), dtype=np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(wide).save(buffer, "PNG")
    kept = DecodeImage(channels=1, bits=16)([buffer.getvalue()])[0]
    assert kept.dtype == np.float32 and np.array_equal(kept[:, :, 0], wide)
    narrow = DecodeImage(channels=1, bits=8)([buffer.getvalue()])[0]
    assert np.array_equal(narrow[:, :, 0], np.rint(wide / 257))
    assert DecodeImage(channels=1, bits=16)([png(np.full((1, 1), 255, np.uint8))])[0].item() == 65535


def test_errors_name_row_field_and_file(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(png(noise(9, 9))[:-40])
    good = png(noise(2, 2))
    with pytest.raises(NotAnImageError, match=r"row 1, field 'image': .*broken\.png: the image is damaged") as caught:
        DecodeImage(channels=1)([good, str(broken)])
    assert (caught.value.row, caught.value.field, caught.value.status) == (1, "image", 415)
    with pytest.raises(NotAnImageError, match="row 0, field 'image': not an image"):
        DecodeImage(channels=1)([b"hello"])
    with pytest.raises(NotAnImageError, match=r"row 0, field 'image': .*broken\.png"):
        DecodeImage(channels=1)([{"image": broken}])
    with pytest.raises(InputError, match=r"row 2, field 'image': is missing; the row has 'img'") as missing:
        DecodeImage(channels=1)([good, good, {"img": good}])
    assert missing.value.status == 422
    with pytest.raises(InputError, match=r"row 0, field 'image': .*none\.png: no such file"):
        DecodeImage(channels=1)([tmp_path / "none.png"])


def test_equal_size_is_the_identity() -> None:
    for dtype in (np.uint8, np.float32):
        image = noise(7, 9, 3).astype(dtype)
        assert Resize(7, 9)([image])[0] is image


def test_resize_is_pillows() -> None:
    gray, colour = noise(30, 40, 1), noise(30, 40, 3)
    for mode, pillow in (("bilinear", Image.Resampling.BILINEAR), ("nearest", Image.Resampling.NEAREST)):
        step = Resize(11, 13, mode)  # type: ignore[arg-type]
        ours_gray, ours_colour = step([gray, colour])
        assert np.array_equal(ours_gray[:, :, 0], np.asarray(Image.fromarray(gray[:, :, 0]).resize((13, 11), pillow)))
        assert np.array_equal(ours_colour, np.asarray(Image.fromarray(colour).resize((13, 11), pillow)))


def test_shrinking_averages_instead_of_picking() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))[:, :, None]
    assert np.abs(Resize(8, 8)([stripes])[0].astype(int) - 127).max() <= 12


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_channels_are_resized_alone(channels: int) -> None:
    """Pillow would weight the colours of an RGBA image by its alpha."""
    image = noise(20, 20, channels)
    result = Resize(7, 7)([image])[0]
    for channel in range(channels):
        assert np.array_equal(result[:, :, [channel]], Resize(7, 7)([image[:, :, [channel]]])[0])


def test_16_bit_images_stay_in_range_and_fine() -> None:
    image = np.where(np.arange(16) < 8, 0, 65535).astype(np.float32).reshape(1, 16, 1).repeat(16, axis=0)
    for mode in ("bilinear", "lanczos", "bicubic"):
        result = Resize(33, 33, mode)([image])[0]  # type: ignore[arg-type]
        assert result.dtype == np.float32 and result.shape == (33, 33, 1)
        assert result.min() >= 0 and result.max() <= 65535
        assert len(np.unique(result)) > 3
    constant = np.full((5, 5, 3), 1234, np.float32)
    assert np.allclose(Resize(9, 9)([constant])[0], 1234, rtol=1e-6)


def test_stacking_puts_channels_first() -> None:
    images = [noise(4, 5, 3), noise(4, 5, 3)]
    x = StackImages()(images)["x"]
    assert x.shape == (2, 3, 4, 5) and x.dtype == np.uint8 and x.flags.c_contiguous
    assert x[1, 2, 3, 4] == images[1][3, 4, 2]


def test_stacking_names_the_row_that_differs() -> None:
    with pytest.raises(InputError, match="row 2, field 'image': image of 4 x 6 pixels and 1 channels"):
        StackImages()([noise(4, 5, 1), noise(4, 5, 1), noise(4, 6, 1)])
    with pytest.raises(InputError, match="float32"):
        StackImages()([noise(4, 5, 1), noise(4, 5, 1).astype(np.float32)])
    with pytest.raises(InputError, match="at least one image"):
        StackImages()([])


def test_the_pipeline_goes_through_its_specs() -> None:
    specs = [
        {"name": "decode-image", "channels": 3, "bits": 8},
        {"name": "resize", "height": 8, "width": 6},
        {"name": "stack-images"},
    ]
    rows = [png(noise(20, 10)), noise(8, 6, 3)]
    x = Pipeline(specs)(rows)["x"]
    assert x.shape == (2, 3, 8, 6)
    assert np.array_equal(x[1], rows[1].transpose(2, 0, 1))
    assert np.array_equal(Pipeline(Pipeline(specs).specs)(rows)["x"], x)
