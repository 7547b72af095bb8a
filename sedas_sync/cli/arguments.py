"""The arguments, options and help of every command.

They are kept separate from the commands, so that `--help` and completion stay fast. Each command is the function `run`
of a module of its name in `sedas_sync.cli.commands`, imported when it is called.
"""

from collections.abc import Callable
from importlib import import_module

import click
from click import Argument, Choice, IntRange, Option

from sedas_sync.cli.options import (
    GLOBAL_OPTIONS,
    FilePath,
    completed_by,
    datasets,
    lock_timeout,
    locked,
    manifest,
    max_age,
    prune,
    refresh,
    since,
    take_globals,
    take_over,
    write_epilog,
)


class _Command(click.Command):
    """A command with examples at the end of its help."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        """Write the examples."""
        write_epilog(self.epilog, formatter)


def _command(
    name: str, summary: str, *parameters: click.Parameter, more: str = "", examples: str = ""
) -> click.Command:
    """Return a command.

    Args:
        name: Of the command and of its module.
        summary: One line for the list of commands, which has room for 60 characters.
        parameters: Arguments and options, besides the global ones.
        more: Further paragraphs of its help.
        examples: Command lines with a comment each, at the end of its help.
    """

    def call(**values: object) -> None:
        run: Callable[..., None] = import_module(f"sedas_sync.cli.commands.{name}").run
        run(common=take_globals(values), **values)

    lines = "".join(f"  {line}\n" for line in examples.strip().splitlines())
    return _Command(
        name,
        callback=call,
        params=[*parameters, *GLOBAL_OPTIONS],
        help=f"{summary}\n\n{more}",
        short_help=summary,
        epilog=f"\b\nExamples:\n{lines}" if lines else None,
    )


def _show_help(command: str | None) -> None:
    context = click.get_current_context()
    group = context.find_root()
    known = group.command.commands if isinstance(group.command, click.Group) else {}
    if command is None:
        click.echo(group.get_help())
    elif command in known:
        click.echo(known[command].get_help(click.Context(known[command], info_name=command, parent=group)))
    else:
        context.fail(f"No such command {command!r}; `sedas-sync help` lists them.")


_HELP_COMMAND = click.Command(
    "help",
    callback=_show_help,
    params=[Argument(["command"], required=False)],
    help="Show the help of a command.",
)


_FILE = FilePath(dir_okay=False)
_NUMBER = IntRange(min=1)


def _flag(*names: str, help: str) -> Option:  # noqa: A002  # as click calls it
    return Option(names, is_flag=True, help=help)


_PRESETS = ("sandbox", "sedas", "cdse", "earth-search", "planetary-computer")
"""The keys of `sedas_sync.operations.init_template.PRESETS`."""
_no_wait = _flag("--no-wait", help="Do not wait for LTA orders that are not ready.")

COMMANDS = (
    _HELP_COMMAND,
    _command(
        "adopt",
        "Take over files that are already on disk.",
        manifest,
        Option(["--from", "source"], type=FilePath(file_okay=False), help="Take files from this folder."),
        _flag("--copy", help="With --from: copy files instead of linking them."),
        _flag("--move", help="With --from: move files instead of linking them."),
        _flag("--all", "known", help="Also adopt scenes that match no dataset, if an archive knows the name."),
        _flag("--dry-run", help="Check the files and change nothing."),
        Option(["--jobs"], type=_NUMBER, help="Number of files to read at once."),
        take_over,
        lock_timeout,
        more="Checks the zips and folders of wanted scenes and adds the right ones to the index; those in the mirror's "
        "folder are moved to the paths of `layout`. Downloads nothing.",
        examples="""
sedas-sync adopt                       # files that are in the mirror's folder
sedas-sync adopt --dry-run             # what would be adopted
sedas-sync adopt --from /data/old      # link files of another folder into the mirror
sedas-sync adopt --from /mnt/disk --copy
""",
    ),
    _command(
        "apply",
        "Make the folder match the manifest.",
        manifest,
        datasets,
        _flag("--dry-run", help="Only plan."),
        _no_wait,
        Option(["--jobs"], type=_NUMBER, help="Number of downloads at once, over all workers."),
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
        refresh,
        Option(["--max-prune"], metavar="N|N%", help="Ask before removing more files.  [default: 10%, at least 5]"),
        Option(
            ["--max-download"],
            metavar="SIZE",
            help="Refuse a plan that downloads more, such as 500GB.  [default: `max_download` of the manifest]",
        ),
        _flag("--yes", "-y", help="Answer yes to every question."),
        take_over,
        Option(["--plan", "saved"], type=_FILE, help="Carry out exactly this plan from `plan --out`."),
        locked,
        _flag("--update-lock", help="Update the lock file afterwards, with checksums."),
        Option(["--export"], type=Choice(["stac"]), help="Update this catalogue afterwards, in stac/."),
        Option(["--metrics"], type=_FILE, help="Write metrics for Prometheus to this file afterwards."),
        Option(
            ["--exec", "command"],
            metavar="COMMAND",
            help="Run this for each scene as it arrives; {path} and {id} are replaced. Its failures are counted.",
        ),
        Option(["--exec-jobs", "command_jobs"], type=_NUMBER, help="Number of commands at once.  [default: 1]"),
        lock_timeout,
        more="Downloads what is missing, places orders and waits for them. On a terminal it shows the plan and asks.",
        examples="""
