"""How a load run is done: who takes part, what is sent, how it is measured, and how the results are shown."""
