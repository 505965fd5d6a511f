"""Extraction, aggregation and sampling of patches."""

import re

import numpy as np
import pytest

import fastgsm


def naive_extract(image, p, stride):
    height, width = image.shape
    rows = sorted({*range(0, height - p + 1, stride), height - p})
    cols = sorted({*range(0, width - p + 1, stride), width - p})
    return np.array([image[y : y + p, x : x + p].ravel() for y in rows for x in cols])


@pytest.mark.parametrize("shape", [(8, 8), (9, 8), (20, 31), (8, 40)])
@pytest.mark.parametrize("stride", [1, 3, 8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extraction_and_the_way_back(shape, stride, dtype):
    image = np.random.default_rng(0).random(shape).astype(dtype)
    patches = fastgsm.extract_patches(image, stride=stride)
    assert patches.dtype == dtype
    np.testing.assert_array_equal(patches, naive_extract(image, 8, stride))
    back = fastgsm.aggregate_patches(patches, shape, stride=stride)
    assert back.dtype == dtype
    np.testing.assert_allclose(back, image, rtol=1e-6)


def test_aggregate_averages():
    patches = np.array([[1.0, 1, 1, 1], [3, 3, 3, 3]])
    image = fastgsm.aggregate_patches(patches, (2, 3), patch_size=2)
    np.testing.assert_array_equal(image, [[1, 2, 3], [1, 2, 3]])


def test_centres():
    image = np.random.default_rng(0).random((12, 12))
    plain = fastgsm.extract_patches(image, 4)
    per_patch = fastgsm.extract_patches(image, 4, center="patch")
    overall = fastgsm.extract_patches(image, 4, center="global")
    np.testing.assert_allclose(per_patch, plain - plain.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(overall, plain - plain.mean(axis=0))


def test_integers_are_divided_by_their_maximum():
    image = np.full((8, 8), 51, np.uint8)
    np.testing.assert_allclose(fastgsm.extract_patches(image), 0.2, rtol=1e-6)
    np.testing.assert_allclose(
        fastgsm.sample_patches(image, n_patches=3, center=None), 0.2, rtol=1e-6
    )


def test_strided_and_read_only_images_give_the_same():
    image = np.random.default_rng(0).random((24, 24))
    image.flags.writeable = False
    part = image[::2, 1::2]
    expected = fastgsm.extract_patches(part.copy())
    np.testing.assert_array_equal(fastgsm.extract_patches(part), expected)
    np.testing.assert_array_equal(fastgsm.extract_patches(np.asfortranarray(part)), expected)


def test_samples_are_patches_from_the_images_and_follow_the_seed():
    rng = np.random.default_rng(1)
    images = [rng.random((9, 10)), rng.random((30, 8)), rng.random((8, 8))]
    X = fastgsm.sample_patches(images, n_patches=300, center=None, random_state=3)
    every = {tuple(p) for image in images for p in naive_extract(image, 8, 1)}
    drawn = {tuple(p) for p in X}
    assert drawn <= every
    assert len(drawn) == len(every) == 2 * 3 + 23 + 1
    again = fastgsm.sample_patches(images, n_patches=300, center=None, random_state=3)
    np.testing.assert_array_equal(X, again)
    other = fastgsm.sample_patches(images, n_patches=300, center=None, random_state=4)
    assert (other != X).any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fastgsm.extract_patches(np.zeros((7, 20))), ValueError, "7x20 pixels is smaller"),
        (lambda: fastgsm.extract_patches(np.zeros((9, 9, 3))), ValueError, "3 dimensions"),
        (lambda: fastgsm.extract_patches(np.zeros((0, 9))), ValueError, "empty"),
        (lambda: fastgsm.extract_patches(np.zeros((9, 9), complex)), TypeError, "complex128"),
        (lambda: fastgsm.extract_patches(np.zeros((9, 9), bool)), TypeError, "bool"),
        (lambda: fastgsm.extract_patches(np.full((9, 9), np.nan)), ValueError, "81 NaN"),
        (lambda: fastgsm.extract_patches(np.zeros((9, 9)), stride=9), ValueError, "stride is 9"),
        (lambda: fastgsm.extract_patches(np.zeros((9, 9)), 0), ValueError, "patch_size is 0"),
        (lambda: fastgsm.extract_patches(np.zeros((9, 9)), 2.5), TypeError, "patch_size is 2.5"),
        (
            lambda: fastgsm.extract_patches(np.zeros((9, 9)), center="mean"),
            ValueError,
            "center is 'mean'",
        ),
        (lambda: fastgsm.aggregate_patches(np.zeros((3, 64)), (9, 9)), ValueError, "has 4 of 8x8"),
        (lambda: fastgsm.aggregate_patches(np.zeros((4, 63)), (9, 9)), ValueError, "63 features"),
        *(
            (
                lambda shape=shape: fastgsm.aggregate_patches(np.zeros((4, 64)), shape),
                ValueError,
                rf"image_shape is {re.escape(repr(shape))}; wanted \(height, width\)",
            )
            for shape in (8, (8,), (9, 9, 3), None)
        ),
        (
            lambda: fastgsm.aggregate_patches(np.zeros((4, 64)), (9, 7)),
            ValueError,
            "image_shape: width is 7",
        ),
        (lambda: fastgsm.sample_patches(3), TypeError, "images is 3; wanted a grey image"),
        (lambda: fastgsm.sample_patches([]), ValueError, "images is empty"),
        (
            lambda: fastgsm.sample_patches([np.zeros((9, 9)), np.zeros((9, 9, 3))]),
            ValueError,
            r"images\[1\]",
        ),
        (
            lambda: fastgsm.sample_patches(np.zeros((9, 9)), random_state="x"),
            ValueError,
            "random_state is 'x'",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
