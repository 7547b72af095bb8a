"""Product names of published products, and what they say."""

import pytest

from sedas_sync.planning.product_name import NameFacts, parse_name


def test_sentinel_2():
    facts = parse_name("S2A_MSIL1C_20190506T110621_N0207_R137_T30UXC_20190506T131402")
    assert facts == NameFacts(
        mission="S2A",
        product_type="L1C",
        tile="30UXC",
        relative_orbit=137,
        start="20190506T110621",
        acquisition="S2A_L1C_20190506T110621_137_30UXC",
        baseline=207,
    )


def test_a_reprocessed_product_is_of_the_same_acquisition():
    old = parse_name("S2A_MSIL1C_20190506T110621_N0207_R137_T30UXC_20190506T131402.SAFE")
    new = parse_name("S2A_MSIL1C_20190506T110621_N0500_R137_T30UXC_20230101T000000")
    assert old.acquisition == new.acquisition
    assert old.baseline < new.baseline


@pytest.mark.parametrize(
    ("product", "relative_orbit"),
    [
        # The relative orbits that the archives' catalogues state for these products.
        ("S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F", 142),
        ("S1A_IW_GRDH_1SDV_20190505T174738_20190505T174803_027096_030DB7_D8A5", 74),
        ("S1A_IW_SLC__1SDV_20190503T061437_20190503T061504_027060_030C62_0F5D", 38),
    ],
)
def test_sentinel_1_relative_orbits(product, relative_orbit):
    facts = parse_name(product)
    assert facts.relative_orbit == relative_orbit
    assert facts.polarisation == ("VV", "VH")
    assert facts.tile is None


def test_sentinel_1_single_polarisation_and_type():
    facts = parse_name("S1A_EW_GRDM_1SSH_20190503T061437_20190503T061504_027060_030C62_0F5D")
    assert facts.product_type == "GRD"
    assert facts.polarisation == ("HH",)


def test_novasar_and_strangers():
    assert parse_name("NovaSAR_01_16359_slc_201025_231828_HH").product_type == "SLC"
    assert parse_name("holiday-photos") == NameFacts()
