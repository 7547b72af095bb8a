"""Types of products of the Sentinel missions, to find the mission of a type and to correct a near miss. Pure.

Sources: the product pages of the missions (ESA, EUMETSAT) and the recorded catalogues of the Copernicus Data Space. The
lists only help: a type that is missing here is searched for as it is.
"""

import re
from collections.abc import Mapping

from sedas_sync.model.similar import nearest

TYPES: Mapping[str, tuple[str, ...]] = {
    "S1": (
        "GRD", "GRDH", "GRDM", "GRDF", "SLC", "OCN", "RAW", "SCD", "GRD-COG", "AUX_POEORB", "AUX_RESORB", "AUX_PREORB",
        "AUX_CAL", "AUX_INS", "AUX_ML2", "AUX_PP1", "AUX_PP2", "AUX_SCS", "AUX_GNSSRD", "AUX_PROQUA",
    ),
    "S2": ("L1C", "L2A", "S2MSI1C", "S2MSI2A"),
    "S3": (
        "OL_1_EFR", "OL_1_ERR", "OL_2_LFR", "OL_2_LRR", "OL_2_WFR", "OL_2_WRR", "SL_1_RBT", "SL_2_AOD", "SL_2_FRP",
        "SL_2_LST", "SL_2_WST", "SR_1_SRA", "SR_1_SRA_A", "SR_1_SRA_BS", "SR_2_LAN", "SR_2_LAN_HY", "SR_2_LAN_LI",
        "SR_2_LAN_SI", "SR_2_WAT", "SY_2_AOD", "SY_2_SYN", "SY_2_V10", "SY_2_VG1", "SY_2_VGP",
    ),
    "S5P": (
        "L1B_IR_SIR", "L1B_IR_UVN", *(f"L1B_RA_BD{band}" for band in range(1, 9)), "L2__AER_AI", "L2__AER_LH",
        "L2__CH4", "L2__CLOUD", "L2__CO", "L2__HCHO", "L2__NO2", "L2__NP_BD3", "L2__NP_BD6", "L2__NP_BD7", "L2__O3",
        "L2__O3_TCL", "L2__O3__PR", "L2__SO2",
    ),
    "S6": ("P4_1A_HR", "P4_1B_HR", "P4_1B_LR", "P4_2__HR", "P4_2__LR", "MW_2__AMR"),
}  # fmt: skip
"""By source group."""
_MEGABYTES: Mapping[str, int] = {
    "RAW": 1600, "SLC": 4500, "GRDM": 200, "GRD": 1200, "GRDH": 1200, "OCN": 7, "AUX_POEORB": 4, "AUX_RESORB": 1,
    "L1C": 600, "S2MSI1C": 600, "L2A": 900, "S2MSI2A": 900,
    "OL_1_EFR": 700, "OL_2_LFR": 200, "SL_1_RBT": 450, "SL_2_LST": 70, "SL_2_FRP": 70, "SR_1_SRA": 150,
    "SR_2_LAN": 40, "SY_2_SYN": 300, "SY_2_AOD": 30, "L2__NO2": 450, "P4_1B_LR": 80,
}  # fmt: skip
"""Typical sizes of zipped products, to the order of magnitude: recorded catalogues of the Copernicus Data Space, and
the missions' pages for what these lack."""
_PARTS = re.compile("[_-]+")
_LEAST_PART = 3
"""Shorter parts of a type are modes and levels."""


def is_of_type(wanted: str, stated: str) -> bool:
    """Return whether a stated type is the wanted one, or has it as a part.

    >>> is_of_type("ol_1_efr", "OL_1_EFR___"), is_of_type("GRDH", "IW_GRDH_1S"), is_of_type("NO2", "L2__NO2___")
    (True, True, True)
    >>> is_of_type("IW", "IW_GRDH_1S"), is_of_type("GRDM", "IW_GRDH_1S")
    (False, False)
    """
    one, other = wanted.casefold().rstrip("_"), stated.casefold().rstrip("_")
    return one == other or (len(one) >= _LEAST_PART and one in _PARTS.split(other))


def group_of_type(product_type: str) -> str | None:
    """Return the source group whose products are of a type; None if it is not known."""
    return next((group for group, known in TYPES.items() if any(is_of_type(product_type, one) for one in known)), None)


def nearest_type(product_type: str) -> str | None:
    """Return the known type that a name may mean; None if it is one, or is like none.

    >>> nearest_type("OL1EFR"), nearest_type("GRD"), nearest_type("POEORB")
    ('OL_1_EFR', None, None)
    """
    if group_of_type(product_type) is not None:
        return None
    known = {re.sub("[_-]", "", one): one for group in TYPES.values() for one in group}
    near = nearest(re.sub("[^A-Z0-9]", "", product_type.upper()), known, cutoff=0.7)
    return None if near is None else known[near]


def typical_size(product_type: str) -> int | None:
    """Return about how many bytes a product of a type has; None if that is not known.

    >>> typical_size("L1C"), typical_size("IW_SLC__1S"), typical_size("something else")
    (600000000, 4500000000, None)
    """
    megabytes = next((size for known, size in _MEGABYTES.items() if is_of_type(known, product_type)), None)
    return None if megabytes is None else megabytes * 1_000_000
