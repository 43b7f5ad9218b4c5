"""NNI's experiment side: the tuner and the trial command behind `nnictl create`, and what starts and follows one."""
