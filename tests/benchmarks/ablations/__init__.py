"""What each part of the method brings: supernets that differ from a run's in one thing, judged by the same truth."""
