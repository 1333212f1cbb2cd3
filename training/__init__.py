"""Everything that needs TensorFlow: data, training, evaluation and export of a digit recognizer.

`python -m training --help` lists the commands. The service never imports this package.
"""
