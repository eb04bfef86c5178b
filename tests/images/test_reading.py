"""Does an image come out of a file as it looks, and does a file that is none say so?"""

from __future__ import annotations

import contextlib
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from diffuscope.data.images import read_image, read_mask, save_grid
from diffuscope.errors import FormatError, InputError

GREYS = np.array([[0, 50, 100], [127, 128, 255]], np.uint8)


def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)


def write(path, array_or_image, **options):
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    image.save(path, **options)
    return path


# --- what an image looks like ------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_written_is_read(tmp_path, channels):
    x = np.random.default_rng(0).integers(0, 256, (1, channels, 6, 5), dtype=np.uint8)
    save_grid(x, tmp_path / "x.png")
    np.testing.assert_array_equal(read_image(tmp_path / "x.png", (channels, 6, 5)), x[0])


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm", "tga"])
def test_lossless_formats_are_exact(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = write(tmp_path / f"x.{suffix}", colours(), **options)
    np.testing.assert_array_equal(read_image(path, (3, 5, 4)), colours().transpose(2, 0, 1))


def test_grey_and_colour_become_one_another(tmp_path):
    path = write(tmp_path / "grey.png", GREYS)
    np.testing.assert_array_equal(read_image(path, (3, 2, 3)), np.stack([GREYS] * 3))
    path = write(tmp_path / "colour.png", np.stack([GREYS] * 3, axis=2))
    np.testing.assert_array_equal(read_image(path, (1, 2, 3)), GREYS[None])


def test_sixteen_bits_become_eight_and_do_not_overflow(tmp_path):
    path = write(tmp_path / "x.png", GREYS.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(path, (1, 2, 3)), GREYS[None])


@pytest.mark.parametrize("values", [GREYS / np.float32(255), GREYS.astype(np.float32)])
def test_real_numbers_are_read_in_the_range_that_they_have(tmp_path, values):
    path = write(tmp_path / "x.tif", values.astype(np.float32))
    np.testing.assert_array_equal(read_image(path, (1, 2, 3)), GREYS[None])


def test_what_is_transparent_is_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = [0, 255, 51]  # nothing, all, a fifth
    path = write(tmp_path / "x.png", rgba)
    assert read_image(path, (3, 1, 3))[:, 0].tolist() == [[255, 0, 204]] * 3
    path = write(tmp_path / "la.png", Image.fromarray(rgba).convert("LA"))
    assert read_image(path, (1, 1, 3))[0, 0].tolist() == [255, 0, 204]


def test_palettes_are_looked_up(tmp_path):
    few = (colours() // 128 * 255).astype(np.uint8)
    path = write(tmp_path / "x.png", Image.fromarray(few).convert("P", palette=Image.Palette.ADAPTIVE))
    np.testing.assert_array_equal(read_image(path, (3, 5, 4)), few.transpose(2, 0, 1))


def test_cmyk_and_bits_are_read(tmp_path):
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    path = write(tmp_path / "x.jpg", red, quality=100)
    np.testing.assert_allclose(read_image(path, (3, 8, 8))[:, 4, 4], [254, 0, 0], atol=3)
    path = write(tmp_path / "bits.png", Image.fromarray(GREYS > 100))
    np.testing.assert_array_equal(read_image(path, (1, 2, 3))[0], (GREYS > 100) * 255)


def test_an_image_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the right
    path = write(tmp_path / "x.png", GREYS, exif=exif)
    np.testing.assert_array_equal(read_image(path, (1, 3, 2))[0], np.rot90(GREYS, -1))


def test_of_several_frames_the_first_is_taken(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "x.gif", (1, 4, 4)) == 10).all()


# --- sizes -------------------------------------------------------------------------------------------------


def test_another_size_is_an_error_that_names_both_unless_resizing_is_asked_for(tmp_path):
    halves = np.zeros((20, 40), np.uint8)
    halves[:, 20:] = 255
    path = write(tmp_path / "x.png", halves)
    with pytest.raises(InputError, match=r"20 × 40 pixels; expected 8 × 8"):
        read_image(path, (1, 8, 8))
    x = read_image(path, (1, 8, 8), resize=True)
    assert x.shape == (1, 8, 8)
    assert (x[0, :, :2] < 20).all()  # the middle, not squeezed
    assert (x[0, :, 6:] > 235).all()


def test_a_mask_of_another_size_is_an_error_that_names_both(tmp_path):
    path = write(tmp_path / "mask.png", GREYS)
    with pytest.raises(InputError, match=r"mask .* 2 × 3 pixels, but the image has 3 × 2"):
        read_mask(path, (3, 2))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "LA"])
def test_masks_of_any_mode_are_white_where_something_is_drawn(tmp_path, mode):
    values = np.where(GREYS > 127, 255, 0).astype(np.uint8) if mode in ("1", "P", "CMYK") else GREYS
    suffix = "tif" if mode == "CMYK" else "png"
    path = write(tmp_path / f"mask.{suffix}", Image.fromarray(values).convert(mode))
    np.testing.assert_array_equal(read_mask(path, (2, 3)), GREYS > 127)


def test_what_is_transparent_in_a_mask_is_not_drawn(tmp_path):
    rgba = np.full((1, 2, 4), 255, np.uint8)
    rgba[0, 0, 3] = 0
    assert read_mask(write(tmp_path / "mask.png", rgba), (1, 2)).tolist() == [[False, True]]


# --- files that are none -----------------------------------------------------------------------------------


def png_that_says(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 50_000])
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_images_that_unpack_to_too_much_are_refused_with_the_limit(tmp_path, side, read):
    (tmp_path / "bomb.png").write_bytes(png_that_says(side, side))
    with pytest.raises(FormatError, match=r"bomb\.png .* at most 67,108,864 pixels"):
        read(tmp_path / "bomb.png", (1, 8, 8) if read is read_image else (8, 8))


def test_every_truncation_is_noticed_and_named(tmp_path):
    path = write(tmp_path / "x.png", np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8))
    data = path.read_bytes()
    for length in range(0, len(data) - 40, 7):
        path.write_bytes(data[:length])
        with pytest.raises(FormatError, match=r"x\.png"):
            read_image(path, (1, 20, 20))


@pytest.mark.parametrize("data", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_named(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(FormatError, match=r"x\.png"):
        read_image(tmp_path / "x.png", (1, 8, 8))


def test_no_bytes_bring_an_error_of_another_kind(tmp_path):
    good = write(tmp_path / "x.png", colours()).read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(good)
        for at in random.integers(0, len(data), 3):
            data[at] = random.integers(0, 256)
        (tmp_path / "x.png").write_bytes(data)
        with contextlib.suppress(FormatError):
            assert read_image(tmp_path / "x.png", (3, 5, 4), resize=True).shape == (3, 5, 4)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "none.png", (1, 8, 8))
    with pytest.raises(InputError, match="folder"):
        read_mask(tmp_path, (8, 8))
