"""Imports TensorFlow without its start-up messages, which look like errors to newcomers."""

import os
import sys
import tempfile


def load_tensorflow() -> None:
    """Import TensorFlow with standard error redirected to a file, whose contents are shown only if the import fails.

    Its C++ code writes to file descriptor 2 before it reads TF_CPP_MIN_LOG_LEVEL; replacing sys.stderr has no effect.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as redirected:
        os.dup2(redirected.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # looks for a GPU, and prints a warning where there is none
        except BaseException:
            redirected.seek(0)
            os.write(kept, redirected.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
