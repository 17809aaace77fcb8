"""Settings of the whole suite."""

from hypothesis import settings

# An example may take long because the machine is busy; that is no fault of the code.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
