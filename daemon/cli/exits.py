"""Exit codes, so that a script can tell what happened."""

OK = 0
FAILED = 1
USAGE = 2
NO_SUCH_JOB = 3
WRONG_STATE = 4
NO_SERVICE = 5
TEMPORARY = 75
CONFIG = 78
INTERRUPTED = 130

MEANING = {
    OK: "it worked",
    FAILED: "the job failed, or doctor found something broken",
    USAGE: "the command was not understood",
    NO_SUCH_JOB: "there is no such job",
    WRONG_STATE: "the job is not in a state that allows this",
    NO_SERVICE: "nobody works on jobs here: start `protoscale run`",
    TEMPORARY: "not now (the disk is full); try again later",
    CONFIG: "a setting, a device, a model or a right to the spool is wrong or missing; trying again will not help",
    INTERRUPTED: "interrupted with Ctrl-C; what was queued stays queued",
}
