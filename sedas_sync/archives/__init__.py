"""Archives: where scenes are searched, ordered and downloaded from.

`protocol` is the interface that every archive implements, `registry` finds types, `opening` opens archives, and
`plugin` has the names that an archive in another package needs. Each type has a module or a package of its own:
`sedas`, `stac`, `cdse`, `directory` and `sandbox`.
"""
