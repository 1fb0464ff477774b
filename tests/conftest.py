"""What holds for every test."""

import hypothesis

# No test depends on timing: on a busy machine any example can take a second.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
