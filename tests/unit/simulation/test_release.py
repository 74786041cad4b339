"""Simulated rows name their survey, so that catalog and cutouts meet without being told."""

from skylike.survey.legacy import SIMULATED_RELEASE, release_survey


def test_release_when_simulated_then_is_a_survey_of_its_own():
    assert release_survey(SIMULATED_RELEASE) == "simulation"
    assert release_survey(9010) == "ls-dr9"
