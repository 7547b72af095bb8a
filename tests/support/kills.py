"""A command that is killed at a moment of one's choice."""


def killed(workspace, moment, *arguments):
    """Run a command until its nth change of the file system; return whether it was killed."""
    ran = workspace.own_process.run(*arguments, KILL_AT=str(moment))
    assert ran.code in {0, 137}, ran.err
    return ran.code == 137
