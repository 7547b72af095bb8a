"""A mirror of the server in `cdse_server`."""

import json
from dataclasses import dataclass

import sedas_sync as ss

ACCOUNT = {"CDSE_USERNAME": "jane@example.org", "CDSE_PASSWORD": "a-long-password"}


@dataclass
class Told:
    """The result of a run in this process, with its events as JSON."""

    code: int
    events: list

    @property
    def summary(self):
        return self.events[-1]

    @property
    def out(self):
        return json.dumps(self.events)


class Mirror:
    """A folder with a manifest for the server, and the command in it."""

    def __init__(self, workspace, server):
        self.workspace, self.server = workspace, server
        workspace.env |= ACCOUNT
        self.write()

    def write(self, dataset="", transfer="retries = 2", archive="", trusted='["127.0.0.1"]'):
        text = (
            f'version = 1\n[archive]\ntype = "cdse"\nurl = "{self.server.url}"\nlogin_url = "{self.server.login_url}"\n'
            f"trusted_hosts = {trusted}\n{archive}\n[transfer]\n{transfer}\n[aoi.harwell]\npoint = [-1.31, 51.57]\n"
            f'radius_km = 3\n[dataset.harwell]\naoi = "harwell"\nstart = 2019-04-30\nend = 2019-05-12\n{dataset}\n'
        )
        (self.workspace.path / "manifest.toml").write_text(text)

    def run(self, *arguments, **environ):
        return self.workspace.run(*arguments, **{"XDG_RUNTIME_DIR": "", **environ})

    def here(self, **options):
        """Plan and apply in this process."""
        events = []
        with ss.Mirror(ss.load_manifest(self.workspace.path / "manifest.toml")) as opened:
            summary = opened.apply(opened.plan(), on_event=lambda event: events.append(event.to_json()), **options)
        return Told(summary.exit_code, events)

    def plan(self):
        """Plan in this process."""
        with ss.Mirror(ss.load_manifest(self.workspace.path / "manifest.toml")) as opened:
            return opened.plan()

    def files(self):
        """The zips in the mirror, by id."""
        return {name.removesuffix(".zip"): data for name, data in self.workspace.files().items()}

    def all_files(self):
        """All files in the mirror, by their paths below it."""
        root = self.workspace.mirror
        found = (file for file in root.rglob("*") if file.is_file() and ".sedas-sync" not in file.parts)
        return {str(file.relative_to(root)): file.read_bytes() for file in found}


def mirror_of(workspace, server, monkeypatch):
    """Return a mirror of a server, with its account in the environment of this process too."""
    for name, value in {**ACCOUNT, "XDG_RUNTIME_DIR": "", "NETRC": str(workspace.path / ".netrc")}.items():
        monkeypatch.setenv(name, value)
    return Mirror(workspace, server)
