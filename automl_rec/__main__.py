"""``python -m automl_rec`` is ``automl-rec``."""

import sys

from automl_rec.cli import main

sys.exit(main())
