"""The sentences of the verdict follow from the figures."""

from __future__ import annotations

import numpy as np

from fastgsm.study.tables import tables, text
from fastgsm.study.verdict import contrasts, seconds, verdict

LEVELS = [0.1, 0.2]
NOISY = [20.0, 14.0]


def model(psnr, log_likelihood, *, center=None, train=None, fit_seconds=1.0, image_seconds=0.1):
    """Return the figures of a model for two test images, 1 dB below and above the mean."""

    def quality(values):
        values = np.array(values, float)
        return {
            "psnr": values.tolist(),
            "mse": (10 ** (-values / 10)).tolist(),
            "psnr_per_image": (values[:, None] + [-1, 1]).tolist(),
            "seconds_per_image": image_seconds,
        }

    return {
        "parameters": {},
        "fit_seconds": fit_seconds,
        "n_iter": 7,
        "converged": True,
        "log_likelihood_train": log_likelihood if train is None else train,
        "log_likelihood_test": log_likelihood,
        "weights": None,
        "scales": None,
        "denoising": {
            "mean": quality(psnr),
            "center": quality(np.array(psnr) - 1 if center is None else center),
        },
    }


def study(**models):
    results = {
        "versions": {"fastgsm": "0"},
        "machine": {"processor": "abacus", "threads": 2},
        "settings": {
            "images": "photos",
            "train": ["a"],
            "test": ["b", "c"],
            "n_patches": 5000,
            "patch_size": 8,
            "dtype": "float32",
            "seed": 0,
            "noise_levels": LEVELS,
        },
        "noisy": {"psnr": NOISY, "mse": [10 ** (-p / 10) for p in NOISY]},
        "models": models,
    }
    results["verdict"] = verdict(results)
    return results


def findings(**models):
    return study(**models)["verdict"]


def test_one_model_is_best_at_every_level():
    first = findings(MVN=model([28, 24], 100), GSM=model([29, 24.5], 150))[0]
    assert first == (
        "GSM denoises best at noise 0.1 and 0.2. Its PSNR is 0.50 to 1.00 dB above that of the "
        "second, MVN, and is the higher one for 4 of the 4 noisy test images."
    )


def test_another_winner_is_named():
    first = findings(MVN=model([29, 25], 100), GSM=model([28, 24], 150))[0]
    assert first.startswith("MVN denoises best at noise 0.1 and 0.2. Its PSNR is 1.00 dB above")


def test_winners_that_differ_by_level_are_all_named():
    first = findings(MVN=model([28, 25], 100), GSM=model([30, 24], 150))[0]
    assert first == (
        "No model denoises best at every noise level: GSM at noise 0.1; MVN at noise 0.2. Averaged "
        "over the levels, GSM is best, 0.50 dB above MVN."
    )


def test_wins_are_counted_per_image():
    a, b = model([29, 25], 0), model([28, 24], 0)
    a["denoising"]["mean"]["psnr_per_image"] = [[30, 28], [26, 24]]
    b["denoising"]["mean"]["psnr_per_image"] = [[27, 29], [25, 23]]
    assert "the higher one for 3 of the 4 noisy test images" in findings(MVN=b, GSM=a)[0]


def test_best_likelihood_need_not_be_the_best_denoiser():
    models = {"MVN": model([30, 26], 100), "GSM": model([28, 24], 150), "ICA": model([27, 23], 130)}
    found = findings(**models)
    assert found[0].startswith("MVN denoises best")
    assert found[1] == (
        "GSM explains held-out patches best: a mean log-likelihood of 150.0 nats per patch, "
        "20.0 more than ICA and 50.0 more than MVN."
    )


def test_two_models_are_compared_once_in_likelihood():
    found = findings(MVN=model([30, 26], 100), GSM=model([28, 24], 150))[1]
    assert found.endswith("150.0 nats per patch, 50.0 more than MVN.")


def reason(a, b, **models):
    (sentence,) = (s for s in findings(**models) if s.startswith((f"{a} beats {b}", f"{a} does")))
    return sentence


