"""TensorFlow without its start-up lines, which look like errors to whoever sees them for the first time."""

import os
import sys
import tempfile


def load_tensorflow() -> None:
    """Import TensorFlow with standard error set aside; if the import fails, what it said is shown after all.

    Its C++ side writes to file descriptor 2 before it obeys TF_CPP_MIN_LOG_LEVEL, so Python's sys.stderr is not enough.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # looks for a GPU, and complains where there is none
        except BaseException:
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
