"""What can go wrong with a job or with a device, sorted by what the worker does about it."""


class DaemonError(Exception):
    """Base of every error the daemon raises on purpose; its text is fit to show to a person."""


class BadJob(DaemonError):
    """The job itself cannot be done, however often it is tried: it goes to `failed/` at once."""


class EngineError(DaemonError):
    """This attempt failed where another may work: the job goes back and the attempt counts."""


class OutOfMemory(EngineError):
    """A model or its step did not fit on the device, also not alone; with lower settings it may."""


class EngineUnavailable(DaemonError):
    """The engine cannot load here at all: the service stops with this text instead of failing every job."""


class Cancelled(DaemonError):
    """Raised out of a progress callback when a person cancelled the job."""


class DeviceLost(DaemonError):
    """The device does not answer this process any more (a dead CUDA context): the worker ends, another takes over."""
