"""The distributions against scipy, with the constants of the released code."""

import numpy as np
import pytest
import scipy.stats

from skylike.embeddings.augmentation.distributions import EBV, NOISE_SIGMA, PSF_SIGMA_PIX

# (shape, loc, scale, minimum, maximum), as printed in the released code.
PUBLISHED = {
    "E(B-V)": (EBV, (0.67306, 0.001146, 0.03338, 0.0, 1.0)),
    "psf g": (PSF_SIGMA_PIX[0], (0.2109966, 1.0807153, 1.3153171, 1.3233109, 5.0)),
    "psf r": (PSF_SIGMA_PIX[1], (0.3008485, 1.2394326, 0.9164757, 1.2667341, 4.5)),
    "psf z": (PSF_SIGMA_PIX[2], (0.3471172, 1.1928363, 0.8233702, 1.2126263, 4.25)),
    "noise g": (NOISE_SIGMA[0], (0.2264926, -0.0006735, 0.0037602, 0.001094, 0.013)),
    "noise r": (NOISE_SIGMA[1], (0.2431146, -0.0023663, 0.0067417, 0.001094, 0.018)),
    "noise z": (NOISE_SIGMA[2], (0.1334844, -0.0143416, 0.0260779, 0.001094, 0.061)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_draws_follow_the_published_log_normal_within_its_bounds(name: str, generator):
    distribution, (shape, loc, scale, low, high) = PUBLISHED[name]
    exact = scipy.stats.lognorm(shape, loc, scale)

    sample = distribution.draw(20_000, generator(1)).numpy().astype(float)

    clipped = np.clip(exact.rvs(20_000, random_state=2), low, high)
    assert scipy.stats.ks_2samp(sample, clipped).pvalue > 0.001
    assert sample.min() >= np.float32(low)
    assert sample.max() <= np.float32(high)


@pytest.mark.parametrize("name", PUBLISHED)
def test_uniform_draws_fill_the_same_bounds_evenly(name: str, generator):
    distribution, (*_, low, high) = PUBLISHED[name]

    sample = distribution.uniform.draw(20_000, generator(1)).numpy()

    assert scipy.stats.kstest(sample, scipy.stats.uniform(low, high - low).cdf).pvalue > 0.001


def test_values_beyond_the_bounds_are_put_on_them(generator):
    narrow = type(EBV)(EBV.shape, EBV.loc, EBV.scale, 0.03, 0.05)

    sample = narrow.draw(2_000, generator(1))

    exact = scipy.stats.lognorm(EBV.shape, EBV.loc, EBV.scale)
    at_bound = float((sample == 0.05).float().mean())
    assert at_bound == pytest.approx(exact.sf(0.05), abs=0.03)
