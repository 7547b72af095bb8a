"""The manifest that `sedas-sync init` writes."""

TEMPLATE = """\
# What this folder shall hold. `sedas-sync plan` shows what is missing, `sedas-sync apply` fetches it.
version = 1

[archive]
# "sandbox" is an embedded archive for trying things out: no account, no network.
# For the real service say "sedas", and set SEDAS_USERNAME and SEDAS_PASSWORD (or use ~/.netrc).
type = "sandbox"

[mirror]
path = "scenes"            # relative to this file
# layout = "{satellite}/{start:%Y/%m}/{id}"

[transfer]
jobs = 4                   # downloads at once

[aoi.harwell]
# exactly one of: wkt, file, bbox, point (+ radius_km)
bbox = [-1.33, 51.56, -1.30, 51.59]   # west south east north, degrees

[dataset.optical]
aoi = "harwell"
start = 2019-04-30
end = 2019-05-12           # to its last second
sensor = "optical"
max_cloud_cover = 50       # percent

[dataset.radar]
aoi = "harwell"
start = 2019-04-30
end = 2019-05-12
sensor = "sar"
product_type = "GRD"
"""
