"""What all tests share: pytester for the plugin's own tests, and Hypothesis without a clock."""

import os

from hypothesis import settings

pytest_plugins = ["pytester"]

# No deadline: a busy machine is no failure. The same examples each time, so that a red build is
# red again; COVEND_EXPLORE=1 draws new ones.
settings.register_profile("covend", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile("explore" if os.environ.get("COVEND_EXPLORE") else "covend")