sedas-sync apply                       # of manifest.toml
sedas-sync apply fields.toml --no-wait # collect orders with a later run
sedas-sync apply --prune               # also remove what no longer matches
sedas-sync apply --locked              # exactly the scenes of the lock file
sedas-sync apply --exec 'gdalinfo /vsizip/{path}'
""",
    ),
    _command(
        "changes",
        "List what changed in the catalogue and in the mirror.",
        manifest,
        since,
        more="Scenes that came late, were reprocessed, withdrawn or returned, and files that were removed or replaced.",
    ),
    _command(
        "completion",
        "Print the completion script of a shell.",
        Argument(["shell"], type=Choice(["bash", "zsh", "fish"])),
        more="With it, the shell completes commands, options, datasets, scenes and orders.",
        examples="""
eval "$(sedas-sync completion bash)"   # in ~/.bashrc
eval "$(sedas-sync completion zsh)"    # in ~/.zshrc, after compinit
sedas-sync completion fish > ~/.config/fish/completions/sedas-sync.fish
""",
    ),
    _command(
        "export",
        "Write the mirror's catalogue as STAC, GeoJSON, GeoParquet or CSV.",
        manifest,
        Option(
            ["--format", "how"],
            type=Choice(["geojson", "csv", "stac", "geoparquet", "urls", "sha256sums"]),
            required=True,
            help="Format of the catalogue.",
        ),
        Option(
            ["--out"],
            type=FilePath(),
            help="The file, or the folder of a STAC catalogue.  [default: standard output; stac/]",
        ),
        _flag("--self-contained", help="Put the scenes' files below the STAC catalogue, as links."),
        Option(
            ["--links"],
            type=Choice(["hard", "symbolic"]),
            help="The links of --self-contained: symbolic ones are relative, and lead to the mirror.  [default: hard]",
        ),
        examples="""
sedas-sync export --format stac        # a catalogue in stac/, next to the manifest
sedas-sync export --format stac --self-contained --out /srv/stac   # with the scenes, to serve or move
sedas-sync export --format geojson --out scenes.geojson
sedas-sync export --format geoparquet --out scenes.parquet   # for DuckDB
sedas-sync export --format urls        # links of what is missing, for aria2c
sedas-sync export --format sha256sums | sha256sum --check
""",
    ),
    _command("history", "List the runs of this mirror: what they did, and why they failed.", manifest, since),
    _command(
        "init",
        "Write a commented manifest to start from.",
        manifest,
        Option(
            ["--aoi", "--from-file", "--from-geojson", "source"],
            type=_FILE,
            metavar="FILE",
            help="Make an area of each feature in this file: GeoJSON, or any other format that an AOI can have.",
        ),
        Option(["--bbox", "box"], metavar="W,S,E,N", help="Make an area of this box, in degrees."),
        Option(
            ["--from-folder", "folder"],
            type=FilePath(exists=True, file_okay=False),
            metavar="DIR",
            help="Describe the products in this folder: their types, dates and areas.",
        ),
        Option(["--archive"], type=Choice(_PRESETS), default="sandbox", show_default=True, help="The archive."),
        Option(["--start"], metavar="DATE", help="Earliest acquisition, such as 2024-05-01 or -30d."),
        Option(["--end"], metavar="DATE", help="Latest acquisition; by default now."),
        Option(["--sensor"], type=Choice(["optical", "sar"]), help="The class of sensor; by default both."),
        Option(["--product-type"], metavar="TYPE", help="Product type, such as L2A or GRD."),
        examples="""
sedas-sync init                        # an example on the embedded archive
sedas-sync init --archive cdse --from-folder /data/sentinel
sedas-sync init --archive earth-search --aoi fields.geojson --start -30d
sedas-sync init --archive cdse --bbox=-1.4,51.5,-1,52 --product-type SLC
""",
    ),
    _command(
        "lock",
        "Write the lock file: every scene, with its checksum.",
        manifest,
        _flag("--check", help="Only print what would change; exit with 10 if anything would."),
        lock_timeout,
        more="It has the scenes that match the manifest now, and the checksums of those in the mirror.",
        examples="""
