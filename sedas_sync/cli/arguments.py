"""The arguments, options and help of every command.

They are kept separate from the commands, so that `--help` and completion stay fast. Each command is the function `run`
of a module of its name in `sedas_sync.cli.commands`, imported when it is called.
"""

from collections.abc import Callable
from importlib import import_module

import click
from click import Argument, Choice, IntRange, Option, Path

from sedas_sync.cli.options import (
    GLOBAL_OPTIONS,
    completed_by,
    datasets,
    lock_timeout,
    locked,
    manifest,
    max_age,
    prune,
    since,
    take_globals,
    take_over,
)


def _command(name: str, help: str, *parameters: click.Parameter, epilog: str | None = None) -> click.Command:  # noqa: A002  # as click calls it
    def call(**values: object) -> None:
        run: Callable[..., None] = import_module(f"sedas_sync.cli.commands.{name}").run
        run(common=take_globals(values), **values)

    return click.Command(name, callback=call, params=[*parameters, *GLOBAL_OPTIONS], help=help, epilog=epilog)


def _flag(*names: str, help: str) -> Option:  # noqa: A002  # as click calls it
    return Option(names, is_flag=True, help=help)


_no_wait = _flag("--no-wait", help="Do not wait for LTA orders that are not ready.")

COMMANDS = (
    _command(
        "adopt",
        "Add files that are already on disk to the index, after checking them. Downloads nothing.",
        manifest,
        Option(["--from", "source"], type=Path(file_okay=False), help="Take files from this folder."),
        _flag("--copy", help="With --from: copy files instead of linking them."),
        _flag("--move", help="With --from: move files instead of linking them."),
        _flag("--all", "known", help="Also adopt scenes that match no dataset, if an archive knows the name."),
        Option(["--jobs"], type=IntRange(min=1), help="Number of files to read at once."),
        take_over,
        lock_timeout,
    ),
    _command(
        "apply",
        "Make the folder match the manifest.",
        manifest,
        datasets,
        _flag("--dry-run", help="Only plan."),
        _no_wait,
        Option(["--jobs"], type=IntRange(min=1), help="Number of downloads at once, over all workers."),
        Option(
            ["--executor"],
            type=Choice(["threads", "dask"]),
            default="threads",
            help="What runs the downloads.  [default: threads]",
        ),
        Option(
            ["--scheduler"],
            metavar="ADDRESS",
            help="Dask's scheduler, or its scheduler file.  [DASK_SCHEDULER_ADDRESS]",
        ),
        prune,
        Option(["--max-prune"], metavar="N|N%", help="Ask before removing more files.  [default: 10%, at least 5]"),
        _flag("--yes", help="Answer yes to every question."),
        take_over,
        Option(["--plan", "saved"], type=Path(dir_okay=False), help="Carry out exactly this plan from `plan --out`."),
        locked,
        _flag("--update-lock", help="Update the lock file afterwards, with checksums."),
        Option(["--export"], type=Choice(["stac"]), help="Update this catalogue afterwards, in stac/."),
        Option(["--metrics"], type=Path(dir_okay=False), help="Write metrics for Prometheus to this file afterwards."),
        lock_timeout,
    ),
    _command(
        "changes",
        "List what changed in the catalogue and in the mirror: late, reprocessed and withdrawn scenes, and more.",
        manifest,
        since,
    ),
    _command(
        "completion",
        "Print the script that lets a shell complete commands, options, datasets and scenes.",
        Argument(["shell"], type=Choice(["bash", "zsh", "fish"])),
        epilog="""\b
bash: eval "$(sedas-sync completion bash)" in ~/.bashrc
zsh:  eval "$(sedas-sync completion zsh)" in ~/.zshrc, after compinit
fish: sedas-sync completion fish > ~/.config/fish/completions/sedas-sync.fish
""",
    ),
    _command(
        "export",
        "Export the mirror's catalogue to STAC, GeoJSON, CSV or lists of links and checksums.",
        manifest,
        Option(
            ["--format", "how"],
            type=Choice(["geojson", "csv", "stac", "urls", "sha256sums"]),
            required=True,
            help="Format of the catalogue.",
        ),
        Option(
            ["--out"],
            type=Path(),
            help="The file, or the folder of a STAC catalogue.  [default: standard output; stac/]",
        ),
    ),
    _command("history", "List the runs of this mirror: what they did, and why they failed.", manifest, since),
    _command(
        "init",
        "Write a commented manifest to start from.",
        manifest,
        Option(
            ["--from-file", "--from-geojson", "source"],
            type=Path(dir_okay=False),
            help="Make an area of each feature in this file: GeoJSON, or any other format that an AOI can have.",
        ),
    ),
    _command(
        "lock",
        "Write the lock file: every scene of the manifest, with checksums of those in the mirror.",
        manifest,
        _flag("--check", help="Only print what would change; exit with 10 if anything would."),
        lock_timeout,
    ),
    _command(
        "orders",
        "List the LTA orders of this mirror.",
        manifest,
        Option(
            ["--forget"],
            is_flag=False,
            flag_value="",
            metavar="ID",
            help="Forget an order, by its id or its scene's id; with --unwanted, all of those.",
            shell_complete=completed_by("orders"),
        ),
        _flag("--unwanted", help="Only orders of scenes that no dataset wanted at the last apply."),
    ),
    _command(
        "plan",
        "Show what apply would do, and why. Changes nothing.",
        manifest,
        datasets,
        _flag("--exit-code", "tell", help="Exit with 10 if there are changes to make."),
        _flag("--all", "everything", help="List kept scenes too."),
        _flag("--sizes", help="Request missing sizes from the archive."),
        prune,
        Option(["--record"], type=Path(dir_okay=False), help="Save every answer of the search in this file."),
        Option(["--replay"], type=Path(dir_okay=False), help="Search in saved answers: no network, no account."),
        Option(["--out"], type=Path(dir_okay=False), help="Save the plan in this file, for `apply --plan`."),
        Option(["--summary"], type=Path(dir_okay=False), help="Write a Markdown summary to this file."),
        locked,
    ),
    _command(
        "report",
        "Write one HTML page of footprints, acquisitions, orders and failures. Works offline.",
        manifest,
        Option(
            ["--out"],
            type=Path(dir_okay=False),
            metavar="FILE",
            help="The file to write.  [default: <manifest stem>.html next to it]",
        ),
    ),
    _command(
        "sandbox",
        "Run the embedded archive on a local port (user and password: sandbox).",
        Option(
            ["--port"],
            type=IntRange(0, 65535),
            default=8080,
            show_default=True,
            help="The port; 0 picks a free one.",
        ),
        Option(["--host"], default="127.0.0.1", show_default=True, help="The address to listen on."),
    ),
    _command(
        "schema",
        "Print the JSON Schema of the manifest, for editors, or of what a command prints with --json.",
        Argument(["name"], default="manifest", metavar="[COMMAND]", shell_complete=completed_by("documents")),
    ),
    _command(
        "search",
        "List the scenes that the archive offers for the manifest.",
        manifest,
        datasets,
        Option(
            ["--format", "how"],
            type=Choice(["table", "json", "geojson", "csv"]),
            help="Format of the list.  [default: table]",
        ),
    ),
    _command("sources", "List the satellites and source groups this account may search.", manifest),
    _command(
        "status",
        "Show how the mirror compares with its lock file or its last apply. Works offline.",
        manifest,
        max_age,
    ),
    _command("validate", "Check a manifest without the network.", manifest),
    _command(
        "verify",
        "Read the mirror's files again, and list those that are missing, changed, corrupt or unknown.",
        manifest,
        _flag("--repair", help="Download again what is missing, changed or corrupt."),
        _flag("--no-wait", help="With --repair: do not wait for LTA orders that are not ready."),
        Option(["--jobs"], type=IntRange(min=1), help="Number of files to read (with --repair: download) at once."),
        lock_timeout,
    ),
    _command(
        "why",
        """Explain one scene: which dataset matches it or which rule excludes it, what is on disk, and what comes next.

        ID may be the path of its file, or end in .SAFE.
        """,
        Argument(["scene_id"], metavar="ID", shell_complete=completed_by("scenes")),
        manifest,
    ),
)