def test_reason_is_given_where_the_ingredient_helps():
    found = reason("GSM", "MVN", MVN=model([28, 24], 100), GSM=model([29, 24.5], 150))
    assert found == (
        "GSM beats MVN by 0.50 to 1.00 dB, and held-out patches are 50.0 nats more likely: both "
        "have the same covariance, but GSM adapts its Wiener filter to the contrast of each patch."
    )


def test_reason_gives_the_span_of_the_scales_in_use():
    gsm = model([29, 24.5], 150) | {"weights": [0.5, 0.495, 0.005], "scales": [0.04, 4.0, 400.0]}
    found = reason("GSM", "MVN", MVN=model([28, 24], 100), GSM=gsm)
    assert found.endswith("(its scales span a factor of 10 in contrast).")


def test_no_reason_where_the_ingredient_does_not_help():
    found = reason("GSM", "MVN", MVN=model([29, 24], 100), GSM=model([28, 24], 90))
    assert found == (
        "GSM does not beat MVN: it is 0.00 to 1.00 dB below, and held-out patches are 10.0 nats "
        "less likely. What sets it apart (scales) does not pay here."
    )


def test_no_reason_where_the_figures_are_mixed():
    found = reason("GSM", "MVN", MVN=model([28, 25], 100), GSM=model([30, 24], 150))
    assert found == (
        "GSM beats MVN at noise 0.1 (by up to 2.00 dB) but not at noise 0.2 (up to 1.00 dB below); "
        "held-out patches are 50.0 nats more likely."
    )


def test_likelihood_that_contradicts_is_said():
    found = reason("GSM", "MVN", MVN=model([28, 24], 100), GSM=model([29, 25], 90))
    assert "by 1.00 dB, but held-out patches are 10.0 nats less likely: both" in found


def test_reasons_for_the_winner_come_first():
    models = {
        "MVN": model([26, 22], 100),
        "GSM": model([27, 23], 140),
        "GMM": model([28, 24], 130),
        "MoGSM": model([29, 25], 150),
        "ICA": model([26.5, 22.5], 120),
    }
    heads = [sentence.split(" by ")[0] for sentence in findings(**models)[2:8]]
    assert heads == [
        "MoGSM beats GSM",
        "MoGSM beats GMM",
        "GSM beats MVN",
        "GMM beats MVN",
        "ICA beats MVN",
        "GSM beats ICA",
    ]


def test_contrasts_are_differences():
    found = contrasts(study(MVN=model([28, 24], 100), GSM=model([29, 24.5], 150)))
    assert found == [
        {
            "with": "GSM",
            "without": "MVN",
            "ingredient": "scales",
            "psnr": [1.0, 0.5],
            "log_likelihood": 50.0,
        }
    ]


def test_learning_by_heart_is_noticed():
    found = findings(
        MVN=model([28, 24], 100, train=99),
        GMM=model([29, 25], 90, train=120.5),
        fit=model([1, 1], 0),
    )
    assert (
        "From training to held-out patches, the log-likelihood of GMM falls by 30.5 nats, that of "
        "MVN rises by 1.0: GMM has in part learnt its 5,000 patches by heart."
    ) in found


def test_shapes_are_counted_where_models_have_not_as_many():
    gmm, mogsm = model([28, 24], 0), model([29, 25], 0)
    gmm["parameters"]["n_components"], mogsm["parameters"]["n_components"] = 16, 8
    assert any(
        s.startswith("MoGSM (8 shapes to 16) beats GMM by") for s in findings(GMM=gmm, MoGSM=mogsm)
    )
    mogsm["parameters"]["n_components"] = 16
    assert any(s.startswith("MoGSM beats GMM by") for s in findings(GMM=gmm, MoGSM=mogsm))


def test_easier_test_images_are_no_learning_by_heart():
    found = findings(MVN=model([28, 24], 110, train=100), GMM=model([29, 25], 120, train=119))
    assert not any("by heart" in sentence for sentence in found)