sedas-sync lock                        # after an apply, to pin its scenes
sedas-sync lock --check                # in CI: is the lock file up to date?
""",
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
        examples="""
sedas-sync orders
sedas-sync orders --forget 1f0c2a      # the archive has lost it: the next apply orders again
""",
    ),
    _command(
        "plan",
        "Show what apply would do, and why.",
        manifest,
        datasets,
        _flag("--exit-code", help="Exit with 10 if there are changes to make."),
        _flag("--all", "everything", help="List kept scenes too."),
        _flag("--sizes", help="Request missing sizes from the archive."),
        prune,
        refresh,
        Option(["--record"], type=_FILE, help="Save every answer of the search in this file."),
        Option(["--replay"], type=_FILE, help="Search in saved answers: no network, no account."),
        Option(["--out"], type=_FILE, help="Save the plan in this file, for `apply --plan`."),
        Option(["--summary"], type=_FILE, help="Write a Markdown summary to this file."),
        locked,
        more="Changes nothing and orders nothing.",
        examples="""
sedas-sync plan                        # of manifest.toml
sedas-sync plan --dataset optical --all
sedas-sync plan --out plan.json && sedas-sync apply --plan plan.json
sedas-sync plan --exit-code            # in CI: 10 if there is something to do
""",
    ),
    _command(
        "report",
        "Write an HTML page with a map of the mirror.",
        manifest,
        Option(
            ["--out"],
            type=_FILE,
            metavar="FILE",
            help="The file to write.  [default: <manifest stem>.html next to it]",
        ),
        Option(
            ["--quicklooks"],
            is_flag=True,
            help="Embed small pictures of the scenes on disk; needs the extra sedas-sync[quicklooks].",
        ),
        more="One file with coverage, footprints, acquisitions, orders and failures. It needs no network.",
        examples="""
sedas-sync report
sedas-sync report fields.toml --out /srv/www/fields.html
sedas-sync report --quicklooks
""",
    ),
    _command(
        "sandbox",
        "Run the embedded archive on a local port.",
        Option(
            ["--port"],
            type=IntRange(0, 65535),
            default=8080,
            show_default=True,
            help="The port; 0 picks a free one.",
        ),
        Option(["--host"], default="127.0.0.1", show_default=True, help="The address to listen on."),
        more='User name and password are `sandbox`. A manifest with `type = "sandbox"` starts its own.',
        examples="""
sedas-sync sandbox --port 8080
""",
    ),
    _command(
        "schema",
        "Print the JSON Schema of the manifest or of a document.",
        Argument(["name"], default="manifest", metavar="[COMMAND]", shell_complete=completed_by("documents")),
        more="Of the manifest for editors; of a COMMAND, what it prints with --json.",
        examples="""
sedas-sync schema > manifest.schema.json
sedas-sync schema plan
""",
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
        examples="""
sedas-sync search --dataset radar
sedas-sync search --format geojson > found.geojson
""",
    ),
    _command(
        "sources",
        "List what an account may search.",
        manifest,
        more="Satellites and source groups, of archives that list them.",
        examples="""
sedas-sync sources
""",
    ),
    _command(
        "status",
        "Show what is on disk and what is missing.",
        manifest,
        max_age,
        more="Compares the mirror with its lock file, or with its last apply. Works offline.",
        examples="""
sedas-sync status
sedas-sync status --json
""",
    ),
    _command(
        "validate",
        "Check a manifest without the network.",
        manifest,
        examples="""
sedas-sync validate
sedas-sync validate fields.toml --json
""",
    ),
    _command(
        "verify",
        "Read every file of the mirror again.",
        manifest,
        _flag("--repair", help="Download again what is missing, changed or corrupt."),
        _flag("--no-wait", help="With --repair: do not wait for LTA orders that are not ready."),
        Option(["--jobs"], type=_NUMBER, help="Number of files to read (with --repair: download) at once."),
        lock_timeout,
        more="Lists the files that are missing, changed, corrupt or unknown.",
        examples="""
sedas-sync verify
sedas-sync verify --repair             # download the bad ones again
""",
    ),
    _command(
        "why",
        "Explain one scene: what matches or excludes it, what is next.",
        Argument(["scene_id"], metavar="ID", shell_complete=completed_by("scenes")),
        manifest,
        more="ID may be the path of its file, or end in .SAFE. The beginning or a part of an id is enough, or a "
        "pattern, if only one scene has it; else they are listed. Other scenes of the same tile and day are named.",
        examples="""
sedas-sync why S2B_MSIL1C_20190507T110629_N0207_R137_T30UXC_20190507T133918
sedas-sync why 'S2?_*20190507*_T30UXC_*'
""",
    ),
)