def test_no_learning_by_heart_is_invented():
    found = findings(MVN=model([28, 24], 100, train=104), GMM=model([29, 25], 110, train=115.9))
    assert not any("by heart" in sentence for sentence in found)


def test_errors_that_are_not_lowered_are_named():
    fine = findings(MVN=model([28, 24], 100), GSM=model([29, 25], 150))
    assert "Every model lowers the error at noise 0.1 and 0.2." in fine
    bad = findings(MVN=model([19, 24], 100), GSM=model([29, 25], 150))
    assert "Not every model lowers the error; the exceptions: MVN at noise 0.1." in bad


def test_averaging_and_centre_are_compared():
    fine = findings(MVN=model([28, 24], 0), GSM=model([29, 25], 0, center=[28.5, 23]))
    assert any(
        s.startswith("Averaging") and s.endswith("for every model, by 0.50 to 2.00 dB.")
        for s in fine
    )
    bad = findings(MVN=model([28, 24], 0), GSM=model([29, 25], 0, center=[28.5, 26]))
    (found,) = (s for s in bad if s.startswith("Averaging"))
    assert "gains up to 1.00 dB over" in found
    assert found.endswith("but loses up to 1.00 dB with GSM at noise 0.2.")


def test_cost_names_the_quickest():
    quick = {"fit_seconds": 0.01, "image_seconds": 0.02}
    found = findings(MVN=model([28, 24], 0, **quick), GSM=model([29, 25], 0))
    assert found[-1] == (
        "The quickest to learn is MVN (10.0 ms), the quickest to denoise with is MVN (20.0 ms an "
        "image); GSM, the best denoiser on average, takes 1.00 s to learn and 100 ms an image."
    )
    found = findings(MVN=model([30, 26], 0, **quick), GSM=model([29, 25], 0))
    assert found[-1].endswith("(20.0 ms an image): the best denoiser is also the cheapest.")


def test_a_single_model_is_judged_too():
    found = findings(MVN=model([28, 24], 100))
    assert found[0] == "MVN denoises best at noise 0.1 and 0.2: no other model took part."
    assert found[1].endswith("100.0 nats per patch.")


def test_seconds_have_three_figures():
    found = [seconds(value) for value in (0.00123, 0.0123, 0.123, 1.234, 12.34, 123.4)]
    assert found == ["1.23 ms", "12.3 ms", "123 ms", "1.23 s", "12.3 s", "123 s"]


def test_tables_mark_the_best():
    results = study(
        MVN=model([28, 25], 100, fit_seconds=0.5, image_seconds=0.5), GSM=model([30, 24], 150)
    )
    learning, mean, center, mean_mse, *_ = tables(results)
    assert learning.best == {("time", 0), ("held-out patches", 1)}
    # Row 0 is the noisy image, which cannot be the best.
    assert mean.best == {("time", 2), ("noise 0.1", 2), ("noise 0.2", 1)}
    assert mean_mse.best == {("noise 0.1", 2), ("noise 0.2", 1)}
    assert mean.columns["noise 0.1"] == ["20.00", "28.00", "30.00"]
    assert center.columns["noise 0.1"] == ["20.00", "27.00", "29.00"]
    assert mean_mse.columns["noise 0.2"] == ["3.981e-02", "3.162e-03", "3.981e-03"]
    assert mean.columns["time"] == ["", "500 ms", "100 ms"]


def test_text_is_aligned_and_starred():
    lines = text(study(MVN=model([28, 25], 100), GSM=model([30, 24], 150))).splitlines()
    start = lines.index('Denoising, aggregation "mean": PSNR in dB')
    assert lines[start + 3 : start + 7] == [
        "               time   noise 0.1   noise 0.2",
        "noisy image               20.00       14.00",
        "MVN          100 ms*      28.00       25.00*",
        "GSM          100 ms       30.00*      24.00",
    ]
    assert max(map(len, lines)) <= 100
